"""What tests of whole releases share: the service, running a release, and what must be as before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh.config.model import RolloutConfig, RouteConfig, ServiceConfig, StepConfig
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.job import JobResult
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.canary.job import JOB

FAST = RolloutConfig(steps=(StepConfig(10), StepConfig(50)), step_bake=10.0, look_interval=1.0, ready_deadline=30.0)


class Killed(BaseException):
    """The process is gone: nothing of ours runs any more."""


class KillAt:
    """Ends the process before or after the n-th write."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.left = number
        self.after_call = after

    def before(self, call: Any) -> None:
        if call.is_write and call.kind != "SelfSubjectAccessReview" and not self.after_call:
            self.count()

    def after(self, call: Any) -> None:
        if call.is_write and call.kind != "SelfSubjectAccessReview" and self.after_call:
            self.count()

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class Calls:
    """A driver's client where one call is answered otherwise, or something happens before it."""

    def __init__(self, model: ShopModel, **hooks: Callable[..., Any]) -> None:
        self._inner = model.cluster.as_actor("gitlab-mesh")
        self._hooks = hooks

    def __getattr__(self, name: str) -> Any:
        real, hook = getattr(self._inner, name), self._hooks.get(name)
        return real if hook is None else lambda *args, **options: hook(lambda: real(*args, **options), *args)


def service(**changes: Any) -> ServiceConfig:
    base = ServiceConfig(
        "shop",
        "shop",
        RouteConfig(virtual_service="shop"),
        rollout=FAST,
        judge=JudgeSettings(bake_seconds=20.0),
    )
    return replace(base, **changes)


def release(ports: ModelPorts, tag: str, **options: Any) -> JobResult:
    return JOB.run(ports, {"image": f"registry.example/shop:{tag}", **options})


def user_objects(model: ShopModel) -> dict[str, Any]:
    """What the user owns, without what the API server keeps about it."""
    found = {}
    for kind in ("VirtualService", "DestinationRule", "Deployment", "Service"):
        for item in model.cluster.list(kind, "shop"):
            meta = item["metadata"]
            kept = {key: meta.get(key) for key in ("name", "labels", "annotations")}
            found[f"{kind}/{meta['name']}"] = copy.deepcopy({"spec": item["spec"], **kept})
    return found


def assert_nothing_left(model: ShopModel, before: Mapping[str, Any]) -> None:
    assert user_objects(model) == before
    assert not [
        pod for pod in model.cluster.list("Pod", "shop") if pod["metadata"]["labels"].get("version") == "canary"
    ]
    for lease in model.cluster.list("Lease", "shop"):
        assert not lease["spec"].get("holderIdentity")


def promoted(before: dict[str, Any]) -> dict[str, Any]:
    after = copy.deepcopy(before)
    after["Deployment/shop"]["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop:1.5.0"
    return after


class Diary:
    """The canary's share at each moment, and what happens at one of them."""

    def __init__(self, model: ShopModel, at: Callable[[float, float], None] = lambda now, share: None) -> None:
        self.shares: list[tuple[float, float]] = []
        self.model, self.at = model, at
        model.clock.on_sleep = self.pass_time

    def pass_time(self, seconds: float) -> None:
        self.model._pass(seconds)
        now, share = self.model.clock.monotonic(), self.model._share()
        self.shares.append((now, share))
        self.at(now, share)

    @property
    def steps(self) -> list[float]:
        """The shares in their order, each once."""
        found: list[float] = []
        for _, share in self.shares:
            if not found or found[-1] != share:
                found.append(share)
        return found

    def seconds_at(self, share: float) -> float:
        times = [now for now, its in self.shares if its == share]
        return times[-1] - times[0]
