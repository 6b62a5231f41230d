"""What breaks in the middle of a release: tokens, objects, answers, pods that never end; each ends in a named state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import AccessDeniedError, GitlabMeshError, TransientError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.recover.job import JOB as RECOVER
from tests.jobs.releases import FAST, assert_nothing_left, release, service, user_objects


class Outage:
    """Fails every call between two times with an error."""

    def __init__(self, model: ShopModel, error: Callable[[], GitlabMeshError]) -> None:
        self.model = model
        self.error = error
        self.begin = self.end = float("inf")

    def before(self, call: Any) -> None:
        if self.begin <= self.model.clock.monotonic() < self.end:
            raise self.error()

    def after(self, call: Any) -> None:
        return


def during_step(model: ShopModel, share: float, act: Callable[[], None]) -> None:
    """Do something once, some seconds after the canary got this share."""
    seen = [0]

    def watch(seconds: float) -> None:
        model._pass(seconds)
        seen[0] += model._share() == share
        if seen[0] == 3:
            seen[0] += 1
            act()

    model.clock.on_sleep = watch


def outage(model: ShopModel, error: Callable[[], GitlabMeshError], seconds: float) -> tuple[Outage, ModelPorts]:
    fault = Outage(model, error)
    ports = ModelPorts(model, service(), cluster=model.cluster.as_actor("gitlab-mesh", fault=fault))

    def begin() -> None:
        fault.begin = model.clock.monotonic()
        fault.end = fault.begin + seconds

    during_step(model, 0.1, begin)
    return fault, ports


def revoked() -> GitlabMeshError:
    return AccessDeniedError("the API server does not know our credentials (HTTP 401)")


def unreachable() -> GitlabMeshError:
    return TransientError("Kubernetes API cannot be reached")


@pytest.mark.parametrize("error", [revoked, unreachable])
def test_a_short_outage_is_bridged(error: Callable[[], GitlabMeshError]) -> None:
    model = ShopModel()
    _, ports = outage(model, error, FAST.lease / 2)
    assert release(ports, "1.5.0").report.outcome is Outcome.PROMOTED


@pytest.mark.parametrize("error", [revoked, unreachable])
def test_a_longer_outage_ends_the_release_safely_once_the_api_is_back(error: Callable[[], GitlabMeshError]) -> None:
    model = ShopModel()
    before = user_objects(model)
    _, ports = outage(model, error, FAST.lease + 60)
    result = release(ports, "1.5.0")
    assert result.exit_code in (20, 21)
    assert_nothing_left(model, before)


def test_a_token_that_is_revoked_for_good_is_unsafe_and_recover_with_another_ends_it() -> None:
    model = ShopModel()
    before = user_objects(model)
    _, ports = outage(model, revoked, float("inf"))
    result = release(ports, "1.5.0")
    assert (result.exit_code, result.report.outcome) == (23, Outcome.UNSAFE)
    assert "weight 0 could not be written" in result.report.reason.lower().replace("could not", "could not")
    assert model._share() == 0.1
    other = ModelPorts(model, service(), driver=Driver("", "local-guard-1"))
    assert RECOVER.run(other, {"expired": True}).report.outcome is Outcome.ROLLED_BACK
    assert_nothing_left(model, before)


def test_a_raise_whose_answer_is_lost_is_taken_back() -> None:
    model = ShopModel()
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh")

    class LoseAnswers:
        down = float("inf")

        def before(self, call: Any) -> None:
            if self.down <= model.clock.monotonic() < self.down + FAST.lease + 10:
                raise unreachable()

        def after(self, call: Any) -> None:
            if (call.kind, call.verb) != ("VirtualService", "patch"):
                return
            weights = [item.get("value") for item in call.body if str(item["path"]).endswith("/weight")]
            if weights and weights[-1] == 10:
                self.down = model.clock.monotonic()
                raise TransientError("the connection broke during PATCH")

    cluster.fault = LoseAnswers()
    result = release(ModelPorts(model, service(), cluster=cluster), "1.5.0")
    assert result.exit_code == 20
    assert_nothing_left(model, before)


def test_a_canary_that_somebody_deletes_loses_its_traffic_at_the_next_look() -> None:
    model = ShopModel()
    before = user_objects(model)
    kubectl = model.cluster.as_actor("kubectl")
    during_step(model, 0.5, lambda: kubectl.delete("Deployment", "shop", "shop-canary"))
    result = release(ModelPorts(model, service()), "1.5.0")
    assert result.exit_code == 11
    assert "no pod of the canary is ready" in result.report.reason.lower()
    assert_nothing_left(model, before)
    assert model.lost_by_mesh <= 300 * 0.5 * 2 * FAST.look_interval


def test_a_route_that_somebody_deletes_ends_the_release_and_the_canary_goes() -> None:
    model = ShopModel()
    kubectl = model.cluster.as_actor("kubectl")
    during_step(model, 0.5, lambda: kubectl.delete("VirtualService", "shop", "shop"))
    share = model._share

    def tolerant() -> float:
        try:
            return share()
        except GitlabMeshError:
            return 0.0

    model._share = tolerant  # type: ignore[method-assign]
    result = release(ModelPorts(model, service()), "1.5.0")
    assert result.exit_code != 0
    names = [item["metadata"]["name"] for item in model.cluster.list("Deployment", "shop")]
    assert names == ["shop"]
    subsets = model.cluster.get("DestinationRule", "shop", "shop")["spec"]["subsets"]
    assert [item["name"] for item in subsets] == ["stable"]


def test_a_lease_that_somebody_deletes_is_taken_anew() -> None:
    model = ShopModel()
    kubectl = model.cluster.as_actor("kubectl")
    during_step(model, 0.1, lambda: kubectl.delete("Lease", "shop", "gitlab-mesh-shop"))
    assert release(ModelPorts(model, service()), "1.5.0").report.outcome is Outcome.PROMOTED


def test_a_record_that_somebody_deletes_is_written_anew() -> None:
    model = ShopModel()
    kubectl = model.cluster.as_actor("kubectl")
    during_step(model, 0.1, lambda: kubectl.delete("ConfigMap", "shop", "gitlab-mesh-shop"))
    ports = ModelPorts(model, service())
    assert release(ports, "1.5.0").report.outcome is Outcome.PROMOTED
    record, _ = ports.store.read()
    assert record is not None
    assert record.outcome == "promoted"


def test_pods_that_never_end_do_not_keep_the_lock() -> None:
    model = ShopModel()
    during_step(model, 0.1, lambda: setattr(model.workloads, "stuck_until", float("inf")))
    ports = ModelPorts(model, service())
    started = model.clock.monotonic()
    assert release(ports, "bad").exit_code == 10
    assert model.clock.monotonic() - started < 300
    lease = ports.lock.read()
    assert lease is not None
    assert not lease.holder


def test_a_bug_of_ours_does_not_leave_the_weight_where_it_is() -> None:
    model = ShopModel()
    before = user_objects(model)
    ports = ModelPorts(model, service())
    read = model.metrics.read

    def broken(targets: Any) -> Any:
        if model._share() == 0.5:
            raise KeyError("a bug")
        return read(targets)

    model.metrics.read = broken  # type: ignore[method-assign]
    result = release(ports, "1.5.0")
    assert result.exit_code == 1
    assert_nothing_left(model, before)


def test_a_gitops_controller_that_resets_the_whole_route_is_named_and_the_end_is_safe() -> None:
    """Argo CD with self-heal puts back spec.http as it is in Git: our destination and its weight are gone."""
    model = ShopModel()
    argo = model.cluster.as_actor("argocd-controller")
    git = model.route()["spec"]["http"]
    resets = []

    def heal(seconds: float) -> None:
        model._pass(seconds)
        live = model.route()["spec"]["http"]
        if live != git:
            resets.append(model.clock.monotonic())
            argo.patch("VirtualService", "shop", "shop", [{"op": "replace", "path": "/spec/http", "value": git}])

    model.clock.on_sleep = heal
    result = release(ModelPorts(model, service(rollout=replace(FAST, deadline=120.0))), "1.5.0")
    assert result.exit_code == 22
    assert "argocd-controller" in result.report.reason
    assert model.route()["spec"]["http"] == git
    assert len(resets) <= 2 + 2 * FAST.reassert + 2
    assert [item["metadata"]["name"] for item in model.cluster.list("Deployment", "shop")] == ["shop"]


def test_a_gitops_controller_that_ignores_our_fields_changes_nothing() -> None:
    """With the ignoreDifferences of docs/rollout.md it writes everything but http and our annotation."""
    model = ShopModel()
    argo = model.cluster.as_actor("argocd-controller")

    def sync(seconds: float) -> None:
        model._pass(seconds)
        argo.patch("VirtualService", "shop", "shop", [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}])

    model.clock.on_sleep = sync
    assert release(ModelPorts(model, service()), "1.5.0").report.outcome is Outcome.PROMOTED
