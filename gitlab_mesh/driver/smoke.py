"""Smoke checks: the canary alone, before the first user."""

from __future__ import annotations

from gitlab_mesh.config.model import HttpSmoke, SmokeCheck
from gitlab_mesh.core.workload import SideState, smoke_port
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import GitlabMeshError, ReleaseRejectedError, TransientError, UsageError
from gitlab_mesh.job import ServicePorts

__all__ = ["run_smoke"]


def run_smoke(ports: ServicePorts, side: SideState) -> None:
    """Run every check on every ready pod of the side.

    Raises:
        ReleaseRejectedError: A check failed in all of its attempts; names check, pod and answer.
        UsageError: The check cannot reach any pod, stable's neither: that says nothing about the release.
    """
    for check in ports.service.smoke:
        for pod in side.ready_pods:
            failure = ""
            for attempt in range(check.attempts):
                if attempt:
                    ports.clock.sleep(1.0)
                failure = _http(ports, side, pod, check, check.http) if check.http else _command(ports, pod, check)
                if not failure:
                    break
            if failure:
                if check.http:
                    _require_reachable(ports, side, check, check.http)
                raise ReleaseRejectedError(
                    f"smoke check {check.name!r} failed on pod {pod}: {failure}",
                    why=f"{check.attempts} attempts; no user request reached the canary",
                )
            ports.console.line(f"smoke check {check.name!r} passed on pod {pod}", tone="good")


def _require_reachable(ports: ServicePorts, side: SideState, check: SmokeCheck, http: HttpSmoke) -> None:
    """Ask stable's pod the same, whatever it answers: a check that is kept out everywhere must not reject a release.

    Raises:
        UsageError: Nothing answers there either.
    """
    service = ports.service
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    if stable is None or not stable.ready_pods or stable.identity.workload == side.identity.workload:
        return
    pod = stable.ready_pods[0]
    port = smoke_port(stable.deployment["spec"]["template"], service.workload.container, service.workload.port)
    try:
        ports.pod_proxy.get_path(service.namespace, pod, port, http.path, timeout=check.timeout)
    except TransientError as error:
        raise UsageError(
            f"smoke check {check.name!r} says nothing about the release: no pod answers the API server at port {port}, "
            "stable's neither; with mTLS STRICT a sidecar resets plaintext, and the API server sends that",
            why=f"stable's pod {pod}: {error.what}",
            hint="use a `command` that goes through the mesh, or let plaintext in at this port alone: "
            f"PeerAuthentication, portLevelMtls: {{{port}: {{mode: PERMISSIVE}}}}",
        ) from error


def _http(ports: ServicePorts, side: SideState, pod: str, check: SmokeCheck, http: HttpSmoke) -> str:
    service = ports.service
    template = side.deployment["spec"]["template"]
    port = smoke_port(template, service.workload.container, service.workload.port)
    try:
        answer = ports.pod_proxy.get_path(service.namespace, pod, port, http.path, timeout=check.timeout)
    except GitlabMeshError as error:
        return error.what
    if answer.status != http.status:
        return f"GET {http.path} answered {answer.status}, expected {http.status}"
    if http.contains is not None and http.contains not in answer.body.decode("utf-8", "replace"):
        return f"GET {http.path} answered {answer.status}, but without {http.contains!r}"
    return ""


def _command(ports: ServicePorts, pod: str, check: SmokeCheck) -> str:
    env = {"MESH_CANARY_POD": pod, "MESH_NAMESPACE": ports.service.namespace, "MESH_SERVICE": ports.service.name}
    code, output = ports.commands.run(check.command, env=env, timeout=check.timeout)
    return "" if code == 0 else f"{check.command[0]} ended with {code}: {output.strip()[-300:]}"
