"""Numbers that are there but cannot be compared: an error of that metric, never a pass."""

from __future__ import annotations

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Look, VerdictKind
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Counts, Histogram

INF = float("inf")


def counts(requests: int) -> Counts:
    return Counts(requests, {}, Histogram((0.01, 0.1, INF), (requests, 0, 0)))


def test_a_fault_of_latency_is_an_error_that_bars_the_promotion() -> None:
    judge = Judge(JudgeSettings(bake_seconds=0.0))
    for number in range(1, 400):
        faults = {"latency": "pod b counts latency in other buckets"} if number == 200 else {}
        judgement = judge.look(Look(number * 5.0, counts(2000), counts(2000), 0.5, faults=faults))
        if number == 199:
            assert judgement.promote_gate.open
    latency = next(verdict for verdict in judgement.verdicts if verdict.metric == "latency")
    assert (latency.kind, latency.reason) == (VerdictKind.ERROR, "pod b counts latency in other buckets")
    assert not judgement.promote_gate.open
    assert not judgement.raise_gate.open
