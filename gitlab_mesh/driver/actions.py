"""What each verb of the rollout machine does to the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.report.model import Outcome, Tone
from gitlab_mesh.core.rollout import Action, Evidence, RolloutState, Verb, closing_phase
from gitlab_mesh.core.workload import ROLLOUT_ID, plan_canary, plan_promotion
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.preflight import preflight
from gitlab_mesh.driver.release import Release
from gitlab_mesh.driver.smoke import run_smoke
from gitlab_mesh.driver.watch import Watch
from gitlab_mesh.driver.workloads import create_ours, find_ours, patch_template, read_workload, scale
from gitlab_mesh.errors import ConflictError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["Actions"]

POLL_SECONDS = 1.0
"""Between two looks at pods that start or end."""


@dataclass
class Actions:
    """Performs single actions; holds what they share.

    Attributes:
        ports: Of the job.
        ledger: Lock and record.
        watch: Evidence.
        release: What is released; None where a rollout found in the cluster is ended.
    """

    ports: ServicePorts
    ledger: Ledger
    watch: Watch
    release: Release | None = None

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
        _, warnings = preflight(self.ports, self._releasing())
        for warning in warnings:
            self.ports.console.line(warning, tone="warn")

    def _lock(self, action: Action, state: RolloutState) -> None:
        self.ledger.acquire(over=self._await_still())
        self.ledger.write(phase="lock", started=self.ports.clock.now().isoformat(timespec="seconds"))
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
        route = self.ports.router.read()
        change = self.ports.router.plan_prepare(route, self.ledger.fence)
        created = tuple(
            f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}" for item in change.create
        )
        self.ledger.write(phase="deploy", originals=change.originals, created=(*self.ledger.record.created, *created))
        self._applied(self.ports.router.apply(change), 0.0)

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
        self.ledger.write(phase="deploy", created=(*self.ledger.record.created, key))
        create_ours(self.ports.cluster, body)
        return Evidence()

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
        evidence = self._pods(state)
        waiting = action.verb is Verb.AWAIT_GONE and not evidence.canary_gone
        side = evidence.stable if action.verb is Verb.AWAIT_STABLE else evidence.canary
        if action.verb is not Verb.AWAIT_GONE:
            waiting = side is None or side.ready < side.desired
        if waiting:
            self.ports.clock.sleep(min(POLL_SECONDS, self.ports.service.rollout.look_interval))
        return evidence

    def _pods(self, state: RolloutState) -> Evidence:
        evidence = self.watch.look_at_pods()
        if state.plan.first:  # the one Deployment of a first release plays the canary until it is proven
            evidence = replace(evidence, canary=evidence.stable)
        return evidence

    def _smoke(self, action: Action, state: RolloutState) -> None:
        service = self.ports.service
        name = service.stable_workload if state.plan.first else service.canary_workload
        side = read_workload(self.ports.cluster, service.namespace, name)
        if side is not None:
            self.ledger.write(phase="smoke", canary=side.identity)
            run_smoke(self.ports, side)

    def _scale(self, action: Action, state: RolloutState) -> Evidence:
        service = self.ports.service
        scale(self.ports.cluster, service.namespace, service.canary_workload, action.replicas)
        return self.watch.look_at_pods()

    def _set_weight(self, action: Action, state: RolloutState) -> None:
        """Record first, then write, then read back (write-ahead, S2)."""
        router, fence = self.ports.router, self.ledger.fence
        phase = "roll-back" if state.end is not None else state.phase.value
        if action.share > 0:
            self.ledger.write(phase=phase, step=state.step, weight=action.share)
        route = router.read()
        if route.fence is None:
            # Somebody took the fence off. A driver that took over and finished does that, too (S4).
            taken = self.ledger.taken_by()
            if taken:
                raise ConflictError(taken)
            change = router.plan_take_over(route, fence) if action.share == 0 else router.plan_prepare(route, fence)
            route = router.apply(change)
        if route.share is None and action.share > 0:
            route = router.apply(router.plan_prepare(route, fence))
        if route.share is not None and (route.share != action.share or not route.uniform):
            change = router.plan_weight(route, action.share, fence)
            self.ports.console.line(change.summary, tone="neutral")
            route = router.apply(change)
        if (route.share or 0.0) != action.share:
            raise ConflictError(
                f"weight {action.share:.2%} was written, but {route.share or 0:.2%} is there",
                why=f"{route.writer or 'somebody'} changed it at once",
            )
        self._applied(route, action.share)
        if action.share == 0:
            self.ledger.write(phase=phase, weight=0.0, reason=state.end.reason if state.end else "")

    def _look(self, action: Action, state: RolloutState) -> Evidence:
        self.ports.clock.sleep(self.ports.service.rollout.look_interval)
        evidence = self.watch.look()
        if evidence.drift is not None:
            evidence = replace(evidence, lost_lock=self.ledger.taken_by())
        judgement = evidence.judgement
        if judgement is not None:
            self.ledger.record = self.ledger.record.with_(
                last_verdicts={verdict.metric: f"{verdict.kind}: {verdict.reason}" for verdict in judgement.verdicts}
            )
        return evidence

    def _drain(self, action: Action, state: RolloutState) -> Evidence:
        self.ports.clock.sleep(min(POLL_SECONDS, self.ports.service.rollout.look_interval))
        return self.watch.look_at_drain()

    def _next_step(self, action: Action, state: RolloutState) -> None:
        self.ledger.write(step=state.step + 1)

    def _end(self, action: Action, state: RolloutState) -> None:
        # A promotion is written down before it is tidied up. A rejection is not: weight 0 comes first, always.
        if action.end is not None and action.end.outcome is Outcome.PROMOTED:
            self.ledger.write(phase="promote", ending=Outcome.PROMOTED.value)

    def _patch_stable(self, action: Action, state: RolloutState) -> None:
        release = self._releasing()
        service = release.service
        deployment = self.ports.cluster.get("Deployment", service.namespace, service.stable_workload)
        key = f"Deployment/{service.namespace}/{service.stable_workload}"
        original = {key: {"template": deployment["spec"]["template"]}}
        self.ledger.write(phase="promote", originals={**self.ledger.record.originals, **original})
        operations = plan_promotion(deployment, release.template, label=service.subsets.label)
        patch_template(self.ports.cluster, service.namespace, service.stable_workload, operations)

    def _revert_stable(self, action: Action, state: RolloutState) -> None:
        service = self.ports.service
        was = self.ledger.record.originals.get(f"Deployment/{service.namespace}/{service.stable_workload}")
        if was:
            operations = [{"op": "replace", "path": "/spec/template", "value": was["template"]}]
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
        router = self.ports.router
        originals = {
            key: value for key, value in self.ledger.record.originals.items() if not key.startswith("Deployment/")
        }
        router.apply(router.plan_restore(router.read(), originals, self.ledger.fence))

    def _close(self, action: Action, state: RolloutState) -> None:
        end = action.end
        if end is None:
            return
        record = self.ledger.record
        phase = closing_phase(state)
        open_still = phase.value in ("awaiting-promotion", "held")
        changes: dict[str, Any] = {
            "phase": phase.value,
            "reason": end.reason,
            "outcome": "running" if open_still else end.outcome.value,
        }
        if not open_still:
            changes |= {"originals": {}, "created": (), "judge_state": {}, "ending": ""}
        if end.outcome in (Outcome.PROMOTED, Outcome.DEPLOYED):
            changes["last_good"] = record.canary
        if end.outcome is Outcome.REJECTED and record.canary is not None:
            digests = {*record.rejected_digests, *record.canary.digests}
            changes["rejected_digests"] = tuple(sorted(digests))[-50:]
        self.ledger.write(**changes)

    def _give_back(self, action: Action, state: RolloutState) -> None:
        self.ledger.release()

    def _applied(self, route: RouteState, share: float) -> None:
        self.watch.written(route, share)
        if share > 0:
            self.watch.timeline.mark(self.elapsed(), format_percent(share), Tone.NEUTRAL)
