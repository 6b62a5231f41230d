"""What each verb of the rollout machine does to the world."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.record import WAITING_PHASES
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.report.model import Outcome, Tone
from gitlab_mesh.core.rollout import Action, Evidence, RolloutState, Verb, closing_phase
from gitlab_mesh.core.workload import ROLLOUT_ID, SideState, plan_canary, plan_promotion, template_hash
from gitlab_mesh.driver.capacity import KIND, find_autoscaler, pin, plan_pin, unpin
from gitlab_mesh.driver.closing import close_record
from gitlab_mesh.driver.events import EventLog
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.preflight import preflight
from gitlab_mesh.driver.release import Release
from gitlab_mesh.driver.smoke import run_smoke
from gitlab_mesh.driver.snapshot import take_snapshot
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import create_ours, find_ours, patch_template, read_workload, scale
from gitlab_mesh.errors import (
    ConflictError,
    GitlabMeshError,
    InterruptedRunError,
    ObjectMissingError,
    PolicyRefusedError,
    TransientError,
)
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["Actions"]

POLL_SECONDS = 1.0
"""Between two looks at pods that start or end."""

JUDGE_STATE_BYTES = 8 * 1024


@dataclass
class Actions:
    """Performs single actions; holds what they share.

    Attributes:
        ports: Of the job.
        ledger: Lock and record.
        watch: Evidence.
        release: What is released; None where a rollout found in the cluster is ended.
        doubtful: A weight may still be on its way: its answer never came.
    """

    ports: ServicePorts
    ledger: Ledger
    watch: Watch
    release: Release | None = None
    doubtful: bool = False
    _checkpoint: float = 0.0
    _events: EventLog = field(init=False)

    def __post_init__(self) -> None:
        self._events = EventLog(self.ports, self.ledger.record.id)

    def perform(self, action: Action, state: RolloutState, evidence: Evidence) -> Evidence:
        """Perform one action and return the evidence after it.

        Raises:
            GitlabMeshError: It could not be done; the state then stays as it was.
        """
        performers: dict[Verb, Callable[[Action, RolloutState], Evidence | None]] = {
            Verb.PREFLIGHT: self._preflight,
            Verb.LOCK: self._lock,
            Verb.PREPARE: self._prepare,
            Verb.DEPLOY: self._deploy,
            Verb.AWAIT_CANARY: self._await_pods,
            Verb.AWAIT_STABLE: self._await_pods,
            Verb.AWAIT_GONE: self._await_pods,
            Verb.SMOKE: self._smoke,
            Verb.SCALE: self._scale,
            Verb.SET_WEIGHT: self._set_weight,
            Verb.REASSERT: self._set_weight,
            Verb.LOOK: self._look,
            Verb.DRAIN: self._drain,
            Verb.NEXT_STEP: self._next_step,
            Verb.PAUSE: self._pause,
            Verb.END: self._end,
            Verb.PATCH_STABLE: self._patch_stable,
            Verb.REVERT_STABLE: self._revert_stable,
            Verb.SCALE_DOWN: self._scale_down,
            Verb.DELETE: self._delete,
            Verb.RESTORE: self._restore,
            Verb.CLOSE: self._close,
            Verb.RELEASE: self._give_back,
        }
        performer = performers.get(action.verb)
        return (performer(action, state) if performer else None) or evidence

    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return self.ports.clock.monotonic() - self.watch.started

    def lost_to(self) -> str:
        """Say who owns the rollout now, by fence or record; "" while it is ours."""
        fence = self.ports.router.read().fence
        if fence not in (None, self.ledger.fence):
            return f"the route carries the fence {fence}: another driver took over"
        return self.ledger.taken_by()

    def _preflight(self, action: Action, state: RolloutState) -> None:
        found = self.ports.signal.abortable(lambda: preflight(self.ports, self._releasing()))
        if found is None:
            raise InterruptedRunError("interrupted before anything was touched", signal_number=self.ports.signal())
        for warning in found[1]:
            self.ports.console.line(warning, tone="warn")

    def _lock(self, action: Action, state: RolloutState) -> None:
        if self.ledger.lease is None:
            self.ledger.acquire(over=self._await_still())
        now = self.ports.clock.now()
        deadline = now + timedelta(seconds=state.plan.deadline_seconds)
        self.ledger.write(
            phase="lock",
            started=now.isoformat(timespec="seconds"),
            deadline_text=deadline.isoformat(timespec="seconds"),
        )
        self.watch.fence = self.ledger.fence

    def _await_still(self) -> LeaseState | None:
        """Watch a lease that somebody holds although no rollout is open; return it if it stands still.

        Its driver died between its last write and the release, or is just about to release. Expiry is measured on
        our own monotonic clock: the lease must not change for its whole duration (as client-go's election does).
        """
        clock, lock = self.ports.clock, self.ports.lock
        lease = lock.read()
        if lease is None or not lease.holder or lease.holder == self.ports.driver.holder:
            return lease
        since = clock.monotonic()
        while clock.monotonic() - since < lease.duration_seconds and not self.ports.signal():
            self.ports.console.progress(f"the lease is held by {lease.holder}; waiting whether it is renewed")
            clock.sleep(POLL_SECONDS)
            seen = lock.read()
            if seen is None or not seen.holder:
                return seen
            if seen != lease:
                return None  # alive: acquiring will say who holds it
        return lease

    def _prepare(self, action: Action, state: RolloutState) -> None:
        record = self.ledger.record
        route = self.ports.router.read()
        change = self.ports.router.plan_prepare(route, self.ledger.fence)
        # An attempt before may have recorded the originals and applied the change, or the part of it beside the route:
        # only those are the user's.
        known = {
            key: value
            for key, value in record.originals.items()
            if route.fence is not None or key.startswith("DestinationRule/")
        }
        pinned = plan_pin(find_autoscaler(self.ports.cluster, self.ports.service), state.plan.stable_replicas)
        created = tuple(
            f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}" for item in change.create
        )
        names = tuple(key.split("/")[2] for key in route.objects if key.startswith("VirtualService/"))
        self.ledger.write(
            phase="deploy",
            originals={**pinned, **change.originals, **known},
            created=_united(record.created, created),
            settings=take_snapshot(self.ports.service, names),
        )
        pin(self.ports.cluster, self.ledger.record.originals)
        self._applied(self.ports.router.apply(change), 0.0)
        hotfix = f"hotfix ({record.hotfix}): " if record.hotfix else ""
        started = f"{hotfix}{record.image}, {len(state.plan.steps)} steps; {record.driver.url}"
        self._events.write("ReleaseStarted", started, warning=bool(hotfix))

    def _deploy(self, action: Action, state: RolloutState) -> Evidence:
        release = self._releasing()
        service = release.service
        if release.stable is None:
            body = self._first_deployment(release)
        else:
            route = self.watch.route or self.ports.router.read()
            body = plan_canary(
                release.stable.deployment,
                release.template,
                name=service.canary_workload,
                service=service.name,
                label=route.label,
                value=route.label_values[1],
                replicas=action.replicas,
                rollout=self.ledger.record.id,
            )
        key = f"Deployment/{service.namespace}/{body['metadata']['name']}"
        self.ledger.write(phase="deploy", created=_united(self.ledger.record.created, (key,)))
        create_ours(self.ports.cluster, body)
        self._take_back_if_lost(service.namespace, body["metadata"]["name"])
        return Evidence()

    def _take_back_if_lost(self, namespace: str, name: str) -> None:
        """No precondition can hold a creation back: what was made after a takeover is deleted again (S4)."""
        taken = self.ledger.taken_by()
        if taken:
            record, _ = self.ports.store.read()
            if record is not None and not record.finished and record.phase not in ("roll-back", "clean-up", "done"):
                raise ConflictError(taken)  # whoever took over goes on with it
            found = find_ours(self.ports.cluster, namespace, name, self.ledger.record.id)
            if found is not None:
                self.ports.cluster.delete("Deployment", namespace, name, uid=found["metadata"].get("uid"))
            raise ConflictError(taken)

    def _first_deployment(self, release: Release) -> dict[str, Any]:
        body = {**(release.manifest or {})}
        metadata = {**body.get("metadata", {}), "name": release.service.stable_workload}
        metadata["namespace"] = release.service.namespace
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            ROLLOUT_ID: self.ledger.record.id,
        }
        return {**body, "apiVersion": "apps/v1", "metadata": metadata}

    def _await_pods(self, action: Action, state: RolloutState) -> Evidence:
        evidence = self._abortable(state, lambda: self._pods(state))
        if action.verb is Verb.AWAIT_STABLE and state.end is None:
            evidence = self.watch.look_at_route(evidence)
        waiting = action.verb is Verb.AWAIT_GONE and not evidence.canary_gone
        side = evidence.stable if action.verb is Verb.AWAIT_STABLE else evidence.canary
        if action.verb is not Verb.AWAIT_GONE:
            waiting = side is None or side.ready < max(1, side.desired)  # scaled to 0 by somebody: still wait
        if waiting:
            self.ledger.wait(min(POLL_SECONDS, self.ports.service.rollout.look_interval))
        return evidence

    def _abortable(self, state: RolloutState, read: Callable[[], Evidence]) -> Evidence:
        """Read; on the way in a signal ends the reading at once, on the way out nothing does."""
        if state.end is not None:
            return read()
        return self.ports.signal.abortable(read) or Evidence()

    def _pods(self, state: RolloutState) -> Evidence:
        evidence = self.watch.look_at_pods()
        if state.plan.first:  # the one Deployment of a first release plays the canary until it is proven
            evidence = replace(evidence, canary=evidence.stable)
        return evidence

    def _smoke(self, action: Action, state: RolloutState) -> None:
        service = self.ports.service
        name = service.stable_workload if state.plan.first else service.canary_workload
        side = read_workload(self.ports.cluster, service.namespace, name)
        if side is None:
            raise ConflictError(f"Deployment {service.namespace}/{name} is gone", why="somebody deleted it")
        self.ledger.write(phase="smoke", canary=side.identity)
        self._refuse_rejected(side)
        self.ports.signal.abortable(lambda: run_smoke(self.ports, side))

    def _refuse_rejected(self, side: SideState) -> None:
        """Refuse a digest that a verdict rejected before, whatever its tag is called now."""
        known = set(side.identity.digests) & set(self.ledger.record.rejected_digests)
        if known and self.release is not None and not self.release.again:
            raise PolicyRefusedError(
                f"{side.identity.image} is {', '.join(sorted(known))}, which a verdict rejected before",
                why="another name does not make it another release",
                hint="fix it and release another image, or insist with --again",
            )

    def _scale(self, action: Action, state: RolloutState) -> Evidence:
        service = self.ports.service
        scale(self.ports.cluster, service.namespace, service.canary_workload, action.replicas)
        return self.watch.look_at_pods()

    def _set_weight(self, action: Action, state: RolloutState) -> None:
        """Raise: record, lease, then route (write-ahead, S1, S2). Take back: the route first, then the record."""
        if action.share > 0:
            self._raise_weight(action, state)
        else:
            self._take_back(state)

    def _raise_weight(self, action: Action, state: RolloutState) -> None:
        router, fence = self.ports.router, self.ledger.fence
        self.ledger.write(
            phase=state.phase.value,
            step=state.step,
            weight=action.share,
            reasserted=state.reasserted + (action.verb is Verb.REASSERT),
            **self._judged(),
        )
        route = self._owned_route()
        self.ledger.require_live()
        if route.share is None:
            route = router.apply(router.plan_prepare(route, fence))
        if route.share != action.share or not route.uniform:
            change = router.plan_weight(route, action.share, fence)
            self.ports.console.line(change.summary, tone="neutral")
            route = router.apply(change)
        self._check_written(route, action.share)
        self._applied(route, action.share)
        self._events.write("WeightWritten", f"canary {action.share:.2%}: {action.why}")

    def _take_back(self, state: RolloutState) -> None:
        router = self.ports.router
        try:
            route = self._owned_route()
        except ObjectMissingError as error:
            # Without a route there is no weight; what reaches the canary now comes through the Service.
            self.ports.console.line(error.what, tone="warn")
            self.watch.unrouted()
            return
        if route.share:
            change = router.plan_weight(route, 0.0, self.ledger.fence)
            self.ports.console.line(change.summary, tone="neutral")
            route = router.apply(change)
        if self.doubtful:
            # A raise whose answer never came may still arrive: a new fence makes it fail (S4).
            self.ledger.record = self.ledger.record.with_(fence=self.ledger.record.fence + 1)
            route = router.apply(router.plan_take_over(route, self.ledger.fence))
            self.watch.fence = self.ledger.fence
            self.doubtful = False
        self._check_written(route, 0.0)
        self._applied(route, 0.0)
        reason = state.end.reason if state.end else ""
        try:
            self.ledger.write(phase="roll-back", weight=0.0, reason=reason)
        except GitlabMeshError as error:  # weight 0 is what counts; the record is written again with the next action
            self.ports.console.line(f"the record could not be written: {error.what}", tone="warn")
        warning = state.end is None or state.end.outcome is not Outcome.PROMOTED
        self._events.write("WeightWritten", f"canary 0 %: {reason}", warning=warning)

    def _owned_route(self) -> RouteState:
        """Read the route and make sure that our fence is on it."""
        router = self.ports.router
        route = router.read()
        if route.fence is None:
            # Somebody took the fence off. A driver that took over and finished does that, too (S4).
            taken = self.ledger.taken_by()
            if taken:
                raise ConflictError(taken)
            route = router.apply(router.plan_take_over(route, self.ledger.fence))
        return route

    @staticmethod
    def _check_written(route: RouteState, share: float) -> None:
        if (route.share or 0.0) != share or not route.uniform:
            raise ConflictError(
                f"weight {share:.2%} was written, but {route.share or 0:.2%} is there",
                why=f"{route.writer or 'somebody'} changed it at once",
            )

    def _judged(self) -> dict[str, Any]:
        """What the judge knows, for the record: a job that resumes must not spend the error budget twice."""
        judge = self.watch.judge
        if judge is None:
            return {}
        state = dict(judge.dump())
        return {"judge_state": state if len(json.dumps(state)) <= JUDGE_STATE_BYTES else {}}

    def _look(self, action: Action, state: RolloutState) -> Evidence:
        self.ledger.wait(self.ports.service.rollout.look_interval)
        evidence = self._abortable(state, self.watch.look)
        if evidence.drift is not None:
            evidence = replace(evidence, lost_lock=self.ledger.taken_by())
        judgement = evidence.judgement
        if judgement is not None:
            self.ledger.record = self.ledger.record.with_(
                last_verdicts={verdict.metric: f"{verdict.kind}: {verdict.reason}" for verdict in judgement.verdicts}
            )
            if not judgement.rejected:  # weight 0 first
                self._keep_judged()
        return evidence

    def _keep_judged(self) -> None:
        """Write down what the judge knows once in a lease's time: so much is looked at again after a lost runner."""
        now = self.ports.clock.monotonic()
        if now - self._checkpoint < self.ports.service.rollout.lease:
            return
        self._checkpoint = now
        try:
            self.ledger.write(**self._judged())
        except TransientError as error:
            self.ports.console.line(f"the record could not be written: {error.what}", tone="warn")

    def _drain(self, action: Action, state: RolloutState) -> Evidence:
        self.ports.clock.sleep(min(POLL_SECONDS, self.ports.service.rollout.look_interval))
        return self.watch.look_at_drain()

    def _next_step(self, action: Action, state: RolloutState) -> None:
        self._checkpoint = self.ports.clock.monotonic()
        self.ledger.write(step=state.step + 1, **self._judged())

    def _pause(self, action: Action, state: RolloutState) -> None:
        self.ledger.write(step=state.step, pause_step=state.step, **self._judged())

    def _end(self, action: Action, state: RolloutState) -> None:
        # A promotion is written down before it is tidied up. A rejection is not: weight 0 comes first, always.
        if action.end is not None and action.end.outcome is Outcome.PROMOTED:
            self.ledger.write(phase="promote", ending=Outcome.PROMOTED.value)

    def _patch_stable(self, action: Action, state: RolloutState) -> None:
        release = self._releasing()
        service = release.service
        deployment = self.ports.cluster.get("Deployment", service.namespace, service.stable_workload)
        operations = plan_promotion(deployment, release.template, label=service.subsets.label)
        current, wanted = deployment["spec"]["template"], operations[-1]["value"]
        key = f"Deployment/{service.namespace}/{service.stable_workload}"
        known = self.ledger.record.originals.get(key)
        if known is not None and template_hash(current) == template_hash(wanted):
            return  # an earlier attempt was applied, only its answer was lost
        was = {"template": current, "hash": template_hash(wanted)}
        self.ledger.write(phase="promote", originals={**self.ledger.record.originals, key: was})
        # Read before the record was written: whoever takes the record over touches the Deployment, and this fails.
        version = deployment["metadata"]["resourceVersion"]
        still = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        patch_template(self.ports.cluster, service.namespace, service.stable_workload, (still, *operations))

    def _revert_stable(self, action: Action, state: RolloutState) -> None:
        service = self.ports.service
        was = self.ledger.record.originals.get(f"Deployment/{service.namespace}/{service.stable_workload}")
        if was:
            # As at the promotion: read first, then the record, so that a takeover in between lets the write fail.
            stable = self.ports.cluster.get("Deployment", service.namespace, service.stable_workload)
            self.ledger.write(phase="roll-back")
            still = {"op": "test", "path": "/metadata/resourceVersion", "value": stable["metadata"]["resourceVersion"]}
            operations = [still, {"op": "replace", "path": "/spec/template", "value": was["template"]}]
            self._events.write("StableReverted", "stable gets its old template back", warning=True)
            patch_template(self.ports.cluster, service.namespace, service.stable_workload, operations)

    def _scale_down(self, action: Action, state: RolloutState) -> None:
        self.ledger.write(phase="clean-up")
        for namespace, name in self._created_deployments():
            if find_ours(self.ports.cluster, namespace, name, self.ledger.record.id) is not None:
                scale(self.ports.cluster, namespace, name, 0)

    def _delete(self, action: Action, state: RolloutState) -> None:
        for namespace, name in self._created_deployments():
            found = find_ours(self.ports.cluster, namespace, name, self.ledger.record.id)
            if found is not None:
                self.ports.cluster.delete("Deployment", namespace, name, uid=found["metadata"].get("uid"))

    def _created_deployments(self) -> list[tuple[str, str]]:
        keys = (key.split("/") for key in reversed(self.ledger.record.created))
        return [(namespace, name) for kind, namespace, name in keys if kind == "Deployment"]

    def _releasing(self) -> Release:
        if self.release is None:
            raise AssertionError("the machine chose a release's action for a rollout that only ends")
        return self.release

    def _restore(self, action: Action, state: RolloutState) -> None:
        router, originals = self.ports.router, self.ledger.record.originals
        unpin(self.ports.cluster, originals)
        route: RouteState | None = None
        try:
            route = router.read()
        except ObjectMissingError as error:
            self.ports.console.line(f"{error.what}: only what was added beside it is taken back", tone="warn")
        mine = {key: value for key, value in originals.items() if key.split("/")[0] not in ("Deployment", KIND)}
        try:
            for _ in range(3):  # until what is read back needs nothing more
                change = router.plan_restore(route, mine, self.ledger.fence)
                if change.empty:
                    return
                route = router.apply(change)
        except ObjectMissingError:  # reading back what is gone
            if route is not None:
                raise

    def _close(self, action: Action, state: RolloutState) -> None:
        end = action.end
        if end is None:
            return
        record, phase = self.ledger.record, closing_phase(state)
        if phase.value in WAITING_PHASES:
            limit = timedelta(seconds=self.ports.service.rollout.pause_limit)
            until = (self.ports.clock.now() + limit).isoformat(timespec="seconds")
            self.ledger.write(phase=phase.value, reason=end.reason, pause_until=until, **self._judged())
            self._events.write("ReleaseWaits", f"{phase.value} until {until}: {end.reason}")
            return
        self.ledger.write(**close_record(record, end, phase.value, self.ports.clock.now()))
        good = end.outcome in (Outcome.PROMOTED, Outcome.DEPLOYED)
        self._events.write(f"Release{end.outcome.value.title().replace('-', '')}", end.reason, warning=not good)

    def _give_back(self, action: Action, state: RolloutState) -> None:
        self.ledger.release()

    def _applied(self, route: RouteState, share: float) -> None:
        self.watch.written(route, share)
        if share > 0:
            self.watch.timeline.mark(self.elapsed(), format_percent(share), Tone.NEUTRAL)


def _united(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
