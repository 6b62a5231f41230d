"""The kinds of fault, and one fault of a schedule.

A *boundary* is one call in one action: ``canary:set-weight/patch VirtualService``. A fault happens before the call
(it is then not done) or after it (it is done, but its answer is lost), or it happens to the world at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CALL_FAULTS", "DRIVER_FAULTS", "READ_FAULTS", "WORLD_FAULTS", "WRITE_FAULTS", "PlannedFault", "kinds_for"]

CALL_FAULTS = (
    "kill-before",
    "kill-after",
    "throttled",
    "server-error",
    "outage",
    "hang",
    "pause",
    "unauthorized",
    "unauthorized-for-good",
    "sigterm",
)
"""For every call."""
WRITE_FAULTS = ("answer-lost", "hang-after", "conflict", "forbidden", "refused", "refused-for-good")
READ_FAULTS = ("stale-read",)
DRIVER_FAULTS = ("second-pipeline", "person-rollback", "same-job-again", "after-script")
"""Another driver begins."""
WORLD_FAULTS = (
    "foreign-weight",
    "foreign-shift",
    "foreign-flap",
    "foreign-spec",
    "foreign-annotation",
    "foreign-fields",
    "gitops",
    "delete-virtualservice",
    "delete-destinationrule",
    "delete-canary",
    "delete-stable",
    "delete-record",
    "delete-lease",
    *DRIVER_FAULTS,
    "clock-jump",
    "metrics-dead",
    "metrics-stale",
    "metrics-nan",
    "metrics-two-series",
    "stable-dies",
    "canary-flaps",
    "pods-stuck",
    "node-drained",
    "gitlab-down",
)
"""Done to the world before the call."""


def kinds_for(verb: str) -> tuple[str, ...]:
    """Return the kinds of fault that a call of this verb can meet."""
    reads = verb in ("get", "list")
    return (*CALL_FAULTS, *(READ_FAULTS if reads else WRITE_FAULTS), *WORLD_FAULTS)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a schedule.

    Attributes:
        kind: One of the words above.
        boundary: Where; empty: at the ``number``-th call of the driver, whatever it is.
        number: Which of the calls at this boundary, from 0.
        seconds: How long it lasts, where it lasts.
    """

    kind: str
    boundary: str = ""
    number: int = 0
    seconds: float = 0.0
