"""No input makes it crash: mutated and truncated documents give findings or none, quickly."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.inspection import Request, inspect
from gitlab_mesh.core.analysis.ruleset import registered

EXAMPLES = [text for rule in registered().values() for text in (rule.bad, rule.good) if text]
ODD: list[Any] = [None, "", "*", 0, -1, 1.5, True, [], {}, [None], {"x": None}, "a" * 300, "{{ x }}", [[]], {"": ""}]


def look(text: str) -> list[str]:
    started = time.monotonic()
    request = Request(paths=("-",), suites=("validate", "security"), strict=True)
    findings = inspect(FileManifests(text.encode("utf-8", "replace")), request).summary.findings
    assert time.monotonic() - started < 10
    return [item.message for item in findings if item.code == "GM0001"]


def mutate(value: Any, chance: random.Random) -> Any:
    """Replace, drop or double one value somewhere inside."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {other: item for other, item in value.items() if other != key}
        return {**value, key: mutate(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        i = chance.randrange(len(value))
        return [*value[:i], mutate(value[i], chance), *value[i:]]
    return chance.choice(ODD)


@pytest.mark.parametrize("seed", range(20))
def test_mutated_documents(seed: int) -> None:
    chance = random.Random(seed)
    documents = []
    for _ in range(40):
        documents += [mutate(body, chance) for body in yaml.safe_load_all(chance.choice(EXAMPLES))]
    assert look(yaml.safe_dump_all(documents)) == []


def test_a_registry_that_is_no_word() -> None:
    assert look("networks: {one: {endpoints: [{fromRegistry: {x: y}}]}}\n") == []


@pytest.mark.parametrize("seed", range(10))
def test_mutated_text(seed: int) -> None:
    chance = random.Random(seed)
    text = "---\n".join(chance.sample(EXAMPLES, 8))
    for _ in range(30):
        i = chance.randrange(len(text))
        text = (
            text[:i]
            + chance.choice(["", ":", "{", "- ", "\t", "&a ", "*a", "'", "\n", "|", "%", "\x00"])
            + text[i + chance.randrange(3) :]
        )
    assert look(text) == []


@pytest.mark.parametrize("seed", range(10))
def test_truncated_text(seed: int) -> None:
    chance = random.Random(seed)
    text = "---\n".join(chance.sample(EXAMPLES, 5))
    for _ in range(5):
        assert look(text[: chance.randrange(len(text))]) == []


def test_files_of_the_oracles_truncated(request: pytest.FixtureRequest) -> None:
    folder = Path(__file__).resolve().parents[4] / "shared" / "oracles"
    if not folder.is_dir():
        pytest.skip("the cases are not beside this checkout (shared/oracles)")
    chance = random.Random(1)
    for path in sorted(folder.glob("istio-*/**/*.yaml")):
        text = path.read_text(encoding="utf-8")
        if "crds" not in path.parts and len(text) < 30_000:
            assert look(text[: chance.randrange(len(text))]) == []
