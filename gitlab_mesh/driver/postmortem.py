"""Why a canary did not become ready: what Kubernetes and its containers said, kept before the pods are gone.

Best effort (S10): asked only when weight 0 is written and observed, within a few seconds, and whatever fails is one
line of the log. Texts are other people's: console, note and artifacts take secrets out as from everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitlab_mesh.core.report.model import TextSection
from gitlab_mesh.core.unready import UnreadyContainer, say_events, say_pod, unready_containers
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import Object

__all__ = ["LOG_LINES", "explain_unready"]

LOG_LINES = 50
PODS = 2
"""So many pods are told about: all pods of a release fail alike."""
SECONDS = 6.0
"""No further question is asked after this time."""
LOG_SECONDS = 2.0
_LONGEST = 8 * 1024


def explain_unready(ports: ServicePorts, namespace: str, workload: str) -> list[TextSection]:
    """Return one text for each pod of the Deployment that has a container that is not ready; tell the log, too."""
    until = ports.clock.monotonic() + SECONDS
    try:
        return [_tell(ports, name, text) for name, text in _explain(ports, namespace, workload, until)]
    except Exception as error:  # S10: not even a bug here may keep the canary from being cleaned up
        said = error.what if isinstance(error, GitlabMeshError) else repr(error)
        ports.console.line(f"why the canary is not ready is not known: {said}", tone="warn")
        return []


def _explain(ports: ServicePorts, namespace: str, workload: str, until: float) -> Iterator[tuple[str, str]]:
    side = read_workload(ports.cluster, namespace, workload)
    if side is None or side.is_ready:
        return
    pods = {item["metadata"]["name"]: item for item in ports.cluster.list("Pod", namespace)}
    events = _events(ports, namespace)
    if not side.pods:
        yield f"Deployment {workload}", "\n".join(["no pod was created", *say_events(events, [workload])])
    for name in [name for name in side.pods if name in pods and name not in side.ready_pods][:PODS]:
        if ports.clock.monotonic() >= until:
            return
        unready = unready_containers(pods[name])
        lines = [found.text for found in unready] or [say_pod(pods[name])]
        lines += say_events(events, [name, workload])
        for found in unready:
            if ports.clock.monotonic() < until:
                lines += _log(ports, namespace, name, found)
        yield f"pod {name}", "\n".join(lines)[-_LONGEST:]


def _events(ports: ServicePorts, namespace: str) -> Sequence[Mapping[str, Any]]:
    try:
        found: list[Object] = ports.cluster.list("Event", namespace)
    except GitlabMeshError as error:
        ports.console.line(f"no events are told: {error.what}", tone="warn")
        return ()
    return found


def _log(ports: ServicePorts, namespace: str, pod: str, container: UnreadyContainer) -> list[str]:
    try:
        text = ports.pod_proxy.get_log(
            namespace, pod, container.name, lines=LOG_LINES, previous=container.previous, timeout=LOG_SECONDS
        )
    except GitlabMeshError as error:
        return ["", f"no log of container {container.name}: {error.what}"]
    if not text.strip():
        return ["", f"container {container.name} wrote no log"]
    before = " (before its last restart)" if container.previous else ""
    return ["", f"last lines of container {container.name}{before}:", *text.rstrip().splitlines()[-LOG_LINES:]]


def _tell(ports: ServicePorts, name: str, text: str) -> TextSection:
    ports.console.line(f"{name} is not ready:", tone="bad")
    for line in text.splitlines():
        ports.console.line(f"  {line}")
    return TextSection(f"Why the canary was not ready: {name}", text, preformatted=True, folded=True)
