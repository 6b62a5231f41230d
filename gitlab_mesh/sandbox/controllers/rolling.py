"""Pure arithmetic of a rolling update, as in Kubernetes' deployment controller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SetSize", "plan_new_size", "plan_old_sizes", "surge_and_unavailable"]


@dataclass(frozen=True, slots=True)
class SetSize:
    """A ReplicaSet: how many pods it wants, how many of them are available."""

    wanted: int
    available: int


def surge_and_unavailable(strategy: Mapping[str, Any], replicas: int) -> tuple[int, int]:
    """Return maxSurge (percentages rounded up) and maxUnavailable (rounded down); never both 0."""
    rolling = strategy.get("rollingUpdate") or {}
    surge = _count(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, unavailable if surge or unavailable else 1


def _count(value: Any, replicas: int, *, up: bool) -> int:
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    share = int(text[:-1]) * replicas / 100
    return math.ceil(share) if up else math.floor(share)


def plan_new_size(replicas: int, new: SetSize, old: Sequence[SetSize], surge: int) -> int:
    """Return how many pods the new ReplicaSet shall want now."""
    if new.wanted >= replicas:
        return replicas
    room = replicas + surge - new.wanted - sum(one.wanted for one in old)
    return new.wanted + max(0, min(room, replicas - new.wanted))


def plan_old_sizes(replicas: int, new: SetSize, old: Sequence[SetSize], unavailable: int) -> list[int]:
    """Return how many pods each old ReplicaSet shall want now, oldest first.

    First what is not available anyway goes, then as many as leave ``replicas - unavailable`` available ones.
    """
    minimum = replicas - unavailable
    total = new.wanted + sum(one.wanted for one in old)
    # New pods that are not available yet may still fail: they do not pay for old ones.
    budget = max(0, total - minimum - (new.wanted - new.available))
    sizes = []
    for one in old:
        sick = min(max(0, one.wanted - one.available), budget)
        budget -= sick
        sizes.append(one.wanted - sick)
    spare = max(0, new.available + sum(one.available for one in old) - minimum)
    for index, size in enumerate(sizes):
        gone = min(size, spare, budget)
        sizes[index] -= gone
        spare -= gone
        budget -= gone
    return sizes
