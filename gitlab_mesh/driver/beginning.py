"""Actions before the first weight: preflight, lock, route and canary, smoke checks, capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from gitlab_mesh.core.mesh.route import FENCE_ANNOTATION, ROUTE_KINDS, RouteChange
from gitlab_mesh.core.rollout import Action, Evidence, RolloutState
from gitlab_mesh.core.workload import ROLLOUT_ID, SideState, plan_canary
from gitlab_mesh.driver.capacity import find_autoscaler, pin, plan_pin
from gitlab_mesh.driver.preflight import preflight
from gitlab_mesh.driver.release import Release
from gitlab_mesh.driver.run import POLL_SECONDS, Run
from gitlab_mesh.driver.smoke import run_smoke
from gitlab_mesh.driver.snapshot import take_snapshot
from gitlab_mesh.driver.workloads import create_ours, find_ours, read_workload, scale
from gitlab_mesh.errors import ConflictError, GitlabMeshError, InterruptedRunError, PolicyRefusedError
from gitlab_mesh.ports import LeaseState

__all__ = ["check", "deploy", "lock", "prepare", "scale_canary", "smoke"]


def check(run: Run, action: Action, state: RolloutState) -> None:
    """Ask everything that can be known before traffic moves."""
    found = run.ports.signal.abortable(lambda: preflight(run.ports, run.releasing()))
    if found is None:
        raise InterruptedRunError("interrupted before anything was touched", signal_number=run.ports.signal())
    for warning in found[1]:
        run.ports.console.line(warning, tone="warn")


def lock(run: Run, action: Action, state: RolloutState) -> None:
    """Take the Lease, then write the first record."""
    if run.ledger.lease is None:
        run.ledger.acquire(over=_await_still(run))
    now = run.ports.clock.now()
    deadline = now + timedelta(seconds=state.plan.deadline_seconds)
    run.ledger.write(
        phase="lock",
        started=now.isoformat(timespec="seconds"),
        deadline_text=deadline.isoformat(timespec="seconds"),
    )
    run.watch.fence = run.ledger.fence


def _await_still(run: Run) -> LeaseState | None:
    """Watch a lease that somebody holds although no rollout is open; return it if it stands still.

    Its driver died between its last write and the release, or is just about to release. Expiry is measured on
    our own monotonic clock: the lease must not change for its whole duration (as client-go's election does).
    """
    clock, lock = run.ports.clock, run.ports.lock
    lease = lock.read()
    if lease is None or not lease.holder or lease.holder == run.ports.driver.holder:
        return lease
    since = clock.monotonic()
    while clock.monotonic() - since < lease.duration_seconds and not run.ports.signal():
        run.ports.console.progress(f"the lease is held by {lease.holder}; waiting whether it is renewed")
        clock.sleep(POLL_SECONDS)
        seen = lock.read()
        if seen is None or not seen.holder:
            return seen
        if seen != lease:
            return None  # alive: acquiring will say who holds it
    return lease


def prepare(run: Run, action: Action, state: RolloutState) -> None:
    """Pin stable's autoscaler and let the route name its subsets; the originals are recorded first."""
    record = run.ledger.record
    route = run.ports.router.read()
    change = run.ports.router.plan_prepare(route, run.ledger.fence)
    # An attempt before may have recorded the originals and applied some of the change: only those are the user's.
    # A route without our fence is untouched; what stands beside it carries none, so the first word counts.
    known = {
        key: value
        for key, value in record.originals.items()
        if key not in route.objects or key.split("/")[0] not in ROUTE_KINDS or _is_fenced(route.objects[key])
    }
    autoscaler = find_autoscaler(run.ports.cluster, run.ports.service)
    pinned = plan_pin(autoscaler, state.plan.stable_replicas)
    created = tuple(
        f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}" for item in change.create
    )
    run.ledger.write(
        phase="deploy",
        originals={**pinned, **change.originals, **known},
        created=_united(record.created, created),
        settings=take_snapshot(run.ports.service, route.names),
    )
    pin(run.ports.cluster, run.ledger.record.originals, autoscaler)
    try:
        run.applied(run.ports.router.apply(change), 0.0)
    except GitlabMeshError:
        _take_back_beside(run, change)
        raise
    run.watch.look_before()
    hotfix = f"hotfix ({record.hotfix}): " if record.hotfix else ""
    started = f"{hotfix}{record.image}, {state.plan.said}; {record.driver.url}"
    run.events.write("ReleaseStarted", started, warning=bool(hotfix))


