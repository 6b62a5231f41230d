"""Writing weights: a raise is recorded before it is written, weight 0 is written before anything else."""

from __future__ import annotations

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import Action, RolloutState, Verb
from gitlab_mesh.driver.release import require_whole
from gitlab_mesh.driver.run import Run
from gitlab_mesh.errors import ConflictError, GitlabMeshError, ObjectMissingError

__all__ = ["set_weight"]


def set_weight(run: Run, action: Action, state: RolloutState) -> None:
    """Raise: record, lease, then route (write-ahead, S1, S2). Take back: the route first, then the record."""
    if action.share > 0:
        _raise_weight(run, action, state)
    else:
        _take_back(run, state)


def _raise_weight(run: Run, action: Action, state: RolloutState) -> None:
    router, fence = run.ports.router, run.ledger.fence
    followed = min(action.share, run.watch.former or action.share)
    run.ledger.write(
        phase=state.phase.value,
        step=state.step,
        weight=action.share,
        followed=followed,
        reasserted=state.reasserted + (action.verb is Verb.REASSERT),
        **run.judged(),
    )
    run.watch.former = followed  # also where the answer to the write is lost
    route = _owned_route(run)
    require_whole(route, run.ports.service)
    run.ledger.require_live()
    if route.share is None:
        route = router.apply(router.plan_prepare(route, fence))
    if route.share != action.share or not route.uniform:
        change = router.plan_weight(route, action.share, fence)
        run.ports.console.line(change.summary, tone="neutral")
        route = router.apply(change)
    _check_written(route, action.share)
    run.applied(route, action.share)
    run.events.write("WeightWritten", f"canary {action.share:.2%}: {action.why}")


def _take_back(run: Run, state: RolloutState) -> None:
    router = run.ports.router
    try:
        route = _owned_route(run)
    except ObjectMissingError as error:
        # Without a route there is no weight; what reaches the canary now comes through the Service.
        run.ports.console.line(error.what, tone="warn")
        run.watch.unrouted()
        return
    if route.share:
        known = route.uniform and run.watch.former is not None
        run.watch.former = min(route.share, run.watch.former or route.share) if known else None  # maybe another's
        change = router.plan_weight(route, 0.0, run.ledger.fence)
        run.ports.console.line(change.summary, tone="neutral")
        route = router.apply(change)
    if run.doubtful:
        # A raise whose answer never came may still arrive: a new fence makes it fail (S4).
        run.ledger.record = run.ledger.record.with_(fence=run.ledger.record.fence + 1)
        route = router.apply(router.plan_take_over(route, run.ledger.fence))
        run.watch.fence = run.ledger.fence
        run.doubtful = False
    _check_written(route, 0.0)
    run.applied(route, 0.0)
    reason = state.end.reason if state.end else ""
    try:
        run.ledger.write(phase="roll-back", weight=0.0, followed=run.watch.former, reason=reason)
    except GitlabMeshError as error:  # weight 0 is what counts; the record is written again with the next action
        run.ports.console.line(f"the record could not be written: {error.what}", tone="warn")
    warning = state.end is None or state.end.outcome is not Outcome.PROMOTED
    run.events.write("WeightWritten", f"canary 0 %: {reason}", warning=warning)


def _owned_route(run: Run) -> RouteState:
    """Read the route and make sure that our fence is on it."""
    router = run.ports.router
    route = router.read()
    if route.fence is None:
        # Somebody took the fence off. A driver that took over and finished does that, too (S4).
        run.ledger.check_ours()
        route = router.apply(router.plan_take_over(route, run.ledger.fence))
    return route


def _check_written(route: RouteState, share: float) -> None:
    if (route.share or 0.0) != share or not route.uniform:
        raise ConflictError(
            f"weight {share:.2%} was written, but {route.share or 0:.2%} is there",
            why=f"{route.writer or 'somebody'} changed it at once",
        )
