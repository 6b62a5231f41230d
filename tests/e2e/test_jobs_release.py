"""Whole releases on a real Istio: good ones are promoted, bad ones taken back, with the printed Role and no more."""

from __future__ import annotations

from tests.e2e.controlplane.control_plane import PATIENCE
from tests.e2e.runner import QUICK, Runner


def test_a_good_release_is_promoted_and_no_request_fails(runner: Runner) -> None:
    before = runner.snapshot()
    runner.configure(judge=QUICK)
    with runner.traffic() as traffic, runner.canary("1.5.0") as job:
        ended = job.end()
        traffic.wait_for(traffic.facts.requests + 100, PATIENCE)
    assert ended.code == 0, ended.log
    assert ended.report["outcome"] == "promoted"
    assert runner.findings(before, image="registry.example/shop:1.5.0") == []
    assert (traffic.facts.failed_by_mesh, traffic.facts.failed_by_application) == (0, 0)
    assert set(traffic.facts.by_version) == {"1.4.0", "1.5.0"}


def test_a_bad_release_is_taken_back(runner: Runner) -> None:
    before = runner.snapshot()
    with runner.traffic() as traffic, runner.canary("bad") as job:
        ended = job.end()
    assert ended.code == 10, ended.log
    assert ended.report["outcome"] == "rejected"
    assert runner.findings(before) == []
    assert traffic.facts.failed_by_mesh == 0
    # 5 % of 50 requests/s: without a way back it would be 750 at the deadline. About 20 are usual; the rest is room for
    # a machine on which every look takes longer.
    assert 0 < traffic.facts.failed_by_application < 120