def _take_back_beside(run: Run, change: RouteChange) -> None:
    """The same for what was created beside the route: after the end of the rollout nobody looks for it any more."""
    if not change.create or not run.ledger.taken_by():
        return
    record, _ = run.ports.store.read()
    if record is not None and not record.finished:
        return
    made = {key: was for key, was in change.originals.items() if was.get("created")}
    run.ports.router.apply(run.ports.router.plan_restore(None, made, run.ledger.fence))


def _is_fenced(item: Mapping[str, Any]) -> bool:
    return FENCE_ANNOTATION in (item["metadata"].get("annotations") or {})


def deploy(run: Run, action: Action, state: RolloutState) -> Evidence:
    """Create the canary Deployment, or stable itself at a first release."""
    release = run.releasing()
    service = release.service
    if release.stable is None:
        body = _first_deployment(run, release)
    else:
        route = run.watch.route or run.ports.router.read()
        body = plan_canary(
            release.stable.deployment,
            release.template,
            name=service.canary_workload,
            service=service.name,
            label=route.label,
            value=route.label_values[1],
            replicas=action.replicas,
            rollout=run.ledger.record.id,
        )
    key = f"Deployment/{service.namespace}/{body['metadata']['name']}"
    run.ledger.write(phase="deploy", created=_united(run.ledger.record.created, (key,)))
    create_ours(run.ports.cluster, body)
    _take_back_if_lost(run, service.namespace, body["metadata"]["name"])
    return Evidence()


def _take_back_if_lost(run: Run, namespace: str, name: str) -> None:
    """No precondition can hold a creation back: what was made after a takeover is deleted again (S4)."""
    taken = run.ledger.taken_by()
    if taken:
        record, _ = run.ports.store.read()
        # Who has the rollout goes on with it, or ends it: what is recorded is looked for. Only after the clean-up's
        # deletion nobody would look again, and requests come no more.
        if record is not None and not record.finished and record.phase != "clean-up":
            raise ConflictError(taken)
        found = find_ours(run.ports.cluster, namespace, name, run.ledger.record.id)
        if found is not None:
            run.ports.cluster.delete("Deployment", namespace, name, uid=found["metadata"].get("uid"))
        raise ConflictError(taken)


def _first_deployment(run: Run, release: Release) -> dict[str, Any]:
    body = {**(release.manifest or {})}
    metadata = {**body.get("metadata", {}), "name": release.service.stable_workload}
    metadata["namespace"] = release.service.namespace
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        ROLLOUT_ID: run.ledger.record.id,
    }
    return {**body, "apiVersion": "apps/v1", "metadata": metadata}


def smoke(run: Run, action: Action, state: RolloutState) -> None:
    """Check the canary's pods alone; no user has seen it yet."""
    service = run.ports.service
    name = service.stable_workload if state.plan.first else service.canary_workload
    side = read_workload(run.ports.cluster, service.namespace, name)
    if side is None:
        raise ConflictError(f"Deployment {service.namespace}/{name} is gone", why="somebody deleted it")
    run.ledger.write(phase="smoke", canary=side.identity)
    _refuse_rejected(run, side)
    run.ports.signal.abortable(lambda: run_smoke(run.ports, side))


def _refuse_rejected(run: Run, side: SideState) -> None:
    """Refuse a digest that a verdict rejected before, whatever its tag is called now."""
    known = set(side.identity.digests) & set(run.ledger.record.rejected_digests)
    if known and run.release is not None and not run.release.again:
        raise PolicyRefusedError(
            f"{side.identity.image} is {', '.join(sorted(known))}, which a verdict rejected before",
            why="another name does not make it another release",
            hint="fix it and release another image, or insist with --again",
        )


def scale_canary(run: Run, action: Action, state: RolloutState) -> Evidence:
    """Give the canary the pods that its next weight needs."""
    service = run.ports.service
    canary = find_ours(run.ports.cluster, service.namespace, service.canary_workload, run.ledger.record.id)
    if canary is None:
        raise ConflictError(
            f"Deployment {service.namespace}/{service.canary_workload} is gone, or another rollout's",
            why="somebody deleted it, or another driver took over",
        )
    scale(run.ports.cluster, canary, action.replicas)
    return run.watch.look_at_pods()


def _united(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
