"""Whole releases through the canary job, on a model of cluster, mesh and metrics and a simulated clock."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.config.model import HttpSmoke, SmokeCheck
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.formatting import format_seconds
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import AccessDeniedError, GitlabMeshError, TransientError
from gitlab_mesh.ports import Object
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import TAGS, ModelBehaviour, ShopModel, shop_objects
from gitlab_mesh_jobs.canary.job import JOB
from tests.jobs.releases import FAST, assert_nothing_left, release, service, user_objects


def test_a_good_release_is_promoted_and_only_stables_image_changes() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    before = user_objects(model)
    result = release(ports, "1.5.0")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    image = before["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]
    assert image["image"].endswith(":good")
    image["image"] = "registry.example/shop:1.5.0"
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0
    record, _ = ports.store.read()
    assert record is not None
    assert record.outcome == "promoted"
    assert record.last_good is not None
    assert record.last_good.image.endswith(":1.5.0")
    assert ports.deployments.states[-1] == ("production", "success")
    assert "promoted" in ports.notes.bodies["shop"]
    assert ports.console.text.count("chosen anew in each release from stable's own latencies") == 1
    assert result.report.facts["latency is compared at"].startswith(f"{format_seconds(0.05)}, the one that decides now")


def test_a_bad_release_is_taken_back_and_everything_is_as_before() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    before = user_objects(model)
    result = release(ports, "bad")
    assert (result.exit_code, result.report.outcome) == (10, Outcome.REJECTED)
    assert "errors" in result.report.reason.lower()
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0
    assert ports.deployments.states[-1] == ("production", "failed")
    assert result.report.dotenv["MESH_WEIGHT"] == "0"


def test_verdicts_come_from_counts_alone() -> None:
    swapped = {**TAGS, "good": TAGS["bad"], "bad": TAGS["good"]}
    objects = shop_objects(image="registry.example/shop:1.0.0")
    outcomes = {}
    for tag in ("good", "bad"):
        model = ShopModel(copy.deepcopy(objects), tags=swapped)
        outcomes[tag] = release(ModelPorts(model, service()), tag).report.outcome
    assert outcomes == {"good": Outcome.REJECTED, "bad": Outcome.PROMOTED}


def test_the_weight_is_recorded_before_it_is_written() -> None:
    model = ShopModel()
    cluster = model.cluster.as_actor("gitlab-mesh")
    ports = ModelPorts(model, service(), cluster=cluster)
    seen = []

    class Watch:
        def before(self, call: Any) -> None:
            if call.verb == "patch" and call.kind == "VirtualService":
                weights = [item.get("value", 0) for item in call.body if str(item["path"]).endswith("/weight")]
                canary = weights[-1] if len(weights) > 1 else 0
                record, _ = ports.store.read()
                assert record is not None
                if canary:
                    seen.append(canary)
                    assert record.weight == canary / 100

        def after(self, call: Any) -> None:
            return

    cluster.fault = Watch()
    assert release(ports, "1.5.0").exit_code == 0
    assert seen == [10, 50, 100]


def test_dry_run_prints_patches_and_writes_nothing() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    version = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in [model.route()]}
    result = release(ports, "1.5.0", dry_run=True)
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PLANNED)
    assert '"path": "/spec/http/1/route/-"' in ports.console.text
    assert "50" in ports.console.text
    assert version == {"shop": model.route()["metadata"]["resourceVersion"]}
    assert not model.cluster.list("ConfigMap", "shop")
    assert not model.cluster.list("Lease", "shop")


def test_a_manifest_releases_the_whole_template() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    manifest = copy.deepcopy(shop_objects()[0])
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": "registry.example/shop:2.0.0", "env": [{"name": "NEW", "value": "1"}]}
    manifest["spec"]["template"]["metadata"]["labels"] = {"app": "shop", "extra": "yes"}
    result = JOB.run(ports, {"manifest": manifest})
    assert result.report.outcome is Outcome.PROMOTED
    template = model.cluster.get("Deployment", "shop", "shop")["spec"]["template"]
    assert template["spec"]["containers"][0]["env"] == [{"name": "NEW", "value": "1"}]
    assert template["metadata"]["labels"] == {"app": "shop", "version": "stable", "extra": "yes"}


def test_a_first_release_is_deployed_without_a_canary() -> None:
    deployment, *others = shop_objects(image="registry.example/shop:1.0.0")
    model = ShopModel(others)
    result = JOB.run(ModelPorts(model, service()), {"manifest": deployment})
    assert (result.exit_code, result.report.outcome) == (0, Outcome.DEPLOYED)
    assert "no stable to compare with" in result.report.reason
    assert model.cluster.get("Deployment", "shop", "shop")["status"]["readyReplicas"] == 3


def test_a_signal_brings_traffic_back_and_has_its_own_code() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    before = user_objects(model)
    ports.signal.at = model.clock.monotonic() + 12
    result = release(ports, "1.5.0")
    assert (result.exit_code, result.report.outcome) == (143, Outcome.INTERRUPTED)
    assert_nothing_left(model, before)


def test_a_foreign_write_is_named_and_bounded() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    gitops = model.cluster.as_actor("argocd-controller")
    writes = []

    def reset(seconds: float) -> None:
        model._pass(seconds)
        routes = model.route()["spec"]["http"][1]["route"]
        if len(routes) > 1 and routes[1]["weight"]:
            writes.append(routes[1]["weight"])
            operations = [{"op": "replace", "path": "/spec/http/1/route/1/weight", "value": 0},
                          {"op": "replace", "path": "/spec/http/1/route/0/weight", "value": 100}]  # fmt: skip
            gitops.patch("VirtualService", "shop", "shop", operations)

    model.clock.on_sleep = reset
    result = release(ports, "1.5.0")
    assert result.exit_code == 22
    assert "argocd-controller" in result.report.reason
    assert len(writes) == 1 + service().rollout.reassert
    assert not [item for item in model.cluster.list("Deployment", "shop") if item["metadata"]["name"] != "shop"]


def test_feedback_that_fails_changes_nothing_but_the_log() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    ports.notes.problem = "note skipped: the job token may not write notes"
    ports.deployments.problem = "deployment skipped"
    assert release(ports, "1.5.0").exit_code == 0
    assert "the job token may not write notes" in ports.console.text


def without(objects: list[Object], kind: str) -> list[Object]:
    return [item for item in objects if item["kind"] != kind]


def relabelled() -> list[Object]:
    objects = shop_objects()
    del objects[0]["spec"]["template"]["metadata"]["labels"]["version"]
    return objects


def twice() -> list[Object]:
    objects = shop_objects()
    routes = objects[3]["spec"]["http"]
    routes.append({**copy.deepcopy(routes[1]), "name": "api"})
    return objects


def subset_without_label() -> list[Object]:
    objects = shop_objects()
    objects[2]["spec"]["subsets"][0]["labels"] = {"version": "v7"}
    return objects


SMOKE = (SmokeCheck("page", HttpSmoke("/"), attempts=1),)
COMMAND = (SmokeCheck("probe", command=("check-shop",), attempts=2),)

BEFORE_TRAFFIC: dict[str, tuple[list[Object], dict[str, Any], dict[str, Any], int, str]] = {
    "no VirtualService": (without(shop_objects(), "VirtualService"), {}, {}, 2, "shop/shop does not exist"),
    "no Deployment": (without(shop_objects(), "Deployment"), {}, {}, 2, "Deployment shop/shop does not exist"),
    "a route that matches twice": (twice(), {}, {}, 2, "2 HTTP routes lead to"),
    "a subset without label": (subset_without_label(), {}, {}, 2, "selects version=v7"),
    "pods without version label": (relabelled(), {}, {}, 2, "have no label 'version'"),
    "image and manifest": (shop_objects(), {}, {"manifest": shop_objects()[0]}, 2, "either --image or --manifest"),
    "broken stable": (shop_objects(image="registry.example/shop:crash"), {}, {}, 16, "is not healthy"),
    "smoke check fails": (shop_objects(), {"smoke": SMOKE}, {}, 10, "smoke check 'page' failed"),
    "smoke command fails": (shop_objects(), {"smoke": COMMAND}, {}, 10, "check-shop ended with 3"),
    "too little time": (
        shop_objects(), {"rollout": replace(FAST, deadline=15.0)}, {}, 2, "steps and watch take 20 s",
    ),
}  # fmt: skip


def failure(ports: ModelPorts, **options: Any) -> GitlabMeshError:
    """The error that a release ends with, raised or in its result."""
    try:
        result = release(ports, "1.5.0", **options)
    except GitlabMeshError as error:
        return error
    assert result.error is not None
    return result.error


@pytest.mark.parametrize("name", BEFORE_TRAFFIC)
def test_what_can_be_known_before_traffic_ends_before_traffic(name: str) -> None:
    objects, changes, options, code, message = BEFORE_TRAFFIC[name]
    model = ShopModel(objects)
    ports = ModelPorts(model, service(**changes))
    ports.commands.answers = {"check-shop": (3, "no basket")}
    model.cluster.server.pod_proxy = lambda space, pod, port, path: (500 if "canary" in pod else 200, {}, b"")
    before = user_objects(model)
    error = failure(ports, **options)
    assert error.exit_code == code
    assert message in error.what
    assert error.hint or error.why
    assert_nothing_left(model, before)
    assert model.clock.monotonic() < 600


def test_a_smoke_check_that_reaches_no_pod_at_all_does_not_reject_the_release() -> None:
    def refuse(space: str, pod: str, port: int, path: str) -> Any:
        raise ConnectionResetError("connection reset by peer")  # a sidecar with mTLS STRICT

    model = ShopModel()
    model.cluster.server.pod_proxy = refuse
    before = user_objects(model)
    ports = ModelPorts(model, service(smoke=SMOKE))
    error = failure(ports)
    assert error.exit_code == 2
    assert "no pod answers the API server" in error.what
    assert "mTLS STRICT" in error.what
    assert_nothing_left(model, before)
    record, _ = ports.store.read()
    assert record is not None
    assert record.outcome != "rejected"  # the image may be released once the check is mended


def test_the_job_that_has_too_little_time_left_does_not_start() -> None:
    ports = ModelPorts(ShopModel(), service())
    ports.remaining_seconds = 100.0
    with pytest.raises(GitlabMeshError, match="the job has 100 s left") as caught:
        release(ports, "1.5.0")
    assert caught.value.exit_code == 2


def test_missing_rights_are_all_named_before_anything_happens() -> None:
    model = ShopModel()
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    ports = ModelPorts(model, service(), cluster=model.cluster.as_actor("x", user=User("weak", "weak-token", rules)))
    with pytest.raises(GitlabMeshError) as caught:
        release(ports, "1.5.0")
    assert caught.value.exit_code == 21
    for right in ("patch virtualservices.networking.istio.io", "create configmaps", "delete deployments.apps"):
        assert right in caught.value.what


def test_metrics_that_cannot_be_read_stop_the_release_before_traffic() -> None:
    model = ShopModel()
    model.metrics.check_error = TransientError("Prometheus http://127.0.0.1:1 does not answer")
    with pytest.raises(GitlabMeshError) as caught:
        release(ModelPorts(model, service()), "1.5.0")
    assert caught.value.exit_code == 20
    assert not model.cluster.list("Lease", "shop")


def test_metrics_that_vanish_midway_end_as_no_data() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service(rollout=replace(FAST, deadline=120.0)))
    before = user_objects(model)

    def fail_later(seconds: float) -> None:
        model._pass(seconds)
        if model.clock.monotonic() > 70:
            model.metrics.queue(TransientError("the source does not answer"))

    model.clock.on_sleep = fail_later
    result = release(ports, "1.5.0")
    assert result.exit_code == 12
    assert_nothing_left(model, before)


def test_no_traffic_at_all_is_no_data_never_a_pass() -> None:
    model = ShopModel(rate=0.0)
    ports = ModelPorts(model, service(rollout=replace(FAST, deadline=120.0)))
    before = user_objects(model)
    result = release(ports, "1.5.0")
    assert result.exit_code == 12
    assert_nothing_left(model, before)


@pytest.mark.parametrize(("tag", "reason"), [("crash", "CrashLoopBackOff"), ("never-ready", "never became ready")])
def test_pods_that_do_not_start_are_rejected(tag: str, reason: str) -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    before = user_objects(model)
    result = release(ports, tag)
    assert result.exit_code == 10
    assert reason in result.report.reason
    assert_nothing_left(model, before)
    assert result.report.dotenv["MESH_WEIGHT"] == "0"


def test_stable_that_cannot_start_with_the_release_goes_back_before_it_gets_traffic() -> None:
    tags = {**TAGS, "1.5.0": ModelBehaviour()}
    model = ShopModel(tags=tags)
    ports = ModelPorts(model, service())
    before = user_objects(model)

    def break_later(seconds: float) -> None:
        if model.cluster.get("Deployment", "shop", "shop")["spec"]["template"]["spec"]["containers"][0][
            "image"
        ].endswith(":1.5.0"):
            tags["1.5.0"] = replace(tags["1.5.0"], ready_after=1e9)
        model._pass(seconds)

    model.clock.on_sleep = break_later
    result = release(ports, "1.5.0")
    assert result.exit_code == 10
    assert "stable did not start" in result.report.reason.lower()
    assert_nothing_left(model, before)


def test_a_second_driver_is_told_who_holds_it() -> None:
    model = ShopModel()
    first = ModelPorts(model, service())
    second = ModelPorts(model, service(), driver=Driver("101", "1001", "https://gitlab.example/jobs/1001"))
    outcome: list[GitlabMeshError] = []

    def race(seconds: float) -> None:
        if not outcome and first.store.read()[0] is not None:
            model.clock.on_sleep = model._pass
            with pytest.raises(GitlabMeshError) as caught:
                release(second, "1.6.0")
            outcome.append(caught.value)
        model._pass(seconds)

    model.clock.on_sleep = race
    assert release(first, "1.5.0").exit_code == 0
    assert outcome[0].exit_code == 22
    assert "pipeline 100, job 1000" in str(outcome[0])


def test_what_a_verdict_rejected_needs_again() -> None:
    model = ShopModel()
    assert release(ModelPorts(model, service()), "bad").exit_code == 10
    with pytest.raises(GitlabMeshError, match="was rejected before") as caught:
        release(ModelPorts(model, service()), "bad")
    assert caught.value.exit_code == 16
    assert release(ModelPorts(model, service()), "bad", again=True).exit_code == 10


def test_an_older_pipeline_is_refused() -> None:
    model = ShopModel()
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0
    with pytest.raises(GitlabMeshError, match="this one is older") as caught:
        release(ModelPorts(model, service(), driver=Driver("99", "990")), "1.4.0")
    assert caught.value.exit_code == 16


def test_a_lease_that_its_dead_driver_left_is_taken_after_it_stood_still() -> None:
    model = ShopModel()
    dead = ModelPorts(model, service(), driver=Driver("98", "980"))
    dead.lock.acquire(dead.driver, over=None)
    started = model.clock.monotonic()
    ports = ModelPorts(model, service())
    assert release(ports, "1.5.0").exit_code == 0
    assert "held by 98/980" in ports.console.text
    assert model.clock.monotonic() - started > service().rollout.lease


def test_a_lease_that_is_renewed_is_left_alone() -> None:
    model = ShopModel()
    alive = ModelPorts(model, service(), driver=Driver("98", "980"))
    lease = alive.lock.acquire(alive.driver, over=None)

    def renew(seconds: float) -> None:
        alive.lock.renew(lease)
        model._pass(seconds)

    model.clock.on_sleep = renew
    with pytest.raises(GitlabMeshError, match="was not taken") as caught:
        release(ModelPorts(model, service()), "1.5.0")
    assert caught.value.exit_code == 22
    assert "pipeline 98, job 980" in str(caught.value)


def test_a_bug_in_the_feedback_does_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise NameError("a bug")

    monkeypatch.setattr("gitlab_mesh.driver.narrator.Narrator.after", broken)
    model = ShopModel()
    ports = ModelPorts(model, service())
    before = user_objects(model)
    assert release(ports, "bad").exit_code == 10
    assert_nothing_left(model, before)
    assert "could not be written: NameError('a bug')" in ports.console.text


class DeniedFor:
    """Denies every write of the route from the n-th on, for a while: an API server that has just started."""

    def __init__(self, model: ShopModel, number: int, seconds: float) -> None:
        self.model, self.left, self.seconds, self.until = model, number, seconds, 0.0

    def before(self, call: Any) -> None:
        if call.is_write and call.kind == "VirtualService":
            self.left -= 1
            if self.left == 0:
                self.until = self.model.clock.monotonic() + self.seconds
        if self.model.clock.monotonic() < self.until:
            raise AccessDeniedError(f"no right to {call.verb} {call.kind}")

    def after(self, call: Any) -> None:
        """Nothing happens after a call."""


@pytest.mark.parametrize(("seconds", "code"), [(5.0, 0), (60.0, 21)])
def test_rights_that_were_proven_are_asked_for_again_as_long_as_the_lease_lasts(seconds: float, code: int) -> None:
    model = ShopModel()
    before = user_objects(model)
    cluster = model.cluster.as_actor("gitlab-mesh", fault=DeniedFor(model, 2, seconds))
    result = release(ModelPorts(model, service(), cluster=cluster), "1.5.0")
    assert result.exit_code == code
    if code:
        assert_nothing_left(model, before)
