"""Adding an include to a pipeline that is there: everything else stays as it was, comments included."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gitlab_mesh.scaffold import include_into

FILE = ".gitlab/mesh.gitlab-ci.yml"

TEXTS = {
    "no include": "# ours\nbuild:\n  script: [make]  # by make\n",
    "empty": "",
    "comments only": "# nothing yet\n",
    "list": "include:\n  - local: a.yml\n  # the second\n  - template: B.yml\nbuild: {script: [make]}\n",
    "list at the margin": "include:\n- local: a.yml\nbuild:\n  script: [make]\n",
    "flow": "include: [{local: a.yml}]\nbuild: {script: [make]}\n",
    "empty flow": "include: []\nbuild: {script: [make]}\n",
    "one text": "include: a.yml\nbuild: {script: [make]}\n",
    "stages, block": "stages:\n  - build\n  - test  # ours\n\nbuild:\n  script: [make]\n",
    "stages, flow": "stages: [build, release]\nbuild: {script: [make]}\n",
    "stages at the end": "build: {script: [make]}\nstages:\n  - build",
    "both": "include:\n  - a.yml\nstages: [build]\nbuild: {script: [make]}\n",
    "tags": "build:\n  script:\n    - !reference [.x, script]\n",
    "no line break at the end": "include:\n  - local: a.yml",
}


def listed(document: Any) -> list[Any]:
    found = document.get("include")
    return found if isinstance(found, list) else [found] if found else []


class Loader(yaml.SafeLoader):
    """Reads GitLab's own tag as a list."""


Loader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", TEXTS)
def test_the_include_and_the_stages_are_added_and_nothing_else_is_touched(name: str) -> None:
    text = TEXTS[name]
    new = include_into(text, FILE)
    assert new is not None
    before, after = yaml.load(text, Loader=Loader) or {}, yaml.load(new, Loader=Loader)
    assert {"local": FILE} in listed(after)
    assert [item for item in listed(after) if item != {"local": FILE}] == listed(before)
    if "stages" in before:
        assert after["stages"][: len(before["stages"])] == before["stages"]
        assert {"test", "deploy"} <= set(after["stages"])
    else:
        assert "stages" not in after
    rest = {key: value for key, value in after.items() if key not in {"include", "stages"}}
    assert rest == {key: value for key, value in before.items() if key not in {"include", "stages"}}
    for line in text.splitlines():
        if "#" in line:
            assert line in new.splitlines()


@pytest.mark.parametrize("name", TEXTS)
def test_a_second_time_nothing_changes(name: str) -> None:
    once = include_into(TEXTS[name], FILE)
    assert once is not None
    assert include_into(once, FILE) == once


@pytest.mark.parametrize(
    "text",
    [
        "spec:\n  inputs: {}\n---\nbuild: {script: [make]}\n",
        "include:\n  local: a.yml\n",
        "include: &x [a.yml]\nother: [*x\n",
        "- a\n- b\n",
        "stages: build\n",
    ],
    ids=["two documents", "a mapping", "no YAML", "a list", "stages as text"],
)
def test_what_a_program_cannot_edit_is_left_to_a_person(text: str) -> None:
    assert include_into(text, FILE) is None
