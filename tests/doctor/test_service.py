"""The doctor on cluster, mesh, metrics and route: each thing that may be wrong, in a model of a shop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gitlab_mesh.core.metrics.counts import Counts, PodSample, Side, Snapshot
from gitlab_mesh.core.report.model import TableSection, Tone
from gitlab_mesh.errors import AccessDeniedError, ConfigError, TransientError, UsageError
from gitlab_mesh.gitlab import Connection, read_ci
from gitlab_mesh.job import JobResult
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.doctor.job import JOB
from tests.jobs.releases import service, user_objects


@dataclass
class Ports:
    """``DoctorPorts`` on the model."""

    ports: ModelPorts
    seconds: float | None = None
    env: dict[str, str] = field(default_factory=dict)
    config: str = "mesh.yaml"
    invalid: Exception | None = None
    no_cluster: Exception | None = None

    def __post_init__(self) -> None:
        self.clock, self.console = self.ports.clock, self.ports.console
        self.gitlab = Connection(read_ci(self.env))

    def services(self) -> Sequence[ModelPorts]:
        if self.invalid:
            raise self.invalid
        return [self.ports]

    def cluster_name(self) -> str:
        if self.no_cluster:
            raise self.no_cluster
        return "prod (chosen by current-context)"

    def credential_seconds(self) -> float | None:
        return self.seconds


@pytest.fixture
def model() -> ShopModel:
    return ShopModel()


def examine(model: ShopModel, **changes: Any) -> tuple[JobResult, dict[str, tuple[str, str, str]], Ports]:
    """Run the doctor; return its result, and level, finding and fix by check."""
    settings = {key: changes.pop(key) for key in list(changes) if key in {"metrics", "smoke", "route", "freeze"}}
    outside = Ports(ModelPorts(model, service(**settings)), **changes)
    before = user_objects(model)
    result = JOB.run(outside, {})
    assert user_objects(model) == before, "the doctor writes nothing"
    return result, rows_of(result), outside


def rows_of(result: JobResult) -> dict[str, tuple[str, str, str]]:
    """Level, finding and fix by check, as the report shows them."""
    levels = {Tone.GOOD: "ok", Tone.WARN: "warn", Tone.BAD: "fail"}
    *first, checks = result.report.sections
    assert isinstance(checks, TableSection)
    fixes = {row[0]: row[1] for table in first if isinstance(table, TableSection) for row in table.rows}
    return {
        row[0]: (levels[tone], row[1], fixes.get(row[0], ""))
        for row, tone in zip(checks.rows, checks.tones, strict=True)
    }


def test_a_healthy_shop(model: ShopModel) -> None:
    result, rows, outside = examine(model)
    assert result.exit_code == 0, outside.console.text
    assert {level for level, _, _ in rows.values()} <= {"ok", "warn"}
    assert "requests a second" in rows["metrics: istio-proxy for shop"][1]
    assert "could start now" in rows["route: a release of shop"][1]
    assert "a release would work" in result.report.headline
    assert not model.cluster.list("Lease", "shop")
    assert not model.cluster.list("ConfigMap", "shop")


def test_every_mistake_of_mesh_yaml_is_a_row(model: ShopModel) -> None:
    wrong = ConfigError(
        "mesh.yaml is wrong", ("mesh.yaml:3:5: no such key", "mesh.yaml:4:5: no number"), hint="see docs"
    )
    result, _, outside = examine(model, invalid=wrong)
    assert result.exit_code == 2
    assert "mesh.yaml:3:5: no such key" in outside.console.text
    assert "mesh.yaml:4:5: no number" in outside.console.text


def test_no_cluster(model: ShopModel) -> None:
    result, rows, _ = examine(model, no_cluster=UsageError("no cluster", hint="set KUBECONFIG"))
    assert result.exit_code == 2
    assert rows["cluster: credential"] == ("fail", "no cluster", "set KUBECONFIG")
    assert not [name for name in rows if name.startswith("mesh:")], "nothing is asked of a cluster that is not there"


@pytest.mark.parametrize(("seconds", "code"), [(1800.0, 0), (-1.0, 21)])
def test_a_token_that_ends(model: ShopModel, seconds: float, code: int) -> None:
    result, rows, _ = examine(model, seconds=seconds)
    assert result.exit_code == code
    assert ("lives 30\N{NARROW NO-BREAK SPACE}min more" if code == 0 else "has expired") in rows["cluster: credential"][
        1
    ]


def test_missing_rights_are_named_one_by_one(model: ShopModel) -> None:
    rights = ModelPorts(model, service())
    denied = [rule for rule in _rules(rights) if rule.verb == "patch"]
    outside = Ports(rights)
    rights.access = _Access(denied)  # type: ignore[assignment]
    result = JOB.run(outside, {})
    assert result.exit_code == 21
    assert "may not patch virtualservices.networking.istio.io shop in shop" in outside.console.text
    assert "gitlab-mesh rbac render --service shop" in outside.console.text


class _Access:
    def __init__(self, denied: Sequence[Any]) -> None:
        self._denied = denied

    def denied(self, rules: Sequence[Any]) -> list[Any]:
        return [rule for rule in rules if rule in self._denied]


def _rules(ports: ModelPorts) -> Sequence[Any]:
    from gitlab_mesh.driver.rights import needed_rights

    return needed_rights(ports.service)


def test_an_api_server_that_does_not_answer_is_asked_once(model: ShopModel) -> None:
    outside = Ports(ModelPorts(model, service()))

    class Silent:
        def denied(self, rules: Sequence[Any]) -> list[Any]:
            raise TransientError("the API server does not answer", hint="check the network")

    outside.ports.access = Silent()  # type: ignore[assignment]
    result = JOB.run(outside, {})
    assert result.exit_code == 20
    assert outside.console.text.count("does not answer") == 1


def test_a_missing_deployment_is_a_first_release(model: ShopModel) -> None:
    model.cluster.delete("Deployment", "shop", "shop")
    model.settle()
    result, rows, _ = examine(model)
    assert result.exit_code == 0, "nothing stands in the way of a first release"
    assert rows["route: Deployment shop/shop"][0] == "warn"
    assert "--manifest" in rows["route: Deployment shop/shop"][2]


def test_stable_that_is_not_ready(model: ShopModel) -> None:
    image = [
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example/shop:broken"}
    ]
    model.cluster.patch("Deployment", "shop", "shop", image)
    model.settle()
    result, rows, _ = examine(model)
    assert result.exit_code == 13
    assert rows["route: Deployment shop/shop"][0] == "fail"


def test_no_route(model: ShopModel) -> None:
    model.cluster.delete("VirtualService", "shop", "shop")
    result, rows, _ = examine(model)
    assert result.exit_code == 2
    assert rows["route: shop"][0] == "fail"


class Source:
    """A metric source that answers as told."""

    def __init__(self, answer: Callable[[], Snapshot]) -> None:
        self._answer = answer

    def check(self, targets: Sequence[Any]) -> None:
        pass

    def read(self, targets: Sequence[Any]) -> Snapshot:
        return self._answer()


def _denied() -> Snapshot:
    raise AccessDeniedError("401 from Prometheus", hint="set PROMETHEUS_TOKEN")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (lambda: Snapshot(problems=("pod shop-1: 503",)), 13, "no data of stable: pod shop-1: 503"),
        (_denied, 21, "401 from Prometheus"),
    ],
)
def test_metrics_that_say_nothing(model: ShopModel, answer: Callable[[], Snapshot], code: int, said: str) -> None:
    outside = Ports(ModelPorts(model, service()))
    outside.ports.metrics = Source(answer)
    result = JOB.run(outside, {})
    assert result.exit_code == code
    assert said in " ".join(outside.console.text.split())


def test_a_service_without_traffic_is_told_what_a_release_will_say(model: ShopModel) -> None:
    outside = Ports(ModelPorts(model, service()))
    outside.ports.metrics = Source(lambda: still(outside.clock.now().timestamp()))
    result = JOB.run(outside, {})
    assert result.exit_code == 0
    assert "ends with code 12" in outside.console.text


def still(time: float) -> Snapshot:
    return Snapshot((PodSample("shop-1", Side.STABLE, time, Counts(requests=5)),))


def test_a_source_that_has_no_newer_sample_is_not_a_service_without_traffic(model: ShopModel) -> None:
    outside = Ports(ModelPorts(model, service()))
    outside.ports.metrics = Source(lambda: still(1000.0))
    assert JOB.run(outside, {}).exit_code == 0
    assert "no newer sample within 3 s" in " ".join(outside.console.text.split())


def _with_pods(model: ShopModel, change: Callable[[dict[str, Any]], None]) -> ModelPorts:
    """Ports whose list of pods is changed on the way."""
    ports = ModelPorts(model, service())

    class Seen:
        def __getattr__(self, name: str) -> Any:
            return getattr(model.cluster, name)

        def list(self, kind: str, namespace: str, *, label_selector: str = "") -> list[dict[str, Any]]:
            found = model.cluster.list(kind, namespace, label_selector=label_selector)
            for item in found if kind == "Pod" else ():
                change(item)
            return found

    ports.cluster = Seen()  # type: ignore[assignment]
    return ports


def _sidecar(pod: dict[str, Any], *, ready: bool, where: str = "containers") -> None:
    pod["spec"].setdefault(where, []).append({"name": "istio-proxy"})
    status = "containerStatuses" if where == "containers" else "initContainerStatuses"
    pod.setdefault("status", {}).setdefault(status, []).append({"name": "istio-proxy", "ready": ready})


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        (lambda pod: None, "warn", "have no istio-proxy"),
        (lambda pod: _sidecar(pod, ready=True), "ok", "istiod has configured them"),
        (lambda pod: _sidecar(pod, ready=True, where="initContainers"), "ok", "istiod has configured them"),
        (lambda pod: _sidecar(pod, ready=False), "fail", "istiod has not configured them"),
    ],
    ids=["bare", "sidecar", "native sidecar", "not configured"],
)
def test_sidecars(model: ShopModel, change: Callable[[dict[str, Any]], None], level: str, said: str) -> None:
    def only_ours(pod: dict[str, Any]) -> None:
        pod["spec"]["containers"] = [item for item in pod["spec"]["containers"] if item["name"] != "istio-proxy"]
        change(pod)

    outside = Ports(_with_pods(model, only_ours))
    result = JOB.run(outside, {})
    rows = rows_of(result)
    assert rows["mesh: sidecars of shop"][0] == level
    assert said in rows["mesh: sidecars of shop"][1]
