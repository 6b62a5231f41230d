"""A sample of real kills that changes with the day: the whole set is ``benchmarks/kills.py``."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator

import pytest

from tests.sandbox.kills.arena import Arena, Kill

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("kills"), pytest.mark.timeout(240)]

SEED = datetime.datetime.now(tz=datetime.UTC).date().toordinal()
DRAW = random.Random(SEED)
NUMBER = DRAW.randrange(3, 24)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(tmp_path_factory.mktemp("kills") / "sandbox")
    yield arena
    arena.close()


@pytest.mark.parametrize("kill", [Kill(NUMBER, after=bool(SEED % 2)), Kill(seconds=DRAW.uniform(2.0, 10.0))], ids=str)
def test_killed_one_call_brings_everything_back(arena: Arena, kill: Kill) -> None:
    result = arena.cycle(kill)
    assert not result.findings, f"seed {SEED}, {result}"
    assert result.exit_codes[0] == -9 or not result.boundary


def test_a_driver_that_wakes_after_a_takeover_writes_nothing(arena: Arena) -> None:
    result = arena.race(DRAW.randrange(4, 16))
    assert not result.findings, f"seed {SEED}, {result}"
    assert result.boundary
