"""Requests that were refused before a pod was chosen are nobody's, but they do not vanish either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gitlab_mesh.core.metrics.arithmetic import merge
from gitlab_mesh.core.metrics.counts import Counts, SideTarget, Snapshot
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.ports import MetricSource
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import FAST, assert_nothing_left, release, service, user_objects


class Refusing:
    """The model's metrics, and a gateway that also refuses requests for which it has no pod."""

    def __init__(self, source: MetricSource, model: ShopModel, *, per_second: float, before: int, always: bool) -> None:
        self.source, self.model, self.per_second, self.always = source, model, per_second, always
        self.count, self.seen = float(before), model.clock.monotonic()
        self.life = Counts(requests=15_000 if before else 0)  # of each pod, before the release

    def check(self, targets: Any) -> None:
        self.source.check(targets)

    def read(self, targets: tuple[SideTarget, ...]) -> Snapshot:
        now = self.model.clock.monotonic()
        self.count += (now - self.seen) * self.per_second * (self.always or self.model._share() > 0)
        self.seen, count = now, int(self.count)
        refused = Counts(count, {"no-response": count}, None, {"connection_failures": count})
        snapshot = self.source.read(targets)
        served = (replace(item, counts=merge(item.counts, self.life)) for item in snapshot.samples)
        return replace(snapshot, samples=tuple(served), unplaced={"gateway-1": refused} if count else {})


def ports_of(model: ShopModel, *, per_second: float, before: int = 0, **rollout: Any) -> ModelPorts:
    ports = ModelPorts(model, service(rollout=replace(FAST, **rollout)))
    ports.metrics = Refusing(ports.metrics, model, per_second=per_second, before=before, always=before > 0)
    return ports


def test_a_canary_that_may_have_lost_requests_so_is_not_promoted() -> None:
    model = ShopModel()
    before = user_objects(model)
    ports = ports_of(model, per_second=3.0, deadline=90.0)
    result = release(ports, "1.5.0")
    assert result.report.outcome is Outcome.INCONCLUSIVE
    assert "were refused before a pod was chosen" in result.report.reason
    assert "requests, of either side" in result.report.facts["refused before a pod was chosen"]
    assert_nothing_left(model, before)


def test_what_was_usual_before_the_release_does_not_hold_it_up() -> None:
    model = ShopModel()
    result = release(ports_of(model, per_second=3.0, before=600), "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    assert "refused before a pod was chosen" in result.report.facts


def test_a_few_do_not_hold_it_up_and_are_shown() -> None:
    result = release(ports_of(ShopModel(), per_second=0.05), "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    assert result.report.facts["refused before a pod was chosen"]
