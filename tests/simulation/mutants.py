"""Deliberate defects of the product, each with the promises that it breaks: the oracles must find every one.

Each is a patch of product code, applied around the simulation; nothing of the simulation itself is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from gitlab_mesh.adapters.kubernetes.istio import IstioRouter
from gitlab_mesh.adapters.kubernetes.store import ConfigMapRolloutStore
from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.metrics import window
from gitlab_mesh.core.metrics.counts import Counts, Side, Snapshot
from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import Action, End, Evidence, Phase, RolloutState, Verb, raising, way_in
from gitlab_mesh.driver import beginning, ending, executor, recovery, replacing, resuming, taking, watch
from gitlab_mesh.driver import window as driver_window
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.narrator import Narrator
from gitlab_mesh.driver.run import Run
from gitlab_mesh.driver.workloads import NEVER
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh_jobs.canary import job as canary_job

__all__ = ["MUTANTS", "Mutant"]

Patch = tuple[Any, str, Callable[[Any], Any]]
"""Where, which attribute, and what it becomes, given what it was."""


@dataclass(frozen=True)
class Mutant:
    """One defect.

    Attributes:
        name: In one phrase.
        breaks: Invariants of which one must be found broken.
        patches: The defect.
    """

    name: str
    breaks: tuple[str, ...]
    patches: tuple[Patch, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply it while the context lasts."""
        was = [(where, name, getattr(where, name)) for where, name, _ in self.patches]
        for where, name, change in self.patches:
            setattr(where, name, change(getattr(where, name)))
        try:
            yield
        finally:
            for where, name, value in was:
                setattr(where, name, value)


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda was: lambda *arguments, **options: value


def _value(value: Any) -> Callable[[Any], Any]:
    return lambda was: value


def _impatient(verb: Verb, *, last: bool) -> Callable[[Any], Any]:
    """Go on from a step as soon as it is confirmed, whatever the gate says."""

    def change(decide: Any) -> Any:
        def decided(state: RolloutState, evidence: Evidence, now: float) -> Action:
            action: Action = decide(state, evidence, now)
            at_last = state.step + 1 == len(state.plan.steps)
            if action.verb is Verb.LOOK and state.phase is Phase.STEP and state.done.confirmed and at_last is last:
                return Action(verb, "impatient")
            return action

        return decided

    return change


def _decide_with(change: Callable[[RolloutState, float], RolloutState]) -> Callable[[Any], Any]:
    return lambda decide: lambda state, evidence, now: decide(change(state, now), evidence, now)


def _advance_with(verb: Verb, **done: bool) -> Callable[[Any], Any]:
    def change(advance: Any) -> Any:
        def advanced(state: RolloutState, action: Action, evidence: Evidence, now: float) -> RolloutState:
            after: RolloutState = advance(state, action, evidence, now)
            return after.with_(done=replace(after.done, **done)) if action.verb is verb else after

        return advanced

    return change


def _write_without(field: str) -> Callable[[Any], Any]:
    """The record is written without one of its fields."""

    def change(write: Any) -> Any:
        def written(self: Ledger, **changes: Any) -> None:
            changes.pop(field, None)
            write(self, **changes)

        return written

    return change


def _router(method: str, change: Callable[[Any], Any]) -> Patch:
    return (IstioRouter, method, change)


def _without_tests(plan: Any) -> Any:
    """Weights are written whatever fence the route carries, and whatever was there."""

    def planned(self: IstioRouter, state: Any, share: float, fence: str) -> Any:
        change = plan(self, state, share, state.fence or fence)
        patches = tuple(
            replace(patch, operations=tuple(item for item in patch.operations if item["op"] != "test"))
            for patch in change.patches
        )
        return replace(change, patches=patches)

    return planned


def _with_operation(path: str, value: Any) -> Callable[[Any], Any]:
    """Every weight also writes something that is not ours."""

    def change(plan: Any) -> Any:
        def planned(self: IstioRouter, state: Any, share: float, fence: str) -> Any:
            found = plan(self, state, share, fence)
            first = found.patches[0]
            more = {"op": "add", "path": path, "value": value}
            return replace(found, patches=(replace(first, operations=(*first.operations, more)), *found.patches[1:]))

        return planned

    return change


def _restore_without(kind: str) -> Callable[[Any], Any]:
    def change(plan: Any) -> Any:
        def planned(self: IstioRouter, state: Any, originals: Any, fence: str) -> Any:
            found = plan(self, state, originals, fence)
            return replace(found, patches=tuple(patch for patch in found.patches if patch.kind != kind))

        return planned

    return change


