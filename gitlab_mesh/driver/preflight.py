"""Everything that can be known before traffic moves, asked before traffic moves."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.freeze import in_window
from gitlab_mesh.core.mesh.backends import leads_to
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.mesh.routing import routes_to
from gitlab_mesh.core.record import Record, is_newer
from gitlab_mesh.core.rollout import GONE_SECONDS, worst_seconds
from gitlab_mesh.driver.capacity import find_autoscaler
from gitlab_mesh.driver.membership import check_membership
from gitlab_mesh.driver.release import Release, require_whole, targets_of
from gitlab_mesh.driver.rights import describe, needed_rights
from gitlab_mesh.errors import AccessDeniedError, ConflictError, PolicyRefusedError, TransientError, UsageError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["check_freeze", "check_record", "check_rights", "check_time", "preflight"]


def preflight(ports: ServicePorts, release: Release) -> tuple[RouteState | None, list[str]]:
    """Check rights, route, record, stable, metrics and time; return the route and warnings for people.

    Raises:
        GitlabMeshError: The first thing that forbids to start; nothing was touched.
    """
    service = release.service
    check_freeze(ports, release)
    check_rights(ports, service)
    record, _ = ports.store.read()
    check_record(record, ports.lock.read(), release, ports.driver.pipeline)
    check_time(ports, release)
    if release.plan.first:
        return None, []
    route = ports.router.read()
    require_whole(route, service)
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
    if route.pending:
        raise TransientError(
            f"the route of {service.name} is not in force as it is written: {route.pending}",
            why="nobody could tell whether a weight is followed",
            hint=f"look at the status of {service.route.kind} {', '.join(route.names)} with kubectl describe",
        )
    check_membership(ports.cluster, service, route)
    ports.router.plan_prepare(route, "preflight")  # refuses the forms in which weights cannot be moved
    warnings = [*_check_stable(release, route), *_bypasses(ports, service, route)]
    if not release.hotfix:
        ports.metrics.check(targets_of(service, route, release.stable, None))
    autoscaler = find_autoscaler(ports.cluster, service)
    if autoscaler is not None:
        warnings.append(
            f"HorizontalPodAutoscaler {autoscaler['metadata']['name']} keeps at least {release.plan.stable_replicas} "
            "stable pods while the release runs, and gets its own limit back at the end"
        )
    return route, warnings


def check_rights(ports: ServicePorts, service: ServiceConfig) -> None:
    """Ask for every right of the whole run, those of the rollback first.

    Raises:
        AccessDeniedError: Some are missing; all of them are named.
    """
    denied = ports.access.denied(needed_rights(service))
    if denied:
        listed = ", ".join(dict.fromkeys(describe(rule) for rule in denied))
        raise AccessDeniedError(
            f"the token may not {listed} in namespace {denied[0].namespace}",
            why="a release that cannot be rolled back must not start",
            hint=f"gitlab-mesh rbac render --service {service.name} prints the smallest Role that suffices",
        )


def check_freeze(ports: ServicePorts, release: Release) -> None:
    """Refuse in a freeze window; a hotfix gets past it.

    Raises:
        PolicyRefusedError: A window holds now; says which and until when it is asked again.
    """
    now = ports.clock.now()
    for window in release.service.freeze:
        local = now.astimezone(ZoneInfo(window.timezone))
        if not in_window(
            local,
            days=window.days,
            begin=window.begin,
            end=window.end,
            first_day=window.first_day,
            last_day=window.last_day,
        ):
            continue
        if release.hotfix:
            ports.console.line(f"freeze window {window.reason!r} is passed over: hotfix", tone="warn")
            continue
        raise PolicyRefusedError(
            f"releases of {release.service.name} are frozen: {window.reason}",
            why=f"it is {local:%a %Y-%m-%d %H:%M} {window.timezone}",
            hint='wait for its end, or for an emergency: --hotfix "why"',
        )


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
        raise ConflictError(
            f"rollout {record.id} of {name} is not finished: phase {record.phase}, canary weight {record.weight:.2%}",
            why=f"driven by {record.driver.who}"
            + (f"; the lease is held by {holder}" if holder else "; nobody holds its lease"),
            hint=f"wait for it, or end it: gitlab-mesh job rollback --service {record.service}",
        )
    if is_newer(record.release_pipeline, pipeline):
        raise PolicyRefusedError(
            f"pipeline {record.release_pipeline} released {name} already; this one is older ({pipeline})",
            hint="run the newest pipeline; to go back use gitlab-mesh job rollback",
        )
    rejected = record.outcome == "rejected" and record.image == release.image
    if rejected and not release.again:
        raise PolicyRefusedError(
            f"{release.image} was rejected before: {record.reason}",
            why="the same release would be judged by the same evidence again",
            hint="fix it and release another image, or insist with --again",
        )


def _check_stable(release: Release, route: RouteState) -> Iterable[str]:
    stable, service = release.stable, release.service
    if stable is None:
        return
    name = f"Deployment {service.namespace}/{stable.identity.workload}"
    broken = not stable.is_ready or stable.desired == 0 or stable.reason
    if broken and release.hotfix:
        yield f"{name} is not healthy; this is a hotfix ({release.hotfix}): nothing is compared with it"
    elif broken:
        raise PolicyRefusedError(
            f"{name} is not healthy: {stable.ready} of {stable.desired} pods are ready"
            + (f"; {stable.reason}" if stable.reason else ""),
            why="a canary is compared with stable, and a rollback sends its traffic there",
            hint='mend stable first, or release the remedy with --hotfix "why"',
        )
    labels = stable.deployment["spec"]["template"]["metadata"]["labels"]
    if labels.get(route.label) != route.label_values[0]:
        raise UsageError(
            f"subset {service.subsets.stable} selects {route.label}={route.label_values[0]}, "
            f"but pods of {name} have {route.label}={labels.get(route.label)}",
            why="the stable subset would have no pods",
            hint="make the DestinationRule's subset and the Deployment's label agree",
        )


def check_time(ports: ServicePorts, release: Release) -> None:
    """Refuse what cannot end in time: the sum of all phases' deadlines must fit what the job has left (S8).

    Raises:
        UsageError: It does not; says by how much.
    """
    plan, left = release.plan, ports.remaining_seconds
    bake = plan.ramp.settings.bake_seconds if plan.budget else sum(step.bake_seconds for step in plan.steps)
    least = bake + plan.watch_seconds
    if least > plan.deadline_seconds:
        raise UsageError(
            f"steps and watch take {least:.0f} s at least, the deadline is {plan.deadline_seconds:.0f} s",
            hint="raise rollout.deadline, or shorten the steps or the watch",
        )
    longest = max((check.timeout for check in release.service.smoke), default=0.0)
    if longest >= release.service.rollout.lease:
        raise UsageError(
            f"a smoke check may take {longest:.0f} s, the lease lasts {release.service.rollout.lease:.0f} s",
            why="while a check runs nobody renews the lease, and a net could take the release for abandoned",
            hint="raise rollout.lease above the check's timeout",
        )
    worst = worst_seconds(plan)
    if left is not None and worst > left:
        raise UsageError(
            f"the rollout may take {worst:.0f} s (deadline {plan.deadline_seconds:.0f}, stable's start "
            f"{plan.ready_seconds:.0f}, drain {plan.drain_seconds:.0f}, pods' end {GONE_SECONDS:.0f}), "
            f"the job has {left:.0f} s left",
            why="a job that is ended by its timeout has no time left for the rollback; "
            "a token for the cluster that ends sooner counts, too",
            hint="raise the job's timeout (templates: 60m; GitLab's id_tokens live as long), or lower rollout.deadline",
        )


def _bypasses(ports: ServicePorts, service: ServiceConfig, route: RouteState) -> Iterable[str]:
    host = resolve_host(service.host or service.name, service.namespace)
    kinds = ("VirtualService",) if service.route.kind == "VirtualService" else ("VirtualService", "HTTPRoute")
    for kind in kinds:
        for item in ports.cluster.list(kind, service.namespace):
            key = f"{kind}/{service.namespace}/{item['metadata']['name']}"
            leads = (
                leads_to(item, service.namespace, host.split(".")[0]) if kind == "HTTPRoute" else routes_to(item, host)
            )
            if key not in route.objects and leads:
                yield f"{key} also leads to {host}: its callers bypass the canary's weight"
    if "mesh" not in route.gateways:
        yield "the route is bound to gateways only: callers inside the mesh reach canary pods through the Service"
