"""The canary's side: by whom it was counted, what retries hid, and what buckets cannot tell."""

from __future__ import annotations

from math import inf

import pytest

from gitlab_mesh.core.judge.model import VerdictKind
from gitlab_mesh.core.load.canary_side import CanarySide, judge_canary
from gitlab_mesh.core.load.thresholds import parse_threshold
from gitlab_mesh.core.metrics.counts import Counts, Histogram

BOUNDS = (0.01, 0.1, 0.25, inf)
GOOD = Counts(1000, {}, Histogram(BOUNDS, (900, 99, 1, 0)))


def judge(text: str, **sides: object) -> tuple[VerdictKind, str]:
    values: dict[str, object] = {"sender": GOOD, "receiver": GOOD, "stable_requests": 9000}
    *_, verdict = judge_canary(CanarySide(**{**values, **sides}), [parse_threshold(text)])  # type: ignore[arg-type]
    return verdict.kind, verdict.reason


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("canary.p99 < 100ms", VerdictKind.PASS),
        ("canary.p99 <= 100ms", VerdictKind.PASS),
        ("canary.p99 < 10ms", VerdictKind.BREACH),
        ("canary.p99 < 50ms", VerdictKind.UNDECIDED),  # inside the bucket 10–100 ms
        ("canary.p99.99 < 1s", VerdictKind.UNDECIDED),  # 1,000 requests
        ("canary.p50 < 10ms", VerdictKind.PASS),
        ("canary.errors = 0", VerdictKind.PASS),
        ("canary.requests > 999", VerdictKind.PASS),
        ("canary.requests > 1000", VerdictKind.BREACH),
        ("canary.retries = 0", VerdictKind.PASS),
        ("canary.rate_limited = 0", VerdictKind.PASS),
        ("canary.circuit_breaker = 0", VerdictKind.PASS),
    ],
)
def test_a_good_canary(text: str, kind: VerdictKind) -> None:
    assert judge(text)[0] is kind


def test_the_upper_limit_of_a_bucket_is_not_below_itself() -> None:
    """A bucket 10–100 ms holds requests of exactly 100 ms (le), so p99 < 100 ms is as good as its border says."""
    counts = Counts(1000, {}, Histogram(BOUNDS, (0, 0, 1000, 0)))
    assert judge("canary.p99 < 250ms", sender=counts)[0] is VerdictKind.PASS
    assert judge("canary.p99 < 100ms", sender=counts)[0] is VerdictKind.BREACH


def test_retries_hide_errors_from_the_sender_and_the_client() -> None:
    receiver = Counts(1100, {"5xx": 100})
    assert judge("canary.retries < 1%", receiver=receiver)[0] is VerdictKind.BREACH
    kind, reason = judge("canary.errors < 1%", receiver=receiver)
    assert kind is VerdictKind.BREACH
    assert "the canary's own proxies" in reason


@pytest.mark.parametrize("event", ["circuit_breaker", "connection_failures"])
def test_what_was_refused_before_a_pod_was_chosen_counts(event: str) -> None:
    unplaced = Counts(50, {"no-response": 50}, None, {event: 50})
    kind, reason = judge(f"canary.{event} = 0", unplaced=unplaced)
    assert kind is VerdictKind.BREACH
    assert "50 of them were refused before a pod" in reason
    assert judge(f"canary.{event} = 0", sender=None)[0] is VerdictKind.NO_DATA


def test_rate_limits_are_seen_on_either_side() -> None:
    limited = Counts(100, {}, None, {"rate_limited": 3})
    assert judge("canary.rate_limited = 0", sender=limited)[0] is VerdictKind.BREACH
    assert judge("canary.rate_limited = 0", sender=None, receiver=limited)[0] is VerdictKind.BREACH
    assert judge("canary.rate_limited < 5%", sender=limited)[0] is VerdictKind.PASS


def test_nothing_that_reached_the_canary_is_a_miss_and_no_limit_passes() -> None:
    side = CanarySide(Counts(), Counts(), 500, share=0.0)
    reached, errors = judge_canary(side, [parse_threshold("canary.errors < 1%")])
    assert reached.kind is VerdictKind.BREACH
    assert "stable got 500 requests; its weight in the route is 0" in reached.reason
    assert errors.kind is VerdictKind.NO_DATA


@pytest.mark.parametrize("side", [CanarySide(None, None, 0), CanarySide(GOOD, GOOD, 0, problem="pod x has no sample")])
def test_counts_that_are_missing_or_not_complete_are_no_pass(side: CanarySide) -> None:
    verdicts = judge_canary(side, [parse_threshold("canary.errors < 1%")])
    assert {one.kind for one in verdicts} == {VerdictKind.NO_DATA}