def _unconditional(write: Any) -> Any:
    """The record is written over whatever is there."""

    def written(self: ConfigMapRolloutStore, record: Any, version: str) -> Any:
        return write(self, record, self.read()[1])

    return written


def _blind_to_drift(check: Any) -> Any:
    """Any route with our fence is taken for ours all the time."""

    def checked(self: watch.Watch) -> Any:
        drift, lost, _ = check(self)
        return (None if not lost else drift), lost, True

    return checked


def _gap_filler(read: Any) -> Any:
    """A reading that failed is made up from the one before, with requests that are shared as the route says."""
    last: dict[int, Snapshot] = {}

    def filled(self: watch.Watch, targets: Any) -> Snapshot:
        snapshot: Snapshot = read(self, targets)
        if snapshot.samples:
            last[id(self)] = snapshot
            return snapshot
        before = last.get(id(self))
        if before is None:
            return snapshot
        now, share = self.ports.clock.monotonic(), self.expected or 0.0
        more = {Side.STABLE: round(100 * (1.0 - share)), Side.CANARY: round(100 * share)}
        samples = tuple(
            replace(sample, time_seconds=now, counts=Counts(sample.counts.requests + more[sample.side]))
            for sample in before.samples
        )
        last[id(self)] = Snapshot(samples=samples, time_seconds=now)
        return last[id(self)]

    return filled


def _believes_all(select: Any) -> Any:
    """NaN counts as many requests."""

    def selected(samples: Any, problems: list[str]) -> Any:
        mended = [
            replace(sample, counts=Counts(int(sample.time_seconds * 100)))
            if sample.counts.requests != sample.counts.requests
            else sample
            for sample in samples
        ]
        return select(mended, problems)

    return selected


def _also_scales_stable(patch_stable: Any) -> Any:
    def patched(run: Run, action: Action, state: RolloutState) -> Any:
        service = run.ports.service
        where = ("Deployment", service.namespace, service.stable_workload)
        run.ports.cluster.patch(*where, [{"op": "add", "path": "/spec/replicas", "value": 1}])
        return patch_stable(run, action, state)

    return patched


def _posts_first(after: Any) -> Any:
    def told(self: Narrator, state: RolloutState, action: Action, evidence: Evidence) -> None:
        if action.verb is Verb.LOOK:
            self.ports.notes.post(self.ports.service.name, "still going")
        after(self, state, action, evidence)

    return told


def _tells_gitlab_at_the_end(end: Any) -> Any:
    def ended(run: Run, action: Action, state: RolloutState) -> Any:
        run.ports.deployments.record("production", "failed")
        return end(run, action, state)

    return ended


def _harmless(error_for: Any) -> Any:
    def found(end: End, error: GitlabMeshError | None, **options: Any) -> Any:
        outcome = Outcome.REJECTED if end.outcome is Outcome.UNSAFE else end.outcome
        return error_for(replace(end, outcome=outcome), error, **options)

    return found


def _never_exposed(rebuild: Any) -> Any:
    def rebuilt(*arguments: Any, **options: Any) -> RolloutState:
        state: RolloutState = rebuild(*arguments, **options)
        return state.with_(exposed=state.written > 0)

    return rebuilt


def _once(until_done: Any) -> Any:
    return lambda self, work: work()


def _crashes_while_draining(tell: Any) -> Any:
    def told(self: executor.Executor, state: RolloutState, action: Action, evidence: Evidence) -> None:
        if action.verb is Verb.DRAIN:
            raise ValueError("a bug in the log")
        tell(self, state, action, evidence)

    return told


def _half_ready(status: Any) -> Any:
    return lambda found: min(int(found.get("readyReplicas") or 0), int(found.get("updatedReplicas") or 0))


def _whoever(scale: Any) -> Any:
    def scaled(cluster: Any, found: Any, replicas: int) -> None:
        operation = {"op": "add", "path": "/spec/replicas", "value": replicas}
        cluster.patch("Deployment", found["metadata"]["namespace"], found["metadata"]["name"], [operation])

    return scaled


def _any_route(take_route: Any) -> Any:
    def taken(ports: Any, ledger: Ledger) -> Any:
        route = ports.router.read()
        return ports.router.apply(ports.router.plan_take_over(route, ledger.fence))

    return taken


def _workload() -> ModuleType:
    from gitlab_mesh.core import workload

    return workload


