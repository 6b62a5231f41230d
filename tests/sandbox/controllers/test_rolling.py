"""Arithmetic of a rolling update: never too many, never too few, always to the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.sandbox.controllers.rolling import SetSize, plan_new_size, plan_old_sizes, surge_and_unavailable


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 4, (1, 1)),
        ("25%", "25%", 3, (1, 0)),
        (0, 0, 5, (0, 1)),
        (2, "50%", 5, (2, 2)),
        ("0%", 1, 2, (0, 1)),
    ],
)
def test_percentages(surge: object, unavailable: object, replicas: int, expected: tuple[int, int]) -> None:
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    assert surge_and_unavailable(strategy, replicas) == expected


@given(
    replicas=st.integers(1, 12), surge=st.integers(0, 4), unavailable=st.integers(0, 4),
    become_ready=st.lists(st.booleans(), min_size=60, max_size=60),
)  # fmt: skip
def test_a_roll_out_keeps_its_bounds_and_ends(
    replicas: int, surge: int, unavailable: int, become_ready: list[bool]
) -> None:
    if not surge and not unavailable:
        unavailable = 1
    new, old = SetSize(0, 0), [SetSize(replicas, replicas)]
    for ready in [*become_ready, *[True] * 60]:
        wanted = plan_new_size(replicas, new, old, surge)
        new = SetSize(wanted, min(wanted, new.available))
        sizes = plan_old_sizes(replicas, new, old, unavailable)
        old = [SetSize(size, min(size, one.available)) for size, one in zip(sizes, old, strict=True)]
        assert new.wanted + old[0].wanted <= replicas + surge
        assert new.available + old[0].available >= replicas - unavailable
        if ready:
            new = SetSize(new.wanted, min(new.wanted, new.available + 1))
    assert (new, old) == (SetSize(replicas, replicas), [SetSize(0, 0)])


def test_pods_that_never_were_available_go_first() -> None:
    assert plan_old_sizes(3, SetSize(1, 0), [SetSize(1, 0), SetSize(3, 3)], 0) == [0, 3]
