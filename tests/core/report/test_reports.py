"""The widget reports: metrics, annotations, change counts; each held against what GitLab reads."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.judge.model import Gate, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.report.model import Link, LinksSection, Outcome, Report, VerdictSection
from gitlab_mesh.core.report.renderers import render_annotations, render_change_counts, render_metrics

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "gitlab-data"


def sample(name: str) -> str:
    """A sample of GitLab's own, kept outside of the project."""
    path = DATA / name
    if not path.exists():
        reason = f"{path} is not here: GitLab's samples are kept outside of the project"
        if os.environ.get("GITLAB_MESH_REQUIRE_TOOLS") == "1":
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)
    return path.read_text(encoding="utf-8")


def read_metrics(text: str) -> dict[str, str]:
    """Read as ``Gitlab::Ci::Parsers::Metrics::Generic`` does: no comments, no quotes, the first value, as text."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"(?P<key>[^\s{]+(?:\{[^}]*\})?)\s+(?P<value>\S+)", line)
        if match and not line.startswith("#"):
            found[match["key"].replace('"', "")] = match["value"]
    return found


def test_the_reader_understands_gitlabs_own_sample() -> None:
    found = read_metrics(sample("metrics.sample.txt"))
    assert found
    assert all(re.fullmatch(r"[\w.]+(\{.*\})?", key) for key in found)


def test_metrics_of_a_rejected_release(rejected: Report) -> None:
    found = read_metrics(render_metrics(rejected))
    assert float(found["mesh_errors_ratio{service=shop,side=canary}"]) > 0
    assert float(found["mesh_requests{service=shop,side=canary,metric=errors}"]) > 0
    assert float(found["mesh_run_duration_seconds{service=shop}"]) == rejected.duration_seconds


def test_keys_are_the_same_in_every_pipeline(rejected: Report) -> None:
    again = replace(rejected, headline="another", started="later", duration_seconds=3.0, facts={"image": "x:2"})
    assert read_metrics(render_metrics(again)).keys() == read_metrics(render_metrics(rejected)).keys()


def test_prometheus_own_tool_accepts_the_text(rejected: Report, require_tool: Callable[[str], Path]) -> None:
    promtool = require_tool("promtool")
    text = render_metrics(rejected)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    # Lint warnings (no HELP text) are code 3; what cannot be parsed is 1.
    assert done.returncode in {0, 3}, done.stderr
    assert "error while linting" not in done.stderr
    broken = subprocess.run([promtool, "check", "metrics"], input="a{ 1", capture_output=True, text=True)
    assert broken.returncode == 1


NUMBER = st.floats() | st.none()


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(["ratio", "seconds", "", "req"]), NUMBER, NUMBER)
def test_any_name_and_any_value_stays_one_line_a_value(
    metric: str, service: str, unit: str, stable: float | None, canary: float | None
) -> None:
    verdicts = (Verdict(metric, VerdictKind.PASS, unit=unit, stable=stable, canary=canary, stable_n=1),) * 2
    gate = Gate(open=True)
    report = Report(
        "canary", service, "x", Outcome.PROMOTED, "h", sections=(VerdictSection(Judgement(verdicts, gate, gate)),)
    )
    lines = render_metrics(report).splitlines()
    assert lines[-1] == "# EOF"
    assert all(re.fullmatch(r'(# .*|[a-z][a-z0-9_]*\{[^"\s]+="[^"\s]*"(,[a-z]+="[^"\s]*")*\} \S+)', it) for it in lines)
    assert len(set(lines)) == len(lines)
    assert not {"nan", "inf", "-inf"} & {value.lower() for value in read_metrics("\n".join(lines)).values()}


def test_annotations_have_the_form_of_gitlabs_sample() -> None:
    def form(text: str) -> set[tuple[str, ...]]:
        document = json.loads(text)
        assert isinstance(document, dict)
        return {(kind, *sorted(entry[kind])) for entries in document.values() for entry in entries for kind in entry}

    report = Report(
        "canary", "shop", "shop", Outcome.PROMOTED, "h",
        sections=(
            LinksSection(
                (
                    Link("Report", "https://gitlab.example/acme/shop/-/jobs/1/artifacts/file/mesh-out/report.html"),
                    Link("Job log", "https://gitlab.example/acme/shop/-/jobs/1"),
                    Link("Grafana", "https://grafana.example/d/shop"),
                    Link("evil", "javascript:alert(1)"),
                )
            ),
        ),
    )  # fmt: skip
    text = render_annotations(report)
    assert form(text) <= form(sample("annotations.sample.json"))
    [entries] = json.loads(text).values()
    assert [entry["external_link"]["label"] for entry in entries] == ["Report", "Grafana"]


def test_without_links_there_is_an_empty_section() -> None:
    assert json.loads(render_annotations(Report("canary", "shop", "x", Outcome.PROMOTED, "h"))) == {
        "gitlab-mesh shop": []
    }


def test_change_counts_have_the_keys_that_the_widget_reads() -> None:
    counts = json.loads(render_change_counts(create=2, update=1, delete=0))
    assert counts == {"create": 2, "update": 1, "delete": 0}
    assert counts.keys() == json.loads(sample("terraform.sample.json")).keys()
    assert json.loads(render_change_counts(create=10**9, update=0, delete=0))["create"] == 999_999
    with pytest.raises(ValueError, match="negative"):
        render_change_counts(create=-1, update=0, delete=0)
