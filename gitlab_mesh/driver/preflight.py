"""Everything that can be known before traffic moves, asked before traffic moves."""

from __future__ import annotations

from collections.abc import Iterable

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.mesh.routing import routes_to
from gitlab_mesh.core.record import Record
from gitlab_mesh.driver.release import Release, targets_of
from gitlab_mesh.errors import AccessDeniedError, ConflictError, PolicyRefusedError, UsageError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import AccessRule, LeaseState

__all__ = ["check_record", "needed_rights", "preflight"]

_ISTIO = "networking.istio.io"


def needed_rights(service: ServiceConfig) -> tuple[AccessRule, ...]:
    """Every right of a whole run, those of the rollback first."""
    space = service.namespace
    rights = [
        *_rules(space, "", "configmaps", ("get", "create", "patch")),
        *_rules(space, "coordination.k8s.io", "leases", ("get", "create", "patch")),
        *_rules(space, _ISTIO, "virtualservices", ("get", "list", "patch")),
        *_rules(space, _ISTIO, "destinationrules", ("list", "patch", "create", "delete")),
        *_rules(space, "apps", "deployments", ("get", "patch", "delete", "create")),
        *_rules(space, "apps", "replicasets", ("list",)),
        *_rules(space, "", "pods", ("list",)),
    ]
    if service.metrics.source == "istio-proxy" or any(check.http for check in service.smoke):
        rights += _rules(space, "", "pods/proxy", ("get",))
    return tuple(rights)


def preflight(ports: ServicePorts, release: Release) -> tuple[RouteState | None, list[str]]:
    """Check rights, route, record, stable, metrics and time; return the route and warnings for people.

    Raises:
        GitlabMeshError: The first thing that forbids to start; nothing was touched.
    """
    service = release.service
    denied = ports.access.denied(needed_rights(service))
    if denied:
        listed = ", ".join(f"{rule.verb} {rule.resource}{'.' + rule.group if rule.group else ''}" for rule in denied)
        raise AccessDeniedError(
            f"the token may not {listed} in namespace {service.namespace}",
            why="a release that cannot be rolled back must not start",
            hint="give the deployer's Role these verbs, then run the job again",
        )
    record, _ = ports.store.read()
    check_record(record, ports.lock.read(), release, ports.driver.pipeline)
    _check_time(ports, release)
    if release.plan.first:
        return None, []
    route = ports.router.read()
    if route.share:
        raise ConflictError(
            f"the canary of {service.name} already gets {route.share:.2%} of the route",
            why=f"written by {route.writer or 'somebody'}, and no rollout of ours is recorded",
            hint="set its weight to 0, then run the job again",
        )
    if route.fence is not None:
        raise ConflictError(
            f"the route of {service.name} carries the fence {route.fence}, but no rollout is recorded",
            hint=f"gitlab-mesh job rollback --service {service.name} cleans up",
        )
    _check_stable(release, route)
    ports.metrics.check(targets_of(service, route, release.stable, None))
    return route, list(_bypasses(ports, service, route))


def check_record(record: Record | None, lease: LeaseState | None, release: Release, pipeline: str) -> None:
    """Refuse what the record of the release before forbids.

    Raises:
        ConflictError: Another rollout is not finished.
        PolicyRefusedError: A verdict rejected this release before, or a newer pipeline was here.
    """
    if record is None:
        return
    name = f"{record.namespace}/{record.service}"
    if not record.finished:
        holder = lease.holder if lease is not None and lease.holder else ""
        driver = (
            f"pipeline {record.driver.pipeline or '?'}, job {record.driver.job or '?'} {record.driver.url}".rstrip()
        )
        raise ConflictError(
            f"rollout {record.id} of {name} is not finished: phase {record.phase}, canary weight {record.weight:.2%}",
            why=f"driven by {driver}" + (f"; the lease is held by {holder}" if holder else "; nobody holds its lease"),
            hint=f"wait for it, or end it: gitlab-mesh job rollback --service {record.service}",
        )
    if _newer(record.driver.pipeline, pipeline):
        raise PolicyRefusedError(
            f"pipeline {record.driver.pipeline} released {name} already; this one is older ({pipeline})",
            hint="run the newest pipeline; to go back use gitlab-mesh job rollback",
        )
    rejected = record.outcome == "rejected" and record.canary is not None and record.canary.image == release.image
    if rejected and not release.again:
        raise PolicyRefusedError(
            f"{release.image} was rejected before: {record.reason}",
            why="the same release would be judged by the same evidence again",
            hint="fix it and release another image, or insist with --again",
        )


def _newer(there: str, ours: str) -> bool:
    return there.isdecimal() and ours.isdecimal() and int(there) > int(ours)


def _rules(namespace: str, group: str, resource: str, verbs: Iterable[str]) -> list[AccessRule]:
    return [AccessRule(verb, group, resource, namespace) for verb in verbs]


def _check_stable(release: Release, route: RouteState) -> None:
    stable, service = release.stable, release.service
    if stable is None:
        return
    name = f"Deployment {service.namespace}/{stable.identity.workload}"
    if not stable.is_ready or stable.desired == 0 or stable.reason:
        raise PolicyRefusedError(
            f"{name} is not healthy: {stable.ready} of {stable.desired} pods are ready"
            + (f"; {stable.reason}" if stable.reason else ""),
            why="a canary is compared with stable, and a rollback sends its traffic there",
            hint="mend stable first",
        )
    labels = stable.deployment["spec"]["template"]["metadata"]["labels"]
    if labels.get(route.label) != route.label_values[0]:
        raise UsageError(
            f"subset {service.subsets.stable} selects {route.label}={route.label_values[0]}, "
            f"but pods of {name} have {route.label}={labels.get(route.label)}",
            why="the stable subset would have no pods",
            hint="make the DestinationRule's subset and the Deployment's label agree",
        )


def _check_time(ports: ServicePorts, release: Release) -> None:
    plan, left = release.plan, ports.remaining_seconds
    least = sum(step.bake_seconds for step in plan.steps)
    if least > plan.deadline_seconds:
        raise UsageError(
            f"the steps bake {least:.0f} s in all, the deadline is {plan.deadline_seconds:.0f} s",
            hint="raise rollout.deadline or shorten the steps",
        )
    if left is not None and plan.deadline_seconds + plan.drain_seconds > left:
        raise UsageError(
            f"the rollout may take {plan.deadline_seconds + plan.drain_seconds:.0f} s, the job has {left:.0f} s left",
            why="a job that is ended by its timeout has no time left for the rollback",
            hint="raise the job's timeout (templates: 60m), or lower rollout.deadline",
        )


def _bypasses(ports: ServicePorts, service: ServiceConfig, route: RouteState) -> Iterable[str]:
    host = resolve_host(service.host or service.name, service.namespace)
    for item in ports.cluster.list("VirtualService", service.namespace):
        key = f"VirtualService/{service.namespace}/{item['metadata']['name']}"
        if key not in route.objects and routes_to(item, host):
            yield f"{key} also leads to {host}: its callers bypass the canary's weight"
    if "mesh" not in route.gateways:
        yield "the route is bound to gateways only: callers inside the mesh reach canary pods through the Service"
