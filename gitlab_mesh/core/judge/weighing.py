"""All evidence together: how the promised rate of false rollbacks is spread over the tests."""

from __future__ import annotations

from math import exp

from gitlab_mesh.core.judge.ledger import Ledger
from gitlab_mesh.core.judge.model import Importance

__all__ = ["weigh"]

_MOST = 600.0


def weigh(ledger: Ledger) -> dict[str, float]:
    """Return what each test adds to the evidence; their sum rejects at ``1 / false_rollback``.

    During the start-up only an outage counts: the other capitals start anew when it ends.
    """
    wealth = {"errors": 1.0, "latency": 1.0, "outage": _exp(ledger.startup.log_evidence)}
    if not ledger.startup.running:
        wealth["errors"] = ledger.errors.worse.wealth
        if ledger.latency:
            wealth["latency"] = sum(track.worse.wealth for _, track in ledger.latency) / len(ledger.latency)
    if ledger.slo is not None:
        above = _exp(ledger.slo[0].log_wealth)
        wealth["slo"] = 1.0 if ledger.startup.running else min(above, wealth["errors"])
    counted = [track for track in ledger.user if track.metric.importance is not Importance.INFORMATIONAL]
    wealth["user"] = 1.0
    if counted and not ledger.startup.running:
        wealth["user"] = sum(_exp(track.log_worse) for track in counted) / len(counted)
    return {name: part * wealth[name] for name, part in ledger.parts.items()}


def _exp(log_wealth: float) -> float:
    return exp(min(log_wealth, _MOST))
