"""What a pod's status and its events say about containers that are not ready."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.core.unready import say_events, say_pod, unready_containers


def container(name: str = "shop", *, ready: bool = False, restarts: int = 0, **states: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, **states}


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"status": {"initContainerStatuses": list(init), "containerStatuses": list(containers)}}


BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
RUNS = "container shop: runs, but is not ready (its readiness probe does not pass)"
ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}


@pytest.mark.parametrize(
    ("status", "text", "previous"),
    [
        (
            container(restarts=3, state=BACK_OFF, lastState=ENDED),
            "container shop: CrashLoopBackOff: back-off 10s; its last run ended with exit code 1 (Error); 3 restarts",
            False,
        ),
        (
            container(restarts=1, state={"running": {"startedAt": "now"}}, lastState=ENDED),
            f"{RUNS}; its last run ended with exit code 1 (Error); 1 restart",
            True,
        ),
        (container(state={"running": {}}), RUNS, False),
        (
            container(state={"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "too much"}}),
            "container shop: ended with exit code 137 (OOMKilled): too much",
            False,
        ),
        (
            container(state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
            "container shop: ImagePullBackOff: not found",
            False,
        ),
        (container(), "container shop: is not ready", False),
    ],
    ids=["crash", "again", "probe", "ended", "image", "nothing"],
)
def test_a_container_that_is_not_ready(status: dict[str, Any], text: str, previous: bool) -> None:
    [found] = unready_containers(pod(status))
    assert (found.name, found.text, found.previous) == ("shop", text, previous)


def test_ready_ones_and_init_containers_that_are_done_are_no_reason() -> None:
    done = container("migrate", state={"terminated": {"exitCode": 0}})
    failed = container("wait", state={"terminated": {"exitCode": 2, "reason": "Error"}})
    found = unready_containers(pod(container(ready=True), container("side"), init=(done, failed)))
    assert [one.name for one in found] == ["wait", "side"]
    assert unready_containers({}) == []


def test_a_pod_without_a_node_says_why() -> None:
    message = "0/3 nodes are available"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert say_pod({"status": {"conditions": [condition]}}) == f"PodScheduled: Unschedulable: {message}"
    assert say_pod({"status": {"phase": "Pending"}}) == "phase Pending"
    assert say_pod({}) == "phase unknown"


def event(kind: str, name: str, message: str, *, at: str = "2026-01-01T00:00:00Z", count: int = 1) -> dict[str, Any]:
    about = {"kind": kind, "name": name}
    return {
        "involvedObject": about, "type": "Warning", "reason": "Failed", "message": message, "lastTimestamp": at,
        "count": count,
    }  # fmt: skip


def test_events_are_those_of_pod_replica_set_and_deployment() -> None:
    events = [
        event("Pod", "shop-canary-1-a", "second", at="2026-01-01T00:00:05Z", count=4),
        event("ReplicaSet", "shop-canary-1", "first"),
        event("Pod", "shop-canary-1-b", "of another pod"),
        event("VirtualService", "shop-canary", "of another kind"),
        event("ReplicaSet", "shop-1", "of another Deployment"),
    ]
    said = say_events(events, ["shop-canary-1-a", "shop-canary"])
    assert said == ["", "events:", "  Warning Failed: first", "  Warning Failed ×4: second"]
    assert say_events(events[2:], ["shop-canary-1-a"]) == []


def test_of_many_events_the_newest_are_told() -> None:
    events = [event("Pod", "p", str(number), at=f"2026-01-01T00:00:{number:02}Z") for number in range(30)]
    said = say_events(reversed(events), ["p"])
    assert [line.rpartition(" ")[2] for line in said[2:]] == [str(number) for number in range(20, 30)]
