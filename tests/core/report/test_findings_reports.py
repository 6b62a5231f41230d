"""Findings as GitLab's code quality and SAST reports, held against GitLab's own schemas (kept outside the project)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gitlab_mesh.core.analysis.findings import Summary
from gitlab_mesh.core.analysis.formats import render_code_quality, render_sast
from gitlab_mesh.core.analysis.model import Finding, Level
from gitlab_mesh.core.analysis.ruleset import registered

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "gitlab-data"


def schema(name: str) -> dict[str, Any]:
    path = DATA / name
    if not path.exists():
        reason = f"{path} is not here: GitLab's schemas are kept outside of the project"
        if os.environ.get("GITLAB_MESH_REQUIRE_TOOLS") == "1":
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def summary() -> Summary:
    codes = sorted(registered())[:4]
    findings = tuple(
        Finding(
            code=code, istio_code="", level=level, resource="VirtualService shop/shop", file="./mesh/shop.yaml",
            line=3 + number, column=1, path="$.spec.http[0]", message=f"host {number} is nowhere", why="requests fail",
            hint="name a host that exists", fingerprint=f"{number:040x}", references=("CIS 5.1",),
        )
        for number, (code, level) in enumerate(zip(codes, [*Level, Level.ERROR], strict=True))
    )  # fmt: skip
    return Summary(findings=findings)


def test_code_quality_is_a_list_of_entries_that_gitlab_takes() -> None:
    entries = json.loads(render_code_quality(summary()))
    validator = jsonschema.Draft7Validator(schema("codeclimate.json"))
    # GitLab stops reading at the first entry that is not valid, so every one must be.
    assert [error.message for entry in entries for error in validator.iter_errors(entry)] == []
    assert list(validator.iter_errors({"description": "x"})), "the schema must be able to say no"
    assert {entry["severity"] for entry in entries} <= {"info", "minor", "major", "critical", "blocker"}
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    for entry in entries:
        assert entry["location"]["path"] == "mesh/shop.yaml"
        assert entry["location"]["lines"]["begin"] >= 1
    assert json.loads(render_code_quality(Summary(findings=()))) == []


def test_code_quality_has_the_keys_of_gitlabs_sample() -> None:
    [sample, *_] = schema("codequality.sample.json")
    for entry in json.loads(render_code_quality(summary())):
        assert set(sample) <= set(entry)


def test_sast_is_valid_for_gitlabs_schema() -> None:
    text = render_sast(summary(), version="0.1.0", started="2026-11-23T07:00:00", ended="2026-11-23T07:00:01")
    validator = jsonschema.Draft7Validator(schema("sast-report-format-15.0.7.condensed.json"))
    report = json.loads(text)
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(report)] == []
    assert len(report["vulnerabilities"]) == 4
    assert list(validator.iter_errors({**report, "scan": {}})), "the schema must be able to say no"
