"""The mesh, by API objects alone: its kinds are there, stable's pods have sidecars, and istiod has configured them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh_jobs.doctor.model import Check, Level, attempt

__all__ = ["check_mesh"]

TOPIC = "mesh"
_SIDECAR = "istio-proxy"
_KINDS = {True: ("VirtualService", "DestinationRule"), False: ("HTTPRoute",)}


def check_mesh(ports: ServicePorts) -> Iterator[Check]:
    """Check kinds and sidecars; reads only."""
    kinds = _KINDS[bool(ports.service.route.virtual_service)]
    for kind in kinds:
        yield from attempt(TOPIC, kind, lambda kind=kind: _kind(ports, kind))  # type: ignore[misc]
    yield from attempt(TOPIC, "sidecars", lambda: _sidecars(ports))


def _kind(ports: ServicePorts, kind: str) -> Iterator[Check]:
    namespace = ports.service.namespace
    try:
        found = ports.cluster.list(kind, namespace)
    except ObjectMissingError:
        fix = "install Istio, or the Gateway API's CRDs; or check that this is the right cluster (--kube-context)"
        yield Check(TOPIC, kind, Level.FAIL, "the cluster does not know this kind", fix)
        return
    yield Check(TOPIC, kind, Level.OK, f"the kind is installed; {len(found)} in {namespace}")


def _sidecars(ports: ServicePorts) -> Iterator[Check]:
    service = ports.service
    try:
        deployment = ports.cluster.get("Deployment", service.namespace, service.stable_workload)
    except ObjectMissingError:  # a first release; whoever looks at stable says so
        return
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    pods = ports.cluster.list("Pod", service.namespace, label_selector=selector)
    pods = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    bare = [pod["metadata"]["name"] for pod in pods if not _has_sidecar(pod)]
    waiting = [pod["metadata"]["name"] for pod in pods if _has_sidecar(pod) and not _sidecar_ready(pod)]
    subject = f"sidecars of {service.name}"
    if not pods:
        yield Check(TOPIC, subject, Level.FAIL, "stable has no pod", f"kubectl -n {service.namespace} get pods")
    elif bare:
        yield Check(
            TOPIC, subject, Level.WARN,
            f"{len(bare)} of {len(pods)} pods have no {_SIDECAR} ({bare[0]}): only gateways and the callers' own "
            "sidecars can split their traffic and count it",
            f"kubectl label namespace {service.namespace} istio-injection=enabled, then restart the Deployment "
            "(with revisions: istio.io/rev=…)",
        )  # fmt: skip
    elif waiting:
        yield Check(
            TOPIC, subject, Level.FAIL,
            f"{len(waiting)} of {len(pods)} sidecars are not ready ({waiting[0]}): istiod has not configured them",
            f"kubectl -n {service.namespace} logs {waiting[0]} -c {_SIDECAR}; check that istiod runs",
        )  # fmt: skip
    else:
        # A sidecar is ready once it has its first configuration (pilot-agent, /healthz/ready): istiod answers.
        yield Check(TOPIC, subject, Level.OK, f"all {len(pods)} are ready, so istiod has configured them")


def _has_sidecar(pod: dict[str, Any]) -> bool:
    """Say whether the pod has a sidecar: a container, or (native sidecars) an init container that keeps running."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return any(item.get("name") == _SIDECAR for item in containers)


def _sidecar_ready(pod: dict[str, Any]) -> bool:
    status = pod.get("status") or {}
    known = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return any(item.get("name") == _SIDECAR and item.get("ready") for item in known)
