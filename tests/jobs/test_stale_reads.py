"""Reads that lag behind what was written, and drivers that stand still before a write to the autoscaler."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import AccessDeniedError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import FAST, Calls, KillAt, Killed, release, service
from tests.jobs.test_policy import autoscaler, live_minimum

LATER = Driver("100", "1002", "https://gitlab.example/acme/shop/-/jobs/1002")
HPA = ("HorizontalPodAutoscaler", "shop", "shop")


def ports_of(model: ShopModel, cluster: Any, **options: Any) -> ModelPorts:
    return ModelPorts(model, options.pop("settings", service()), cluster=cluster, **options)


def test_a_pin_is_put_back_although_the_read_before_still_shows_the_old_limit() -> None:
    model = ShopModel([*shop_objects(replicas=3), autoscaler(1)])
    old = copy.deepcopy(model.cluster.get(*HPA))
    cluster = Calls(model, get=lambda do, kind, *_: copy.deepcopy(old) if kind == HPA[0] else do())
    assert release(ports_of(model, cluster), "1.5.0").exit_code == 0
    assert live_minimum(model) == 1


def test_a_driver_that_stands_still_before_the_pin_does_not_pin_what_another_one_put_back() -> None:
    model = ShopModel([*shop_objects(replicas=3), autoscaler(1)])
    codes: list[int] = []

    def patch(do: Callable[[], Any], kind: str, *_: Any) -> Any:
        if kind == HPA[0] and not codes:
            codes.append(ROLLBACK.run(ModelPorts(model, service()), {}).exit_code)
        return do()

    assert release(ports_of(model, Calls(model, patch=patch)), "1.5.0").exit_code == 22
    assert codes == [0]
    assert live_minimum(model) == 1


def test_a_driver_that_stands_still_before_the_unpin_does_not_take_the_next_rollouts_pin() -> None:
    model = ShopModel([*shop_objects(replicas=3), autoscaler(1)])
    with pytest.raises(Killed):
        release(ports_of(model, model.cluster.as_actor("gitlab-mesh", fault=KillAt(14, after=True))), "1.5.0")
    assert live_minimum(model) == 3
    seen: list[Any] = []

    def patch(do: Callable[[], Any], kind: str, *args: Any) -> Any:
        unpins = kind == HPA[0] and any(item["path"] == "/spec/minReplicas" for item in args[2])
        if not unpins or seen:
            return do()
        # Meanwhile a person ends it for good, and the next pipeline's canary gets traffic.
        seen.append(ROLLBACK.run(ModelPorts(model, service()), {}).exit_code)
        next_one = model.cluster.as_actor("gitlab-mesh", fault=KillAt(14, after=True))
        with pytest.raises(Killed):
            release(ports_of(model, next_one, driver=Driver("101", "1010", "")), "1.6.0")
        assert model._share() > 0
        try:
            return do()
        finally:
            seen.append(live_minimum(model))

    stood_still = ROLLBACK.run(ports_of(model, Calls(model, patch=patch), driver=LATER), {})
    assert stood_still.exit_code == 22
    assert seen == [0, 3]
    assert live_minimum(model) == 3


def test_stables_status_from_before_its_template_was_written_is_not_believed() -> None:
    model = ShopModel(shop_objects(replicas=3))
    before: list[Any] = []
    ready: list[int] = []

    def patch(do: Callable[[], Any], kind: str, namespace: str, name: str, operations: Any) -> Any:
        if kind == "Deployment" and any(item["path"] == "/spec/template" for item in operations):
            before.append(copy.deepcopy(model.cluster.get(kind, namespace, name)))
        if kind == "VirtualService" and model._share() == 1.0:
            found = model.cluster.get("Deployment", "shop", "shop")
            current = found["status"]["observedGeneration"] == found["metadata"]["generation"]
            ready.append(found["status"].get("updatedReplicas", 0) if current else 0)
        return do()

    left = [4]

    def get(do: Callable[[], Any], kind: str, _: str, name: str) -> Any:
        if (kind, name) == ("Deployment", "shop") and before and left[0]:
            left[0] -= 1
            return copy.deepcopy(before[0])
        return do()

    assert release(ports_of(model, Calls(model, patch=patch, get=get)), "1.5.0").exit_code == 0
    assert left == [0]
    assert ready
    assert ready[0] == 3


def test_an_autoscaler_that_nobody_may_write_does_not_stand_before_weight_0() -> None:
    model = ShopModel([*shop_objects(replicas=3), autoscaler(1)])
    with pytest.raises(Killed):
        release(ports_of(model, model.cluster.as_actor("gitlab-mesh", fault=KillAt(14, after=True))), "1.5.0")
    began, shares = model.clock.monotonic(), []

    def patch(do: Callable[[], Any], kind: str, *_: Any) -> Any:
        if kind == HPA[0]:
            shares.append((model._share(), model.clock.monotonic() - began))
            raise AccessDeniedError("no right to patch horizontalpodautoscalers")
        return do()

    assert model._share() > 0
    ROLLBACK.run(ports_of(model, Calls(model, patch=patch), driver=LATER), {})
    assert shares
    assert {share for share, _ in shares} == {0.0}


def test_a_route_read_with_the_fence_of_before_does_not_end_who_took_it_over() -> None:
    model = ShopModel(rate=20.0)
    held = service(rollout=replace(FAST, deadline=60.0, on_inconclusive="hold"))
    assert release(ModelPorts(model, held), "1.5.0").exit_code == 11
    before = copy.deepcopy(model.cluster.get("VirtualService", "shop", "shop"))
    model.rate = 300.0
    taken: list[float] = []

    def get(do: Callable[[], Any], kind: str, *_: Any) -> Any:
        answer = do()
        if kind == "VirtualService" and FENCE_ANNOTATION in (answer["metadata"].get("annotations") or {}):
            fence = answer["metadata"]["annotations"][FENCE_ANNOTATION]
            if fence != before["metadata"]["annotations"][FENCE_ANNOTATION]:
                taken.append(model.clock.monotonic())
                if len(taken) == 4:
                    return copy.deepcopy(before)
        return answer

    settings = service(rollout=replace(FAST, deadline=600.0))
    ports = ports_of(model, Calls(model, get=get), driver=LATER, settings=settings)
    result = release(ports, "1.5.0", **{"continue": True})
    assert len(taken) > 4
    assert result.report.outcome is Outcome.PROMOTED


def test_who_takes_over_a_promotion_believes_no_stable_from_before_it_came() -> None:
    model = ShopModel(shop_objects(replicas=3))
    before = copy.deepcopy(model.cluster.get("Deployment", "shop", "shop"))

    def promote(do: Callable[[], Any], kind: str, namespace: str, name: str, operations: Any) -> Any:
        do()
        if kind == "Deployment" and any(item["path"] == "/spec/template" for item in operations):
            raise Killed
        return model.cluster.get(kind, namespace, name)

    with pytest.raises(Killed):
        release(ports_of(model, Calls(model, patch=promote)), "1.5.0")
    assert model._share() == 1.0
    reads, whole = [0], []

    def get(do: Callable[[], Any], kind: str, _: str, name: str) -> Any:
        if (kind, name) != ("Deployment", "shop"):
            return do()
        reads[0] += 1  # the first is the takeover's own
        return copy.deepcopy(before) if 1 < reads[0] < 6 else do()

    def patch(do: Callable[[], Any], kind: str, *_: Any) -> Any:
        before_it = model._share()
        answer = do()
        if before_it == 1.0 and model._share() < 1.0:
            whole.append(model.cluster.get("Deployment", "shop", "shop"))
        return answer

    ROLLBACK.run(ports_of(model, Calls(model, get=get, patch=patch), driver=LATER), {})
    assert [one["spec"]["template"] for one in whole] == [before["spec"]["template"]]
    assert [one["status"]["updatedReplicas"] for one in whole] == [3]
