"""What stays in the record when a rollout is over: the outcome, the last good release, the rejected, the history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gitlab_mesh.core.record import HISTORY_LENGTH, PastRelease, Record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import End

__all__ = ["close_record", "with_history"]

_REMEMBERED_DIGESTS = 50


def close_record(record: Record, end: End, phase: str, now: datetime) -> dict[str, Any]:
    """Return the changes that close the record."""
    changes: dict[str, Any] = {
        "phase": phase,
        "reason": end.reason,
        "outcome": end.outcome.value,
        "weight": 0.0,
        "originals": {},
        "created": (),
        "judge_state": {},
        "ending": "",
        "pause_until": "",
        "pause_step": -1,
        "history": with_history(record, end, now),
    }
    if end.outcome in (Outcome.PROMOTED, Outcome.DEPLOYED):
        changes["last_good"] = record.canary
        changes["previous_template"] = _previous_template(record)
    if end.outcome is Outcome.REJECTED and record.canary is not None:
        # What stable runs too (a helper container that did not change) is not what was rejected.
        shared = set(record.stable.digests) if record.stable else set()
        bad = (digest for digest in record.canary.digests if digest not in shared)
        digests = dict.fromkeys((*record.rejected_digests, *bad))
        changes["rejected_digests"] = tuple(digests)[-_REMEMBERED_DIGESTS:]
    return changes


def with_history(record: Record, end: End, now: datetime) -> tuple[PastRelease, ...]:
    """Return the history with this rollout in front."""
    entry = PastRelease(
        id=record.id,
        image=record.image,
        outcome=end.outcome.value,
        reason=end.reason[:200],
        started=record.started,
        ended=now.isoformat(timespec="seconds"),
        url=record.driver.url,
        hotfix=record.hotfix,
    )
    return (entry, *record.history)[:HISTORY_LENGTH]


def _previous_template(record: Record) -> dict[str, Any]:
    """Stable's template before this promotion, if we replaced it: ``rollback --to-previous`` brings it back."""
    for key, was in record.originals.items():
        if key.startswith("Deployment/") and "template" in was:
            return dict(was["template"])
    return {}
