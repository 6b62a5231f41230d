"""What happens to the world around the drivers: foreign writes, deaths, troubles of the metrics, other drivers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.errors import ConflictError, ObjectMissingError
from gitlab_mesh.ports import Object
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh.testing.simulation.edits import RouteEditor
from gitlab_mesh.testing.simulation.kinds import DRIVER_FAULTS
from gitlab_mesh.testing.simulation.metrics import FaultyMetrics
from gitlab_mesh.testing.simulation.oracles import Oracles
from gitlab_mesh.testing.simulation.stage import Stage
from gitlab_mesh.testing.simulation.views import RECORD, replicas_of

__all__ = ["ShopWorld"]

GITOPS_SECONDS, EVICTION_SECONDS = 3.0, 3.0
"""Between two resets, and between two evictions."""

EVICTIONS = 4
"""Pods of a node that is drained."""


@dataclass
class ShopWorld:
    """The world of one simulation, as faults change it.

    Attributes:
        stage: Time.
        model: Cluster, pods, traffic.
        metrics: The source that goes wrong.
        oracles: Told what explains what.
        start_driver: Starts another driver, by kind of fault.
        routes: Names of the shop's routes.
        kind: Of them.
        foreign: Somebody else writes at this moment, not the driver whose turn it is.
        gitlab_down: GitLab answers nothing.
        ending: The rollout's last job runs: troubles are short from now on.
    """

    stage: Stage
    model: ShopModel
    metrics: FaultyMetrics
    oracles: Oracles
    start_driver: Callable[[str], None]
    routes: tuple[str, ...] = ("shop",)
    kind: str = "VirtualService"
    foreign: bool = False
    gitlab_down: bool = False
    ending: bool = False
    _before: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    _gitops_until: float = -math.inf
    _user: Any = field(init=False)
    _editor: RouteEditor = field(init=False)

    def __post_init__(self) -> None:
        self._user = self.model.cluster.as_actor("kustomize-controller")
        self._editor = RouteEditor(self._user, self.stage, self.oracles, self.kind, self.edit_as_somebody)

    def remember(self, body: Object) -> None:
        """Keep an object as it was before it was written, for stale reads."""
        meta = body["metadata"]
        self._before[body["kind"], meta.get("namespace", ""), meta["name"]] = body

    def before_version(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the object as it was before its last change."""
        return copy.deepcopy(self._before.get((kind, namespace, name)))

    def disturb(self, kind: str, seconds: float) -> None:
        """Let something happen, now."""
        if self.ending and kind not in ("gitlab-down", "foreign-fields") and not kind.startswith("metrics-"):
            seconds = min(seconds, 5.0)
        until = self.stage.now + seconds
        match kind:
            case _ if kind in DRIVER_FAULTS:
                self.start_driver(kind)
            case "stable-dies":
                self._down("shop", Side.STABLE, min(seconds, 60.0))
            case "canary-flaps":
                self._down("shop-canary", Side.CANARY, min(seconds, 60.0))
            case "pods-stuck":
                self.model.workloads.stuck_until = until
            case "node-drained":
                self._evict(EVICTIONS)
            case "gitlab-down":
                self.gitlab_down = True
            case "gitops":
                self._gitops_until = self.stage.now + min(seconds, 60.0)
                self._gitops()
            case _ if kind.startswith("metrics-"):
                self.metrics.fail(kind.removeprefix("metrics-"), until)
                self.oracles.metric_troubles.append((self.stage.now, until))
            case _:
                self.edit_as_somebody(lambda: self._edit(kind))

    def calm_down(self) -> None:
        """By now everything outside works again."""
        now, oracles = self.stage.now, self.oracles
        self.gitlab_down, self._gitops_until = False, -math.inf
        self.metrics.mend()
        oracles.metric_troubles = [
            (start, end if end == math.inf else min(end, now)) for start, end in oracles.metric_troubles
        ]
        oracles.excused = [
            (side, start, end if end == math.inf else min(end, now)) for side, start, end in oracles.excused
        ]
        self.model.workloads.stuck_until = -math.inf
        self.model.workloads.down_until.clear()

    def deploy_stable(self, image: str) -> None:
        """Let the project deploy stable itself (``promote: external``)."""

        def deploy() -> None:
            body = self._user.get("Deployment", "shop", "shop")
            body["spec"]["template"]["spec"]["containers"][0]["image"] = image
            self._user.update(body)
            self.oracles.shadow.edit("Deployment", body)
            self.oracles.stable_images.add(image)
            self.oracles.user_images.add(image)

        self.edit_as_somebody(deploy)

    def autoscale(self) -> None:
        """The autoscaler of stable follows its part of the requests at once, which is faster than any real one."""
        for autoscaler in self.model.cluster.peek("HorizontalPodAutoscaler", "shop"):
            stable = next((item for item in self._deployments() if item["metadata"]["name"] == "shop"), None)
            if stable is None:
                return
            spec = autoscaler["spec"]
            need = math.ceil(self.oracles.replicas * (1.0 - self.model.traffic.share) - 1e-9)
            wanted = min(max(need, spec.get("minReplicas", 1)), spec["maxReplicas"])
            if wanted != replicas_of(stable):
                operation = {"op": "replace", "path": "/spec/replicas", "value": wanted}
                with self._somebody():
                    self._user.patch("Deployment", "shop", "shop", [operation])

    def edit_as_somebody(self, edit: Callable[[], None]) -> None:
        """Let somebody who is no driver write; what is gone already is no problem of theirs."""
        with self._somebody():
            try:
                edit()
            except (ObjectMissingError, ConflictError):
                return

    @contextmanager
    def _somebody(self) -> Iterator[None]:
        was, self.foreign = self.foreign, True
        try:
            yield
        finally:
            self.foreign = was

    def _deployments(self) -> list[Object]:
        found: list[Object] = self.model.cluster.peek("Deployment", "shop")
        return found

    def _down(self, deployment: str, side: Side, seconds: float) -> None:
        until = self.stage.now + seconds
        self.model.workloads.down_until[deployment] = until
        self.oracles.excused.append((side, self.stage.now, until))
        # The destination counts nothing for pods that are not ready.
        self.oracles.blind.append((self.stage.now, until))
        self.model.workloads.control()

    def _evict(self, left: int) -> None:
        """Evict one pod if the PodDisruptionBudget (one pod of the app at a time) lets us, the next one later."""
        workloads, now = self.model.workloads, self.stage.now
        expected = sum(replicas_of(body) for body in self._deployments())
        ready = [pod for pod in workloads.pods.values() if pod.ready]
        if ready and len(ready) > expected - 1:
            pod = self.stage.draw.choice(ready)
            self.oracles.disturbed.append((pod.side, now, now + 5.0))
            if len(workloads.ready(pod.side)) == 1:  # a side of one pod has none for a moment, whoever evicts it
                self.oracles.excused.append((pod.side, now, now + 5.0))
                self.oracles.blind.append((now, now + 5.0))
            with self._somebody():
                workloads.evict(pod)
        if left > 1 and not self.ending:
            self.stage.at(now + EVICTION_SECONDS, lambda: self._evict(left - 1))

    def _gitops(self) -> None:
        if self.stage.now < self._gitops_until:
            self.edit_as_somebody(lambda: self._edit_routes("foreign-weight"))
            self.stage.at(self.stage.now + GITOPS_SECONDS, self._gitops)

    def _edit(self, kind: str) -> None:
        user, oracles, now = self._user, self.oracles, self.stage.now
        match kind:
            case "delete-virtualservice":
                user.delete(self.kind, "shop", "shop")
                oracles.shadow.edit(self.kind, None)
                oracles.excused.append((None, now, math.inf))
                self._lose_one_side()  # whose counts to read came from the route
            case "delete-destinationrule" if self.kind == "HTTPRoute":
                self._delete_side()
            case "delete-destinationrule":
                user.delete("DestinationRule", "shop", "shop")
                oracles.shadow.edit("DestinationRule", None)
            case "delete-canary":
                user.delete("Deployment", "shop", "shop-canary")
                oracles.excused.append((Side.CANARY, now, math.inf))
            case "delete-stable":
                user.delete("Deployment", "shop", "shop")
                self._lose_one_side()  # one side alone is no comparison
                oracles.shadow.edit("Deployment", None)
                oracles.excused.append((Side.STABLE, now, math.inf))
            case "delete-record":
                user.delete("ConfigMap", "shop", RECORD)
            case "delete-lease":
                user.delete("Lease", "shop", RECORD)
            case _:
                self._edit_routes(kind)

    def _delete_side(self) -> None:
        """Somebody deletes a side's Service, what the subsets of a DestinationRule are to an HTTPRoute."""
        side, name = self.stage.draw.choice(((Side.STABLE, "shop-stable"), (Side.CANARY, "shop-canary")))
        self._user.delete("Service", "shop", name)
        if ("Service", name) in self.oracles.shadow.objects:
            self.oracles.shadow.edit("Service", None, name)
        self.oracles.gone.append((side, self.stage.now, math.inf))
        self.oracles.blind.append((self.stage.now, math.inf))

    def _lose_one_side(self) -> None:
        self.metrics.one_sided = True
        self.oracles.metric_troubles.append((self.stage.now, math.inf))

    def _edit_routes(self, kind: str) -> None:
        for name in self.routes:
            self._editor.edit(kind, name)
