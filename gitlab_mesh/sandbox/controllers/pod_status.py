"""The status of a pod as the kubelet writes it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.app.behaviour import parse_image

__all__ = ["NODE", "ContainerState", "build_status", "running", "terminated", "waiting"]

Object = dict[str, Any]
NODE = "sandbox"
"""The node of this kubelet; a pod that is bound to another one is none of its business."""


def waiting(reason: str, message: str = "") -> Object:
    """``state`` of a container that does not run."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(started: str) -> Object:
    """``state`` of a container that runs since ``started``."""
    return {"running": {"startedAt": started}}


def terminated(exit_status: int, started: str, finished: str) -> Object:
    """``state`` of a container whose process has ended; a signal shows as 128 + its number, as in a shell."""
    code = 128 - exit_status if exit_status < 0 else exit_status
    reason = "Completed" if code == 0 else "Error"
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": finished}}


@dataclass(frozen=True, slots=True)
class ContainerState:
    """The application's container.

    Attributes:
        state: One of ``waiting``, ``running``, ``terminated``.
        last: The ``terminated`` state of the process before, if there was one.
        ready: Its readiness probe succeeds.
        restarts: How often its process was started again.
        has_image: The image is there.
    """

    state: Object
    last: Object | None = None
    ready: bool = False
    restarts: int = 0
    has_image: bool = False


def build_status(pod: Mapping[str, Any], app: ContainerState, address: str, now: str) -> Object:
    """Return the whole status of a pod.

    Args:
        pod: The pod as stored; condition times that did not change are taken from it.
        app: State of its first container.
        address: Its IP.
        now: Time of conditions that change, RFC 3339.
    """
    old = pod.get("status") or {}
    first, *others = pod["spec"]["containers"]
    statuses = [_container_status(first, app)]
    # What the sandbox does not run itself is there as soon as the application's image is.
    for other in others:
        state = running(old.get("startTime", now)) if app.has_image else waiting("ContainerCreating")
        aside = ContainerState(state, None, app.has_image, 0, app.has_image)
        statuses.append(_container_status(other, aside))
    not_ready = [one["name"] for one in statuses if not one["ready"]]
    why = ("ContainersNotReady", f"containers with unready status: [{' '.join(not_ready)}]") if not_ready else ("", "")
    conditions = [
        ("Initialized", True, "", ""),
        ("Ready", not not_ready, *why),
        ("ContainersReady", not not_ready, *why),
        ("PodScheduled", True, "", ""),
    ]
    status: Object = {
        "phase": "Running" if (app.has_image and "waiting" not in app.state) or app.last else "Pending",
        "conditions": [_condition(*one, old.get("conditions") or (), now) for one in conditions],
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": old.get("startTime", now),
        "containerStatuses": statuses,
        "qosClass": old.get("qosClass", "BestEffort"),
    }
    return status


def _container_status(container: Mapping[str, Any], of: ContainerState) -> Object:
    image = parse_image(container["image"])
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": image.image_id if image and of.has_image else "",
        "ready": of.ready,
        "started": "running" in of.state,
        "restartCount": of.restarts,
        "state": of.state,
        "lastState": of.last or {},
    }


def _condition(kind: str, holds: bool, reason: str, message: str, old: Sequence[Mapping[str, Any]], now: str) -> Object:
    status = "True" if holds else "False"
    before = next((one for one in old if one["type"] == kind), None)
    since = before["lastTransitionTime"] if before and before["status"] == status else now
    condition = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    return {**condition, **({"reason": reason, "message": message} if reason else {})}
