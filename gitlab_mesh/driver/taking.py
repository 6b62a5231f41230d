"""Taking a rollout over: lease, record, fence; afterwards no write of the driver before can be applied (S4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import End
from gitlab_mesh.driver.executor import WAY_OUT_PATIENCE_SECONDS
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.outcome import next_step_for
from gitlab_mesh.driver.workloads import NEVER, Written, version_of
from gitlab_mesh.errors import ConflictError, GitlabMeshError, ObjectMissingError, UnsafeError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["Patience", "fend_off", "take_record", "take_route"]

T = TypeVar("T")

TAKEN_OVER = "gitlab-mesh.dev/taken-over"
"""Annotation on the stable Deployment or the DestinationRule for the moment of a takeover; see ``fend_off``."""

_ROUTE_ATTEMPTS = 5
"""How often the fence is tried while somebody else writes the route at the same moment."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries what stands between us and weight 0 again while the API fails, and says 23 when it gives up.

    Attributes:
        ports: Of the job.
        since: Monotonic time of the job's start.
    """

    ports: ServicePorts
    since: float

    def until_done(self, work: Callable[[], T]) -> T:
        """Do the work.

        Raises:
            ConflictError: Somebody else took over.
            UnsafeError: It could not be done in ``WAY_OUT_PATIENCE_SECONDS``.
        """
        clock = self.ports.clock
        while True:
            try:
                return work()
            except ConflictError:
                raise
            except GitlabMeshError as error:  # refused as invalid, too: a policy may be mended while we wait
                waited = clock.monotonic() - self.since
                if waited > WAY_OUT_PATIENCE_SECONDS:
                    raise UnsafeError(
                        f"the rollback could not begin: {error.what}",
                        why="; ".join(
                            filter(None, (f"tried for {waited:.0f} s: the canary may have its weight", error.why))
                        ),
                        hint=next_step_for(End(Outcome.UNSAFE, ""), self.ports.service.name, ""),
                    ) from error
                self.ports.console.line(f"{error.what}; trying again", tone="warn")
                clock.sleep(min(5.0, 0.2 + waited / 4))


def take_record(
    ports: ServicePorts, ledger: Ledger, seen: LeaseState | None = None, changes: Mapping[str, Any] | None = None
) -> None:
    """Take the lease, then the record; what its driver wrote between our reading and its end is adopted.

    With the lease in hand nobody else may begin, and the driver before stops at its next heartbeat. So a record that
    changed meanwhile is read again instead of leaving the traffic where it is with no driver at all.

    Raises:
        ConflictError: Somebody else took over at the same moment.
    """
    if ledger.lease is None:
        now = ports.lock.read()
        watched = seen is not None and (now is None or now.holder != ports.driver.holder)
        ledger.acquire(over=seen if watched else now)
    for _ in range(5):
        try:
            ledger.write(**(changes or {}))
            return
        except ConflictError:
            if ledger.lease is not None:
                ledger.lease = ports.lock.renew(ledger.lease)
            record, version = ports.store.read()
            if record is not None and record.finished:
                ledger.release()
                raise ConflictError(f"rollout {record.id} ended meanwhile: {record.outcome}") from None
            if record is not None:
                fence = max(ledger.record.fence, record.fence + 1)
                ledger.record = record.with_(fence=fence, driver=ports.driver)
            ledger.version = version
    ledger.write(**(changes or {}))


def fend_off(ports: ServicePorts, record: Record) -> Written:
    """Let a write of the driver before fail that is planned, recorded and not yet done.

    Preparation, promotion and its revocation test the resourceVersion that their object had before the record was
    written; so a write that changes nothing for good, made after we took the record over, is enough. Whether theirs
    came first is seen afterwards. The VirtualService needs none: it gets our fence.

    Returns:
        Stable's uid and generation since then: what is read with an older one is of before we came.
    """
    touched = NEVER
    service = ports.service
    stable = f"Deployment/{service.namespace}/{service.stable_workload}"
    if stable in record.originals:
        touched = _touch(ports, record, stable)
    if record.phase == "deploy":
        for key, was in record.originals.items():
            if key.startswith("DestinationRule/") and not was.get("created"):
                _touch(ports, record, key)
    return touched


def _touch(ports: ServicePorts, record: Record, key: str) -> Written:
    kind, namespace, name = key.split("/")
    where = (kind, namespace, name)
    try:
        annotations = ports.cluster.get(*where)["metadata"].get("annotations")
        touched = {**(annotations or {}), TAKEN_OVER: f"{record.id}/{record.fence}"}
        ports.cluster.patch(*where, [{"op": "add", "path": "/metadata/annotations", "value": touched}])
        kept = {key: value for key, value in touched.items() if key != TAKEN_OVER}
        back = {"op": "add", "path": "/metadata/annotations", "value": kept}
        if not kept:
            back = {"op": "remove", "path": "/metadata/annotations"}
        still = {"op": "test", "path": "/metadata/annotations", "value": touched}
        return version_of(ports.cluster.patch(*where, [still, back]))
    except ObjectMissingError:
        return NEVER


def take_route(ports: ServicePorts, ledger: Ledger) -> RouteState | None:
    """Put our fence on the route; None if the route itself is gone, and with it the canary's share.

    Raises:
        ConflictError: Somebody else took over after us; their fence stays.
    """
    for left in reversed(range(_ROUTE_ATTEMPTS)):
        try:
            route = ports.router.read()
        except ObjectMissingError as error:
            ports.console.line(error.what, tone="warn")
            return None
        # A record that is ours after the route was read: whoever takes over from us has not fenced that route yet,
        # and the patch tests what was read.
        ledger.check_ours()
        if route.fence is None and not ledger.record.originals:
            return route
        try:
            return ports.router.apply(ports.router.plan_take_over(route, ledger.fence))
        except ConflictError:  # somebody wrote the route in between; nobody else would take the traffic back
            if not left:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")
