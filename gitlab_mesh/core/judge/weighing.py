"""All evidence together: how the promised rate of false rollbacks is spread over the tests."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from gitlab_mesh.core.judge.model import Importance

if TYPE_CHECKING:
    from gitlab_mesh.core.judge.judge import Judge

__all__ = ["parts_of", "weigh"]

_PARTS = {"errors": 5.0, "outage": 2.5, "latency": 2.5}
_SLO, _USER = 1.5, 1.5
_MOST = 600.0


def parts_of(*, slo: bool, user: bool) -> dict[str, float]:
    """Return each test's part of the promised rate; they sum to 1 and are fixed before the first look.

    A weighted mean of e-processes is one, whatever their dependence. Errors get half: they are what users feel most,
    and each costs a bad request to learn from.
    """
    parts = {**_PARTS, **({"slo": _SLO} if slo else {}), **({"user": _USER} if user else {})}
    whole = sum(parts.values())
    return {name: part / whole for name, part in parts.items()}


def weigh(judge: Judge) -> dict[str, float]:
    """Return what each test adds to the evidence; their sum rejects at ``1 / false_rollback``."""
    wealth = {"errors": 1.0, "latency": 1.0, "outage": _exp(judge.startup.log_evidence)}
    if not judge.startup.running:
        wealth["errors"] = judge.errors.worse.wealth
        if judge.latency:
            wealth["latency"] = sum(track.worse.wealth for _, track in judge.latency) / len(judge.latency)
    if judge.slo is not None:
        above = _exp(judge.slo[0].log_wealth)
        wealth["slo"] = 1.0 if judge.startup.running else min(above, wealth["errors"])
    counted = [track for track in judge.user if track.metric.importance is not Importance.INFORMATIONAL]
    wealth["user"] = sum(_exp(track.log_worse) for track in counted) / len(counted) if counted else 1.0
    return {name: part * wealth[name] for name, part in judge.parts.items()}


def _exp(log_wealth: float) -> float:
    return exp(min(log_wealth, _MOST))
