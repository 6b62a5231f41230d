"""Actions of the way out: pods end, the Deployment goes, the route is put back, the record is closed."""

from __future__ import annotations

from datetime import timedelta

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.record import WAITING_PHASES
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import Action, RolloutState, closing_phase
from gitlab_mesh.driver.capacity import KIND, unpin
from gitlab_mesh.driver.closing import close_record
from gitlab_mesh.driver.postmortem import explain_unready
from gitlab_mesh.driver.run import Run
from gitlab_mesh.driver.workloads import find_ours, scale
from gitlab_mesh.errors import ObjectMissingError

__all__ = ["close", "delete", "give_back", "note_end", "restore", "scale_down"]


def note_end(run: Run, action: Action, state: RolloutState) -> None:
    """Write a promotion down before it is tidied up. A rejection is not: weight 0 comes first, always."""
    if action.end is not None and action.end.outcome is Outcome.PROMOTED:
        run.ledger.write(phase="promote", ending=Outcome.PROMOTED.value)


def scale_down(run: Run, action: Action, state: RolloutState) -> None:
    """Let the canary's pods end normally, endpoints first; what they say of themselves is kept."""
    run.ledger.write(phase="clean-up")
    if run.release is not None and state.end is not None and state.end.outcome is Outcome.REJECTED:
        service = run.ports.service
        run.watch.timeline.explain(explain_unready(run.ports, service.namespace, service.canary_workload))
    for namespace, name in _created_deployments(run):
        found = find_ours(run.ports.cluster, namespace, name, run.ledger.record.id)
        if found is not None:
            scale(run.ports.cluster, found, 0)


def delete(run: Run, action: Action, state: RolloutState) -> None:
    """Delete what this rollout created."""
    for namespace, name in _created_deployments(run):
        found = find_ours(run.ports.cluster, namespace, name, run.ledger.record.id)
        if found is not None:
            run.ports.cluster.delete("Deployment", namespace, name, uid=found["metadata"].get("uid"))


def _created_deployments(run: Run) -> list[tuple[str, str]]:
    keys = (key.split("/") for key in reversed(run.ledger.record.created))
    return [(namespace, name) for kind, namespace, name in keys if kind == "Deployment"]


def restore(run: Run, action: Action, state: RolloutState) -> None:
    """Put autoscaler and route back as they were."""
    router, originals = run.ports.router, run.ledger.record.originals
    unpin(run.ports.cluster, originals, run.ledger.check_ours)
    route: RouteState | None = None
    try:
        route = router.read()
    except ObjectMissingError as error:
        run.ports.console.line(f"{error.what}: only what was added beside it is taken back", tone="warn")
    mine = {key: value for key, value in originals.items() if key.split("/")[0] not in ("Deployment", KIND)}
    try:
        for _ in range(3):  # until what is read back needs nothing more
            change = router.plan_restore(route, mine, run.ledger.fence)
            if change.empty:
                return
            route = router.apply(change)
    except ObjectMissingError:  # reading back what is gone
        if route is not None:
            raise


def close(run: Run, action: Action, state: RolloutState) -> None:
    """Write how it ended, or until when it waits."""
    end = action.end
    if end is None:
        return
    record, phase = run.ledger.record, closing_phase(state)
    if phase.value in WAITING_PHASES:
        limit = timedelta(seconds=run.ports.service.rollout.pause_limit)
        until = (run.ports.clock.now() + limit).isoformat(timespec="seconds")
        run.ledger.write(phase=phase.value, reason=end.reason, pause_until=until, **run.judged())
        run.events.write("ReleaseWaits", f"{phase.value} until {until}: {end.reason}")
        return
    run.ledger.write(**close_record(record, end, phase.value, run.ports.clock.now()))
    good = end.outcome in (Outcome.PROMOTED, Outcome.DEPLOYED)
    run.events.write(f"Release{end.outcome.value.title().replace('-', '')}", end.reason, warning=not good)


def give_back(run: Run, action: Action, state: RolloutState) -> None:
    """Release the Lease."""
    run.ledger.release()
