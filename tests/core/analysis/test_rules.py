"""Every rule: registered, described, documented; its examples are its tests; it reads what it declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.cli.mesh_file import to_documents
from gitlab_mesh.config.load import load_config
from gitlab_mesh.core.analysis.engine import analyze
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Options, Problem
from gitlab_mesh.core.analysis.registry import Rule
from gitlab_mesh.core.analysis.ruleset import registered

RULES = registered()
CHECKED = [rule for rule in RULES.values() if rule.check or rule.each]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "rules"


def read(text: str) -> list[Document]:
    parts = text.removeprefix("---\n").split("---\n")
    mesh_files = [part for part in parts if part.startswith("version: 1")]
    found = FileManifests("---\n".join(part for part in parts if part not in mesh_files).encode()).read(["-"])
    assert not found.problems, found.problems
    released = [item for part in mesh_files for item in to_documents(load_config(part), "mesh.yaml", 9)]
    return [*found.documents, *released]


def run(rule: Rule, text: str) -> list[Problem]:
    problems, _ = analyze(read(text), Options(complete=True), suites=(rule.suite,), strict=True)
    crashes = [problem.message for problem in problems if problem.code == "GM0001"]
    assert not crashes
    return [problem for problem in problems if problem.code == rule.code]


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.code)
def test_the_bad_example_has_the_finding(rule: Rule) -> None:
    assert run(rule, rule.bad), rule.bad


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.code)
def test_the_good_example_has_not(rule: Rule) -> None:
    assert [problem.message for problem in run(rule, rule.good)] == []


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.code)
def test_examples_fit_the_schema(rule: Rule) -> None:
    if rule.istio == "IST0106":
        return
    problems, _ = analyze(read(rule.good), Options(complete=True))
    schema = [problem.message for problem in problems if "GM0010" <= problem.code <= "GM0015"]
    assert schema == []


class RecordingMesh(Mesh):
    """Writes down which kinds a rule asks for."""

    asked: set[str]

    def of(self, kind: str) -> list[Document]:
        self.asked.add(kind)
        return super().of(kind)


TEMPLATES = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"}
INDEXED = {"Namespace", "Service", "ServiceEntry", "MeshConfig", "IstioOperator"}


@pytest.mark.parametrize("rule", [rule for rule in CHECKED if rule.check], ids=lambda rule: rule.code)
def test_a_rule_reads_what_it_declares(rule: Rule) -> None:
    asked: set[str] = set()
    for text in (rule.bad, rule.good):
        mesh = RecordingMesh([], Options(complete=True))
        mesh.asked = asked
        for document in read(text):
            mesh.by_kind[document.kind].append(document)
        if rule.check:
            list(rule.check(mesh))
    declared = set(rule.reads) or asked  # a rule about every kind declares none
    if {"Deployment", "Pod"} & declared:  # pods are looked up together with the templates that make them
        declared |= TEMPLATES | {"Pod"}
    # names of hosts and membership in the mesh are looked up through the mesh's own indexes
    assert asked - declared - INDEXED == set()
    assert declared - asked - TEMPLATES - {"Pod"} - INDEXED == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_every_rule_says_why_and_what_to_do(rule: Rule) -> None:
    assert rule.title
    assert rule.why
    assert rule.mend
    assert rule.code[:2] == "GM"
    assert len(rule.code) == 6
    if rule.istio and rule.istio not in ("IST0106", "IST0133", "IST0101", "IST0002"):
        assert rule.code[2:] == rule.istio[3:]


@pytest.mark.parametrize("code", RULES)
def test_every_rule_has_its_page(code: str) -> None:
    assert (DOCS / f"{code}.md").is_file(), "write the pages with: gitlab-mesh explain --write docs/rules"
