"""Integer weights for a share: Istio's weights are relative integers (reference: HTTPRouteDestination)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from gitlab_mesh.errors import UsageError

__all__ = ["MIN_SHARE", "find_grain", "plan_pair"]

MIN_SHARE = 0.0001
"""1:9999; at 5,000 requests/s a request in two seconds. Less cannot be told apart from 0 in the time of a release."""

_FINER = (100, 1000, 2000, 10000)


def plan_pair(total: int, share: float, *, whole_route: bool) -> tuple[int, int]:
    """Split ``total`` into (stable, canary) so that the canary gets ``share``.

    The sum stays ``total`` wherever the share can be told in it. Where the pair is the whole route, relative
    weights allow finer shares (1:1999), because no third destination's share changes with the sum.

    Args:
        total: Sum of the pair's weights now, at least 1.
        share: 0–1.
        whole_route: Whether the route has no other destination.

    Raises:
        UsageError: The share cannot be written.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"a share of {share} is not between 0 and 1")
    wanted = Fraction(str(share))
    exact = wanted * total
    if exact.denominator == 1:
        return total - int(exact), int(exact)
    if whole_route:
        if share < MIN_SHARE:
            raise UsageError(f"a share of {share:.4%} is too small", why=f"the least is {MIN_SHARE:.2%} (1:9999)")
        for sum_ in _FINER:
            fine = wanted * sum_
            if sum_ >= total and fine.denominator == 1:
                return sum_ - int(fine), int(fine)
        return _FINER[-1] - round(wanted * _FINER[-1]), round(wanted * _FINER[-1])
    canary = round(exact)
    if not 0 < canary < total:
        raise UsageError(
            f"a share of {share:.2%} cannot be written in a pair with the sum {total}",
            why="the route has other destinations, whose share would change with the sum",
            hint=f"use steps of at least {100 / total:g} %",
        )
    return total - canary, canary


def find_grain(objects: Iterable[Mapping[str, Any]], total: int) -> int:
    """Return the largest sum that the pair's weights may have: shares are multiples of its inverse.

    Args:
        objects: The live route objects.
        total: Sum of the pair's weights now.
    """
    for item in objects:
        spec = item.get("spec") or {}
        routes = [http.get("route") or () for http in spec.get("http") or ()]
        routes += [rule.get("backendRefs") or () for rule in spec.get("rules") or ()]
        if any(len(destinations) > 2 for destinations in routes):
            return total or 100  # a third destination's share would change with the sum
    return _FINER[-1]
