"""What is to be released, worked out before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.judge.schedule import BudgetSchedule
from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.mesh.weights import MIN_SHARE
from gitlab_mesh.core.metrics.counts import Side, SideTarget
from gitlab_mesh.core.rollout import Plan, Ramp, Step
from gitlab_mesh.core.workload import SideState, release_template, template_hash
from gitlab_mesh.errors import ObjectMissingError, UsageError

_IMAGE = re.compile(r"[A-Za-z0-9][\w.-]*(:\d+)?(/[\w.-]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
"""Reference of an image as Kubernetes takes it (distribution/reference grammar, without its rarer forms)."""

_LONG_BAKE, _LONG_DWELL, _SHORT_DWELL = 300.0, 120.0, 30.0
"""Seconds: a bake that is long enough for late faults ends with so long at the largest share; else less will do."""

__all__ = ["Release", "plan_release", "require_whole", "targets_of"]


@dataclass(frozen=True, slots=True)
class Release:
    """One release of one service.

    Attributes:
        service: Its configuration.
        image: For people: what is released.
        template: The pod template to release, with stable's labels.
        stable: Stable before the release; None at a first release.
        manifest: The Deployment given, at a first release the one to create.
        plan: For the rollout machine.
        again: Release it although a verdict rejected it before.
        hotfix: Why it is released as a hotfix; "" for an ordinary release.
    """

    service: ServiceConfig
    image: str
    template: Mapping[str, Any]
    stable: SideState | None
    manifest: Mapping[str, Any] | None
    plan: Plan
    again: bool = False
    hotfix: str = ""

    @property
    def hash(self) -> str:
        """Hash of what was asked for: a retried job must release the same, whatever stable looks like by now."""
        asked = {"image": self.image} if self.manifest is None else self.manifest["spec"]["template"]
        return template_hash(asked)

    @property
    def runs(self) -> bool:
        """Whether stable runs these images already."""
        if self.stable is None:
            return False
        return _images(self.stable.deployment["spec"]["template"]) == _images(self.template)


def plan_release(
    service: ServiceConfig,
    stable: SideState | None,
    *,
    image: str | None,
    manifest: Mapping[str, Any] | None,
    again: bool,
    hotfix: str = "",
) -> Release:
    """Work out the template and the plan.

    Raises:
        UsageError: Neither or both of image and manifest; a first release without manifest; no version label.
    """
    if (image is None) == (manifest is None):
        raise UsageError("give either --image or --manifest", why="one of them says what is released")
    name = f"{service.namespace}/{service.stable_workload}"
    if image is not None and not _IMAGE.fullmatch(image):
        raise UsageError(f"--image {image!r} is no image reference", hint="for example registry.example/shop:1.5.0")
    if manifest is not None and manifest.get("kind") != "Deployment":
        raise UsageError("--manifest must hold one Deployment", why=f"it holds {manifest.get('kind') or 'no kind'}")
    named = (manifest or {}).get("metadata", {}).get("name", service.stable_workload)
    if named != service.stable_workload:
        raise UsageError(
            f"--manifest holds Deployment {named}, the service's is {service.stable_workload}",
            why="a promotion would give one Deployment the template of another",
            hint="set workload: {name: …} in mesh.yaml, or give the right file",
        )
    if stable is None:
        if manifest is None:
            raise UsageError(
                f"Deployment {name} does not exist, so there is no template that --image could change",
                hint="for a first release give the whole Deployment: --manifest FILE; "
                "or set workload: {name: …} in mesh.yaml",
            )
        template: Mapping[str, Any] = manifest["spec"]["template"]
    else:
        _require_label(stable, service)
        template = release_template(
            stable.deployment,
            image=image,
            container=service.workload.container,
            names=(service.name, service.stable_workload),
            manifest=manifest,
        )
    rollout = service.rollout
    steps = tuple(
        Step(step.weight / 100, step.bake if step.bake is not None else rollout.step_bake, step.pause)
        for step in rollout.steps
    )
    # A hotfix compares nothing, and a judge that only reports holds nothing up: no weight could follow the evidence.
    budget = rollout.schedule == "budget" and stable is not None and not hotfix and service.judge.mode == "enforce"
    plan = Plan(
        steps=() if stable is None or budget else steps,
        stable_replicas=max(1, stable.desired) if stable else int((manifest or {}).get("spec", {}).get("replicas", 1)),
        deadline_seconds=rollout.deadline,
        ready_seconds=rollout.ready_deadline,
        confirm_seconds=rollout.confirm_deadline,
        drain_seconds=rollout.drain,
        promote=rollout.promote,
        hold_inconclusive=rollout.on_inconclusive == "hold",
        reassert=rollout.reassert,
        enforce=service.judge.mode == "enforce",
        first=stable is None,
        hotfix=bool(hotfix),
        watch_seconds=rollout.watch.duration,
        budget=budget,
        ramp=_ramp_of(service),
    )
    label = image or ", ".join(str(item.get("image")) for item in template["spec"]["containers"])
    return Release(service, label, template, stable, manifest, plan, again, hotfix)


def _ramp_of(service: ServiceConfig) -> Ramp:
    schedule = BudgetSchedule(
        least=MIN_SHARE,
        dwell_seconds=_LONG_DWELL if service.judge.bake_seconds >= _LONG_BAKE else _SHORT_DWELL,
        look_seconds=service.rollout.look_interval,
        control=service.rollout.watch.stable_share / 100,
    )
    return Ramp(schedule, service.judge)


def _require_label(stable: SideState, service: ServiceConfig) -> None:
    label = service.subsets.label
    labels = stable.deployment["spec"]["template"].get("metadata", {}).get("labels") or {}
    if label not in labels:
        raise UsageError(
            f"pods of Deployment {service.namespace}/{service.stable_workload} have no label {label!r}",
            why="the two sides are told apart by it: subsets select pods by labels",
            hint=f"add `{label}: {service.subsets.stable}` to spec.template.metadata.labels of the Deployment, "
            "or name another label in mesh.yaml: subsets: {label: …}",
        )


def require_whole(route: RouteState, service: ServiceConfig) -> None:
    """Refuse to move some of a service's routes while others do not exist.

    Raises:
        ObjectMissingError: One does not exist.
    """
    if route.missing:
        raise ObjectMissingError(
            f"{service.route.kind} {', '.join(route.missing)} of {service.namespace} does not exist",
            why=f"{', '.join(route.names)} does; all routes of a service move together",
            hint=f"create it, or take it out of services.{service.name}.route.also in mesh.yaml",
        )


def targets_of(
    service: ServiceConfig, route: RouteState | None, stable: SideState | None, canary: SideState | None
) -> tuple[SideTarget, ...]:
    """Say whose numbers to read: the sides that exist now."""
    host = service.host or service.name
    full = host if "." in host else f"{host}.{service.namespace}.svc.cluster.local"
    subsets = (service.subsets.stable, service.subsets.canary)
    own = route.hosts if route is not None else ("", "")
    return tuple(
        SideTarget(side, service.namespace, state.identity.workload, full, subset, state.pods, host)
        for side, state, subset, host in zip((Side.STABLE, Side.CANARY), (stable, canary), subsets, own, strict=True)
        if state is not None
    )


def _images(template: Mapping[str, Any]) -> dict[str, str]:
    return {str(item["name"]): str(item.get("image")) for item in template["spec"]["containers"]}
