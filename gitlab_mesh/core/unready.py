"""What a pod's status and the events around it say about containers that are not ready."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["UnreadyContainer", "say_events", "say_pod", "unready_containers"]

Json = Mapping[str, Any]

EVENTS = 10


@dataclass(frozen=True, slots=True)
class UnreadyContainer:
    """A container that is not ready.

    Attributes:
        name: Of the container.
        text: State in one line.
        previous: The run before this one is the one that tells: it failed, and the container runs again.
    """

    name: str
    text: str
    previous: bool


def unready_containers(pod: Json) -> list[UnreadyContainer]:
    """Return the containers of a pod that are not ready, init containers first; none before it is on a node."""
    status = pod.get("status") or {}
    found = [
        _read(item)
        for item in status.get("initContainerStatuses") or ()
        if not item.get("ready") and not _ended_well(item)
    ]
    found += [_read(item) for item in status.get("containerStatuses") or () if not item.get("ready")]
    return found


def say_pod(pod: Json) -> str:
    """Say in one line why a pod without unready containers is not ready: its first condition that does not hold."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("status") != "True":
            reason = condition.get("reason") or condition.get("status")
            return _joined(f"{condition.get('type')}: {reason}", condition.get("message"))
    return f"phase {status.get('phase', 'unknown')}"


def _ended_well(item: Json) -> bool:
    return ((item.get("state") or {}).get("terminated") or {}).get("exitCode") == 0


def _read(item: Json) -> UnreadyContainer:
    state, last = item.get("state") or {}, (item.get("lastState") or {}).get("terminated") or {}
    said = ["is not ready"]
    if waiting := state.get("waiting"):
        said = [_joined(waiting.get("reason", "waiting"), waiting.get("message"))]
    elif ended := state.get("terminated"):
        said = [_ended("ended", ended)]
    elif "running" in state:
        said = ["runs, but is not ready (its readiness probe does not pass)"]
    if last:
        said.append(_ended("its last run ended", last))
    if restarts := int(item.get("restartCount") or 0):
        said.append(f"{restarts} restart{'s' if restarts > 1 else ''}")
    # One that waits has no log but that of its last run; one that runs again may have said nothing yet.
    previous = bool(state.get("running")) and last.get("exitCode") not in (None, 0)
    return UnreadyContainer(str(item["name"]), f"container {item['name']}: {'; '.join(said)}", previous)


def _ended(verb: str, state: Json) -> str:
    return _joined(
        f"{verb} with exit code {state.get('exitCode')} ({state.get('reason', 'no reason')})", state.get("message")
    )


def _joined(text: str, message: Any) -> str:
    return f"{text}: {message}" if message else text


def say_events(events: Iterable[Json], names: Collection[str]) -> list[str]:
    """Return the newest events about these objects as lines, oldest first; nothing where there are none.

    Args:
        events: Of the namespace.
        names: Of a pod or a Deployment, whose ReplicaSets count, too.
    """
    about = [event for event in events if _is_about(event, names)]
    about.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    lines = [
        f"  {event.get('type', 'Normal')} {event.get('reason', '')}"
        + (f" ×{count}" if (count := int(event.get("count") or 1)) > 1 else "")
        + f": {event.get('message', '')}".rstrip(": ")
        for event in about[-EVENTS:]
    ]
    return ["", "events:", *lines] if lines else []


def _is_about(event: Json, names: Collection[str]) -> bool:
    involved = event.get("involvedObject") or {}
    name, kind = str(involved.get("name", "")), involved.get("kind")
    if kind == "ReplicaSet":
        name = name.rpartition("-")[0]
    return kind in ("Pod", "ReplicaSet", "Deployment") and name in names
