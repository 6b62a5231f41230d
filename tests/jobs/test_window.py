"""What a window of counts says about the share that proxies follow."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.driver.window import Window


def window(stable: int, canary: int) -> Window:
    return Window(requests={Side.STABLE: stable, Side.CANARY: canary})


@pytest.mark.parametrize(
    ("stable", "canary", "sure"),
    [
        (3, 2, False),  # 5 requests at 20 % look like this every now and then
        (100, 100, True),
        (800, 200, False),
        (0, 0, False),
        (100, 0, False),
    ],
)
def test_only_counts_that_rule_the_old_share_out_say_that_proxies_follow_the_new_one(
    stable: int, canary: int, sure: bool
) -> None:
    assert window(stable, canary).exceeds(0.35) is sure


def test_a_few_requests_contradict_neither_share() -> None:
    few = window(3, 2)
    assert few.contradicts(0.2) is False
    assert few.contradicts(0.5) is False
    assert not few.exceeds(0.35)
