"""Paths by pattern, files by path, and rules about single objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.adapters.manifest_files import belongs, find_files
from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.engine import run_rules
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Options
from gitlab_mesh.core.analysis.places import places
from gitlab_mesh.core.analysis.ruleset import registered

BODY = {"a": [{"b": 1}, {"b": None}, {"c": 2}, "x"], "m": {"k": {"b": 3}, "l": 4}}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a[].b", [(("a", 0, "b"), 1)]),
        ("a[].b|c", [(("a", 0, "b"), 1), (("a", 2, "c"), 2)]),
        ("m{}.b", [(("m", "k", "b"), 3)]),
        ("m{}", [(("m", "k"), {"b": 3}), (("m", "l"), 4)]),
        ("m.l", [(("m", "l"), 4)]),
        ("m[].b", []),
        ("a.b", []),
        ("x.y", []),
    ],
)
def test_places(pattern: str, found: list[Any]) -> None:
    assert list(places(BODY, pattern)) == found


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "a.yaml",
        "deploy/b.yml",
        "deploy/deep/c.json",
        "deploy/notes.txt",
        "deploy/.git/d.yaml",
        "vendor/e.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "path", [".", "deploy", "./deploy/", "a.yaml", "*.yaml", "deploy/**/*.json", "deploy/*.yml", "deploy/notes.txt"]
)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_belongs_to_the_paths_that_find_it(tree: Path, path: str, absolute: bool) -> None:
    given = str(tree / path) if absolute else path
    found = {Path(name).resolve() for name, _ in find_files([given])}
    everything = [item for item in tree.rglob("*") if item.is_file()]
    assert found
    assert {item for item in everything if belongs([given], str(item.relative_to(tree)))} == found


def read(text: str) -> list[Document]:
    return list(FileManifests(text.encode()).read(["-"]).documents)


def said(documents: list[Document]) -> set[tuple[str, str, tuple[str | int, ...], str]]:
    rules = registered()
    problems = run_rules(Mesh(documents, Options(complete=True)), suites=("validate", "security"), strict=True)
    return {
        (item.code, item.document.resource, item.path, item.message)
        for item in problems
        if rules[item.code].each is not None
    }


def test_what_an_object_rule_says_depends_on_nothing_else() -> None:
    """``--changed`` rests on it: in files that were not touched, object rules have nothing new to say."""
    documents = [item for rule in registered().values() for text in (rule.bad, rule.good) for item in read(text or "")]
    alone = set().union(*(said([document]) for document in documents))
    assert said(documents) == alone
    assert len(alone) > 100


def test_object_rules_look_at_touched_files_only() -> None:
    (document,) = read(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: b}\n"
        "spec: {mtls: {mode: DISABLE}}\n"
    )
    mesh = Mesh([document])
    for touched, count in ((None, 1), ({"-"}, 1), ({"other.yaml"}, 0)):
        found = run_rules(mesh, suites=("security",), strict=False, only={"GM2002"}, touched=touched)
        assert len(found) == count


def test_a_rule_that_crashes_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from gitlab_mesh.core.analysis import engine

    def crash(document: Document) -> list[Any]:
        raise KeyError(document.name)

    rules = registered()
    broken = replace(rules["GM2002"], each=crash)
    monkeypatch.setattr(engine, "registered", lambda: {**rules, "GM2002": broken})
    text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: %s, namespace: b}\n---\n"
    found = run_rules(Mesh(read(text % "one" + text % "two")), suites=("security",), strict=False)
    assert [item.message for item in found if item.code == "GM0001"] == [
        "rule GM2002 failed: KeyError: 'one'",
        "rule GM2002 failed: KeyError: 'two'",
    ]
    assert any(item.code == "GM2003" for item in found)
