"""Freeze windows, hotfixes, rejected digests, history, Events, and stable's capacity."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gitlab_mesh.config.model import FreezeConfig
from gitlab_mesh.core.freeze import in_window
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import AccessDeniedError, GitlabMeshError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import TAGS, ModelBehaviour, ShopModel, shop_objects
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from gitlab_mesh_jobs.status.job import JOB as STATUS
from tests.jobs.releases import FAST, KillAt, Killed, assert_nothing_left, release, service, user_objects

THURSDAY = datetime(2026, 1, 1, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "when", "frozen"),
    [
        ({"days": ("thu",)}, THURSDAY, True),
        ({"days": ("sat", "sun")}, THURSDAY, False),
        ({"begin": "14:00", "end": "16:00"}, THURSDAY, True),
        ({"begin": "15:01"}, THURSDAY, False),
        ({"end": "15:00"}, THURSDAY, False),
        ({"begin": "22:00", "end": "06:00"}, THURSDAY.replace(hour=23), True),
        ({"begin": "22:00", "end": "06:00", "days": ("thu",)}, datetime(2026, 1, 2, 5, 59, tzinfo=UTC), True),
        ({"begin": "22:00", "end": "06:00", "days": ("fri",)}, datetime(2026, 1, 2, 5, 59, tzinfo=UTC), False),
        ({"begin": "22:00", "end": "06:00"}, THURSDAY, False),
        ({"first_day": "2025-12-20", "last_day": "2026-01-01"}, THURSDAY, True),
        ({"first_day": "2025-12-20", "last_day": "2025-12-31"}, THURSDAY, False),
        ({"first_day": "2026-01-02"}, THURSDAY, False),
    ],
)
def test_freeze_windows(window: dict[str, Any], when: datetime, frozen: bool) -> None:
    assert in_window(when, **window) is frozen


def test_a_freeze_refuses_and_a_hotfix_gets_past_it() -> None:
    model = ShopModel()
    frozen = service(freeze=(FreezeConfig("holidays", first_day="2025-12-20", last_day="2026-01-06"),))
    with pytest.raises(GitlabMeshError, match="are frozen: holidays") as caught:
        release(ModelPorts(model, frozen), "1.5.0")
    assert caught.value.exit_code == 16
    assert not model.cluster.list("Lease", "shop")
    ports = ModelPorts(model, frozen)
    assert release(ports, "1.5.0", hotfix="checkout loses orders").report.outcome is Outcome.PROMOTED
    record, _ = ports.store.read()
    assert record is not None
    assert record.history[0].hotfix == "checkout loses orders"


def test_a_freeze_is_local_time() -> None:
    model = ShopModel()
    eve = FreezeConfig("evening", begin="09:00", end="10:00", timezone="Asia/Tokyo")  # 00:00-01:00 UTC
    with pytest.raises(GitlabMeshError, match="are frozen") as caught:
        release(ModelPorts(model, service(freeze=(eve,))), "1.5.0")
    assert "Asia/Tokyo" in caught.value.why


def broken_stable() -> ShopModel:
    tags = {**TAGS, "broken": ModelBehaviour(error_ratio=0.6)}
    return ShopModel(shop_objects(image="registry.example/shop:broken"), tags=tags)


def test_a_hotfix_is_not_compared_with_a_broken_stable() -> None:
    model = broken_stable()
    ports = ModelPorts(model, service())
    result = release(ports, "1.5.0", hotfix="stable fails 60 %")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert any("hotfix" in str(item["message"]) for item in model.cluster.list("Event", "shop"))
    assert "stable fails 60 %" in ports.notes.bodies["shop"]


def test_a_hotfix_for_a_stable_that_does_not_run_at_all() -> None:
    model = ShopModel(shop_objects(image="registry.example/shop:crash"))
    with pytest.raises(GitlabMeshError, match="is not healthy") as caught:
        release(ModelPorts(model, service()), "1.5.0")
    assert "--hotfix" in caught.value.hint
    result = release(ModelPorts(model, service()), "1.5.0", hotfix="stable crashes")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)


@pytest.mark.parametrize("tag", ["crash", "never-ready", "outage"])
def test_absolute_limits_and_readiness_hold_for_a_hotfix(tag: str) -> None:
    tags = {**TAGS, "outage": ModelBehaviour(error_ratio=0.9)}
    model = ShopModel(tags=tags)
    before = user_objects(model)
    result = release(ModelPorts(model, service()), tag, hotfix="hurry")
    assert result.exit_code == 10
    assert_nothing_left(model, before)


def test_a_hotfix_without_traffic_is_no_data() -> None:
    model = ShopModel(rate=0.0)
    ports = ModelPorts(model, service(rollout=replace(FAST, deadline=60.0)))
    assert release(ports, "1.5.0", hotfix="hurry").exit_code == 12


def test_a_lost_hotfix_is_resumed_as_a_hotfix() -> None:
    model = broken_stable()
    cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(18, after=True))
    with pytest.raises(Killed):
        release(ModelPorts(model, service(), cluster=cluster), "1.5.0", hotfix="stable fails")
    retry = ModelPorts(model, service(), driver=Driver("100", "1001"))
    assert release(retry, "1.5.0", hotfix="stable fails").report.outcome is Outcome.PROMOTED


def test_a_rejected_digest_is_refused_under_any_name() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    assert release(ports, "bad").exit_code == 10
    record, version = ports.store.read()
    assert record is not None
    assert record.rejected_digests
    other = ModelPorts(model, service(), driver=Driver("101", "1010"))
    assert release(other, "1.4.0").exit_code == 0  # another release in between: the name alone is forgotten
    renamed = ModelPorts(model, service(), driver=Driver("102", "1020"))
    result = release(renamed, "bad")
    assert result.exit_code == 16
    assert "which a verdict rejected before" in result.report.reason
    assert model._share() == 0
    del version


def autoscaler(minimum: int | None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
        "maxReplicas": 10,
    }
    if minimum is not None:
        spec["minReplicas"] = minimum
    meta = {"name": "shop", "namespace": "shop"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}


def live_minimum(model: ShopModel) -> Any:
    return model.cluster.get("HorizontalPodAutoscaler", "shop", "shop")["spec"].get("minReplicas")


@pytest.mark.parametrize("tag", ["1.5.0", "bad"])
def test_stables_autoscaler_is_pinned_and_put_back(tag: str) -> None:
    model = ShopModel([*shop_objects(replicas=4), autoscaler(2)])
    seen = set()

    def watch(seconds: float) -> None:
        model._pass(seconds)
        if model._share() > 0:
            seen.add(live_minimum(model))

    model.clock.on_sleep = watch
    ports = ModelPorts(model, service())
    release(ports, tag)
    assert seen == {4}
    assert live_minimum(model) == 2
    assert "keeps at least 4 stable pods" in ports.console.text


def test_a_lost_jobs_pin_is_put_back_by_the_rollback() -> None:
    model = ShopModel([*shop_objects(replicas=4), autoscaler(1)])
    for number in range(3, 12):
        cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=True))
        with pytest.raises(Killed):
            release(ModelPorts(model, service(), cluster=cluster), "1.5.0")
        assert ROLLBACK.run(ModelPorts(model, service()), {}).exit_code == 0
        assert live_minimum(model) == 1


def test_a_limit_that_somebody_changed_meanwhile_stays() -> None:
    model = ShopModel([*shop_objects(replicas=4), autoscaler(1)])

    def change(seconds: float) -> None:
        model._pass(seconds)
        if model._share() == 0.5:
            operations = [{"op": "replace", "path": "/spec/minReplicas", "value": 6}]
            model.cluster.as_actor("kubectl").patch("HorizontalPodAutoscaler", "shop", "shop", operations)

    model.clock.on_sleep = change
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    assert live_minimum(model) == 6


def test_stable_keeps_its_pods_all_the_time() -> None:
    model = ShopModel(shop_objects(replicas=4))
    ready: list[int] = []

    def watch(seconds: float) -> None:
        model._pass(seconds)
        if 0 < model._share() < 1:
            status = model.cluster.get("Deployment", "shop", "shop")["status"]
            ready.append(status["readyReplicas"])

    model.clock.on_sleep = watch
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    assert min(ready) == 4


def test_events_tell_the_story_on_the_virtual_service() -> None:
    model = ShopModel()
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    events = sorted(model.cluster.list("Event", "shop"), key=lambda item: item["metadata"]["name"])
    assert {item["involvedObject"]["kind"] for item in events} == {"VirtualService"}
    reasons = [item["reason"] for item in events]
    assert {"ReleaseStarted", "WeightWritten", "ReleasePromoted"} <= set(reasons)


def test_without_the_right_to_events_a_release_says_so_and_goes_on() -> None:
    model = ShopModel()
    cluster = model.cluster.as_actor("gitlab-mesh")

    class NoEvents:
        def before(self, call: Any) -> None:
            if call.kind == "Event":
                raise AccessDeniedError("no right to create events")

        def after(self, call: Any) -> None:
            return

    cluster.fault = NoEvents()
    ports = ModelPorts(model, service(), cluster=cluster)
    assert release(ports, "1.5.0").exit_code == 0
    assert ports.console.text.count("no right to create events") == 1


def test_the_history_comes_from_the_cluster_alone() -> None:
    model = ShopModel()
    for number, tag in enumerate(("1.5.0", "bad", "1.6.0")):
        release(ModelPorts(model, service(), driver=Driver(f"{100 + number}", f"{1000 + number}")), tag)
    ports = ModelPorts(model, service())
    STATUS.run(ports, {"history": True})
    lines = ports.console.text
    assert lines.index("shop:1.6.0") < lines.index("shop:bad") < lines.index("shop:1.5.0")
    assert "rejected" in lines