MUTANTS: tuple[Mutant, ...] = (
    Mutant("the raise gate is skipped", ("S1",), ((executor, "decide_next", _impatient(Verb.NEXT_STEP, last=False)),)),
    Mutant("the promote gate is skipped", ("S1",), (
        (executor, "decide_next", _impatient(Verb.BEGIN_PROMOTION, last=True)), (raising, "_is_shut", _always(False)),
    )),
    Mutant("what was taken back is forgotten", ("S1",), ((Ledger, "write", _write_without("rejected_digests")),)),
    Mutant("the lease is never renewed", ("S1",), (
        (Ledger, "heartbeat", _always("")), (Ledger, "require_live", _always(None)),
    )),
    Mutant("the record forgets what was created", ("S2",), ((Ledger, "write", _write_without("created")),)),
    Mutant("nets end what waits by plan", ("S2",), ((Record, "waits", _value(property(lambda self: False))),)),
    Mutant("the record forgets the originals", ("S2", "S5"), ((Ledger, "write", _write_without("originals")),)),
    Mutant("a bug in the log ends the run", ("S2",), ((executor.Executor, "_tell", _crashes_while_draining),)),
    Mutant("the canary is deleted before it is drained", ("S3",), (
        (executor, "advance", _advance_with(Verb.DRAIN, drained=True)),
    )),
    Mutant("unsafe is called rejected", ("S3",), ((canary_job, "error_for", _harmless),)),
    Mutant("a takeover skips the drain where weight 0 is written", ("S3",), ((recovery, "rebuild", _never_exposed),)),
    Mutant("a sleeper scales down whatever has the canary's name", ("S3",), ((ending, "scale", _whoever),)),
    Mutant("proxies that do not follow count as callers that bypass", ("S3",), (
        (watch.Watch, "_follows", _always(True)),
    )),
    Mutant("a rollback gives up at the first failure", ("S3",), ((taking.Patience, "until_done", _once),)),
    Mutant("weights are written under any fence", ("S4",), (_router("plan_weight", _without_tests),)),
    Mutant("a takeover does not fend off planned writes", ("S4", "S5"), (
        (recovery, "fend_off", _always(NEVER)), (resuming, "fend_off", _always(NEVER)),
    )),
    Mutant("a takeover writes its fence over a newer one", ("S4",), (
        (recovery, "take_route", _any_route), (resuming, "take_route", _any_route),
    )),
    Mutant("the record is written over anybody's", ("S4",), ((ConfigMapRolloutStore, "write", _unconditional),)),
    Mutant("a timeout is written with the weight", ("S5",), (
        _router("plan_weight", _with_operation("/spec/http/0/timeout", "15s")),
    )),
    Mutant("the subset stays in the DestinationRule", ("S5",), (
        _router("plan_restore", _restore_without("DestinationRule")),
    )),
    Mutant("the autoscaler stays pinned", ("S5",), ((ending, "unpin", _always(None)),)),
    Mutant("the route is not restored", ("S5",), (_router("plan_restore", _restore_without("VirtualService")),)),
    Mutant("foreign writes go unnoticed", ("S6", "S7"), ((watch.Watch, "_check_route", _blind_to_drift),)),
    Mutant("only the weights are compared, not the version", ("S6", "S7"), (
        (RouteState, "version", _value(property(lambda self: ""))),
    )),
    Mutant("a window goes on after a foreign write", ("S6",), (
        (driver_window, "mark", lambda was: lambda state: state),
    )),
    Mutant("a failed reading is made up", ("S7",), ((watch.Watch, "_read_source", _gap_filler),)),
    Mutant("NaN counts as requests", ("S7",), ((window, "select_sound", _believes_all),)),
    Mutant("no deadline", ("S8",), (
        (executor, "decide_next", _decide_with(lambda state, now: state.with_(started=now))),
    )),
    Mutant("the way back never gives up", ("S8",), (
        (executor, "WAY_OUT_PATIENCE_SECONDS", _value(1e9)), (taking, "WAY_OUT_PATIENCE_SECONDS", _value(1e9)),
    )),
    Mutant("stable is scaled down at the promotion", ("S9",), ((replacing, "patch_stable", _also_scales_stable),)),
    Mutant("the autoscaler is not pinned", ("S9",), ((beginning, "plan_pin", _always({})),)),
    Mutant("one canary pod is enough for any weight", ("S9",), ((way_in, "needed_replicas", _always(1)),)),
    Mutant("old pods count as ready new ones", ("S9",), ((_workload(), "_ready_and_current", _half_ready),)),
    Mutant("looks wait for the note", ("S10",), ((Narrator, "after", _posts_first),)),
    Mutant("GitLab is told before weight 0", ("S10",), ((ending, "note_end", _tells_gitlab_at_the_end),)),
)  # fmt: skip
