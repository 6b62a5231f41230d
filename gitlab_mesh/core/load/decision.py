"""From verdicts to one decision: what was missed, what cannot be believed, what nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gitlab_mesh.core.judge.model import Verdict, VerdictKind
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.core.report.formatting import format_count, format_duration, format_seconds, format_value
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import (
    GitlabMeshError,
    InconclusiveError,
    InterruptedRunError,
    LoadCheckFailedError,
    NoDataError,
)

__all__ = ["Decision", "decide_load"]


@dataclass(frozen=True, slots=True)
class Decision:
    """How the run ends; ``error`` has the exit code, None is a pass."""

    outcome: Outcome
    headline: str
    reason: str = ""
    next_step: str = ""
    error: GitlabMeshError | None = None


def decide_load(result: LoadResult, verdicts: Sequence[Verdict], *, signal_number: int = 0) -> Decision:
    """Decide.

    A run that was ended from outside stays ended. Where the generator was the limit, its delays are no fault of the
    target's: only errors still count then, everything else is unknown. A miss outranks what is unknown.
    """
    facts = _facts(result)
    if signal_number:
        text = f"load-check of {result.target} was ended by signal {signal_number} after {facts}"
        error: GitlabMeshError = InterruptedRunError(text, signal_number=signal_number)
        return Decision(Outcome.INTERRUPTED, text, _reasons(_of(verdicts, VerdictKind.BREACH)), error=error)
    missed = _of(verdicts, VerdictKind.BREACH)
    believed = [one for one in missed if not result.generator_limited or _counts_errors(one)]
    if believed:
        names = ", ".join(one.metric for one in believed)
        text = f"load-check of {result.target} missed {names}"
        return _end(Outcome.FAILED, LoadCheckFailedError, text, f"{_reasons(believed)} Measured: {facts}.")
    if result.generator_limited:
        text = f"load-check of {result.target} says nothing: the generator was the limit"
        reason = "; ".join(result.limits) + "."
        step = (
            "Lower the rate, give the job more of a processor, or spread the load over several runners: `parallel: 2`."
        )
        return _end(Outcome.INCONCLUSIVE, InconclusiveError, text, reason, step)
    unknown = _of(verdicts, VerdictKind.NO_DATA) + _of(verdicts, VerdictKind.ERROR)
    if unknown:
        text = f"load-check of {result.target} has no data for {', '.join(one.metric for one in unknown)}"
        return _end(Outcome.NO_DATA, NoDataError, text, _reasons(unknown))
    undecided = _of(verdicts, VerdictKind.UNDECIDED)
    if undecided:
        text = f"load-check of {result.target} cannot tell yet: {', '.join(one.metric for one in undecided)}"
        step = "Run it longer: more requests decide it."
        return _end(Outcome.INCONCLUSIVE, InconclusiveError, text, _reasons(undecided), step)
    return Decision(Outcome.PASSED, f"load-check of {result.target} passed: {facts}")


def _end(outcome: Outcome, kind: type[GitlabMeshError], headline: str, reason: str, next_step: str = "") -> Decision:
    return Decision(outcome, headline, reason, next_step, kind(headline, why=reason, hint=next_step))


def _of(verdicts: Sequence[Verdict], kind: VerdictKind) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.kind is kind]


def _counts_errors(verdict: Verdict) -> bool:
    """Whether a miss stays one although the generator was late: it counts failures, not time."""
    return verdict.unit == "ratio" and "rate" not in verdict.metric


def _reasons(verdicts: Sequence[Verdict]) -> str:
    return " ".join(f"{one.metric}: {one.reason}." for one in verdicts)


def _facts(result: LoadResult) -> str:
    latency = result.latency
    return (
        f"{format_count(result.requests)} requests in {format_duration(result.sending_seconds)} "
        f"({format_value(result.achieved_rate, 'per_second')}), p50 {format_seconds(latency.quantile(0.5))}, "
        f"p99 {format_seconds(latency.quantile(0.99))}, {format_count(result.failed)} errors"
    )
