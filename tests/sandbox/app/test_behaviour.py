"""The table of behaviours: every tag does what it says, by honest draws."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest

from gitlab_mesh.sandbox.app.behaviour import BEHAVIOURS, GOOD, Behaviour, find_behaviour, parse_image

DRAWS = 20_000


def error_share(behaviour: Behaviour, age: float) -> float:
    luck = random.Random(1)
    return sum(behaviour.is_error(luck, age) for _ in range(DRAWS)) / DRAWS


def times(behaviour: Behaviour, age: float) -> list[float]:
    luck = random.Random(1)
    return sorted(behaviour.service_seconds(luck, age) for _ in range(DRAWS))


@pytest.mark.parametrize(
    ("tag", "age", "share"),
    [
        ("good", 0, 0), ("bad", 0, 0.05), ("errors-2", 0, 0.02), ("slow", 0, 0), ("slow-tail", 0, 0),
        ("cold-start", 1, 0.1), ("cold-start", 29.9, 0.1), ("cold-start", 30, 0), ("leak", 0, 0), ("leak", 60, 0.1),
        ("leak", 120, 0.2),
    ],
)  # fmt: skip
def test_errors_come_at_their_share(tag: str, age: float, share: float) -> None:
    assert error_share(BEHAVIOURS[tag], age) == pytest.approx(share, abs=4 * (share * (1 - share) / DRAWS) ** 0.5)


def test_service_times_follow_their_law() -> None:
    good = times(GOOD, 0)
    assert statistics.median(good) == pytest.approx(0.003, rel=0.02)
    assert good[int(0.99 * DRAWS)] == pytest.approx(0.003 * 2.26, rel=0.06)
    assert statistics.median(times(BEHAVIOURS["slow"], 0)) == pytest.approx(0.015, rel=0.02)
    assert statistics.median(times(BEHAVIOURS["cold-start"], 1)) == pytest.approx(0.006, rel=0.02)
    assert statistics.median(times(BEHAVIOURS["cold-start"], 31)) == pytest.approx(0.003, rel=0.02)
    assert statistics.median(times(BEHAVIOURS["leak"], 60)) == pytest.approx(0.015, rel=0.02)
    tail = times(BEHAVIOURS["slow-tail"], 0)
    assert tail[int(0.94 * DRAWS)] < 0.02
    assert tail[int(0.96 * DRAWS)] > 0.25


def test_behaviours_survive_the_command_line() -> None:
    for behaviour in BEHAVIOURS.values():
        assert Behaviour.from_json(behaviour.to_json()) == behaviour


def test_tags_find_their_behaviour_and_overrides_win() -> None:
    bad = BEHAVIOURS["bad"]
    assert find_behaviour("1.4.2", {}) == find_behaviour("v2.0.0-rc.1", {}) == GOOD
    assert find_behaviour("bad", {}) == bad
    assert find_behaviour("nightly", {}) is None
    swapped = {"good": bad, "bad": GOOD, "1.4.2": replace(bad, error_ratio=1)}
    assert find_behaviour("good", swapped) == bad
    assert find_behaviour("bad", swapped) == GOOD
    assert find_behaviour("1.4.2", swapped) == swapped["1.4.2"]


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [
        ("registry.example/shop:1.5.0", "registry.example/shop", "1.5.0"),
        ("localhost:5000/team/shop", "localhost:5000/team/shop", "latest"),
        ("shop:good@sha256:" + "a" * 64, "shop", "good"),
    ],
)
def test_references_are_taken_apart(reference: str, repository: str, tag: str) -> None:
    image = parse_image(reference)
    assert image
    assert (image.repository, image.tag) == (repository, tag)
    assert image.image_id.startswith(f"{repository}@sha256:")


@pytest.mark.parametrize("reference", ["", "shop:", "Shop:1", "shop:a b", "shop@sha256:12"])
def test_what_is_no_reference(reference: str) -> None:
    assert parse_image(reference) is None
