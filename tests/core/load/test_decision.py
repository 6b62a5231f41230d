"""The one decision: what was missed outranks what is unknown, and nothing is believed that the generator caused."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.judge.model import Verdict, VerdictKind
from gitlab_mesh.core.load.decision import decide_load
from gitlab_mesh.core.report.model import Outcome
from tests.core.load.runs import lognormal, make_run

PASS = Verdict("p99 < 1s", VerdictKind.PASS, unit="seconds")
SLOW = Verdict("p50 < 1ms", VerdictKind.BREACH, unit="seconds", reason="p50 is 20 ms")
FAILS = Verdict("errors < 1%", VerdictKind.BREACH, unit="ratio", reason="errors is 50 %")
RATE = Verdict("rate > 95%", VerdictKind.BREACH, unit="ratio", reason="rate is 50 %")
FEW = Verdict("p99.9 < 1s", VerdictKind.UNDECIDED, unit="seconds", reason="too few")
NOTHING = Verdict("canary.p99 < 1s", VerdictKind.NO_DATA, unit="seconds", reason="nobody counted")


@pytest.mark.parametrize(
    ("verdicts", "limited", "outcome", "code"),
    [
        ([PASS], False, Outcome.PASSED, 0),
        ([PASS, SLOW], False, Outcome.FAILED, 14),
        ([FEW, NOTHING, FAILS], False, Outcome.FAILED, 14),
        ([PASS, NOTHING, FEW], False, Outcome.NO_DATA, 12),
        ([PASS, FEW], False, Outcome.INCONCLUSIVE, 11),
        ([PASS], True, Outcome.INCONCLUSIVE, 11),
        ([PASS, SLOW], True, Outcome.INCONCLUSIVE, 11),
        ([PASS, RATE], True, Outcome.INCONCLUSIVE, 11),
        ([SLOW, FAILS], True, Outcome.FAILED, 14),
    ],
)
def test_every_combination_has_its_code(verdicts: list[Verdict], limited: bool, outcome: Outcome, code: int) -> None:
    run = make_run(lognormal(), seconds=1)
    run.limits = ("the generator sent late",) if limited else ()
    decision = decide_load(run, verdicts)
    assert decision.outcome is outcome
    assert (decision.error.exit_code if decision.error else 0) == code
    assert "127.0.0.1" in decision.headline


@pytest.mark.parametrize(("number", "code"), [(15, 143), (2, 130)])
def test_a_signal_stays_a_signal(number: int, code: int) -> None:
    decision = decide_load(make_run(lognormal(), seconds=1), [FAILS], signal_number=number)
    assert decision.outcome is Outcome.INTERRUPTED
    assert decision.error is not None
    assert decision.error.exit_code == code
    assert "errors is 50 %" in decision.reason
