"""Parity with Istio's own cases, where they lie beside this checkout; the goals of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.oracles import score_analysis, score_objects

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "oracles"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the cases are not beside this checkout (shared/oracles)")


@pytest.mark.parametrize("complete", [False, True])
def test_analysis(complete: bool) -> None:
    score = score_analysis(FOLDER / "istio-analysis", complete=complete)
    assert score.cases - score.exact <= 2, score.misses
    assert score.extra == 0, score.misses


def test_objects() -> None:
    scores = score_objects(FOLDER / "istio-objects")
    assert sum(score.rejected_valid for score in scores.values()) == 0
    right, cases = sum(score.exact for score in scores.values()), sum(score.cases for score in scores.values())
    assert right >= 0.98 * cases, [miss for score in scores.values() for miss in score.misses]
