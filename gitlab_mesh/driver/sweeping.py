"""Finding the rollouts that nobody drives any more, and ending them; the work of recover, scheduler and guard.

Whether a driver lives is seen on our own monotonic clock: its lease must stand unchanged for its whole duration
(as client-go's leader election does it). Wall clocks of two machines are never compared for that; only the end of a
pause, an appointment between people, is a wall time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.record import Record, parse_record
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import End
from gitlab_mesh.driver.finding import Found, find_rollout
from gitlab_mesh.driver.recovery import roll_back
from gitlab_mesh.driver.snapshot import recorded_service
from gitlab_mesh.errors import ConflictError, GitlabMeshError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["POLL_SECONDS", "Case", "find_cases", "sweep"]

_SELECTOR = "app.kubernetes.io/managed-by=gitlab-mesh"
POLL_SECONDS = 2.0


@dataclass
class Case:
    """One service that was looked at.

    Attributes:
        name: "namespace/service".
        ports: Of the service as its rollout saw it.
        found: Its open rollout; None where only a lease is held.
        word: "ended", "left alone", "failed", or "" while undecided.
        why: One sentence.
        error: What went wrong.
        asks: Seconds that ``--expired`` would watch its lease; 0: that was done, or there is nothing to watch.
    """

    name: str
    ports: ServicePorts
    found: Found | None = None
    word: str = ""
    why: str = ""
    error: GitlabMeshError | None = None
    lease: LeaseState | None = None
    since: float = 0.0
    asks: float = 0.0

    @property
    def phase(self) -> str:
        """Phase of the rollout, for people."""
        return self.found.record.phase if self.found else "–"

    def leave(self, why: str) -> None:
        """Nothing is done about it."""
        self.word, self.why = "left alone", why

    def fail(self, error: GitlabMeshError) -> None:
        """It could not be ended."""
        self.word, self.why, self.error = "failed", error.what, error


def find_cases(ports: ServicePorts, *, namespace: str | None) -> list[Case]:
    """Return what is open: of the service of ``ports``, or with ``namespace`` of all ("": of the cluster)."""
    if namespace is None:
        return [case for case in [_look(ports)] if case is not None]
    cases: list[Case] = []
    seen: set[tuple[str, str]] = set()
    for item in ports.cluster.list("ConfigMap", namespace, label_selector=_SELECTOR):
        name = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        try:
            record = parse_record(item.get("data") or {}, name=name)
        except ConflictError as error:
            case = Case(name, ports)
            case.fail(error)
            cases.append(case)
            record = None
        if record is not None:
            its = ports.for_service(recorded_service(record, _base(ports, record)))
            cases += [case for case in [_look(its)] if case is not None]
        seen.add((item["metadata"]["namespace"], item["metadata"]["name"]))
    for item in ports.cluster.list("Lease", namespace, label_selector=_SELECTOR):
        # Its driver died between the lease and the first record: only the lease is left.
        space, name = item["metadata"]["namespace"], item["metadata"]["name"]
        if (space, name) not in seen:
            its = ports.for_service(ServiceConfig(name.removeprefix("gitlab-mesh-"), space))
            cases += [case for case in [_look(its)] if case is not None]
    return cases


def _base(ports: ServicePorts, record: Record) -> ServiceConfig | None:
    same = (ports.service.name, ports.service.namespace) == (record.service, record.namespace)
    return ports.service if same else None


def _look(ports: ServicePorts) -> Case | None:
    case = Case(f"{ports.service.namespace}/{ports.service.name}", ports)
    try:
        case.found = find_rollout(ports)
        case.lease, case.since = ports.lock.read(), ports.clock.monotonic()
    except GitlabMeshError as error:
        case.fail(error)
        return case
    held = case.lease is not None and bool(case.lease.holder)
    return case if case.found is not None or held else None


def sweep(ports: ServicePorts, cases: list[Case], *, expired: bool) -> None:
    """End what nobody drives; the result is written into the cases.

    Args:
        ports: For clock and console.
        cases: From ``find_cases``.
        expired: Watch held leases; without it they are left alone.
    """
    for case in cases:
        if not case.word:
            _decide_now(case, expired=expired)
    while (waiting := [case for case in cases if not case.word]) and not ports.signal():
        for case in waiting:
            _watch(case)
        if any(not case.word for case in waiting):
            ports.console.progress(f"watching {len(waiting)} leases whether they are renewed")
            ports.clock.sleep(POLL_SECONDS)
    for case in cases:
        if not case.word:
            case.leave("a signal ended the watch")


def _decide_now(case: Case, *, expired: bool) -> None:
    record = case.found.record if case.found else None
    if record is not None and record.waits:
        if not _is_over(record.pause_until, case.ports.clock.now()):
            case.leave(f"{record.phase} by plan until {record.pause_until or 'somebody ends it'}")
            return
        _end(case, f"it was {record.phase} until {record.pause_until}, and nobody went on with it")
    elif case.lease is None or not case.lease.holder:
        _end(case, "nobody holds its lease")
    elif not expired:
        case.leave(
            f"its lease is held by {case.lease.holder}, who may be driving it; nobody asked whether it still does"
        )
        case.asks = case.lease.duration_seconds


def _watch(case: Case) -> None:
    clock = case.ports.clock
    try:
        lease = case.ports.lock.read()
    except GitlabMeshError as error:
        if clock.monotonic() - case.since > 2 * (case.lease.duration_seconds if case.lease else 0) + 60:
            case.fail(error)
        return
    if lease is not None and lease.holder and lease != case.lease:
        case.leave(f"{lease.holder} drives it and renews its lease")
    elif lease is None or not lease.holder:
        case.lease = lease
        _recheck(case)
    elif clock.monotonic() - case.since >= lease.duration_seconds:
        _end(case, f"{lease.holder} did not renew its lease for {lease.duration_seconds:.0f} s")


def _recheck(case: Case) -> None:
    """The holder gave the lease back while we watched: it ended its rollout, or left it to wait."""
    try:
        case.found = find_rollout(case.ports)
    except GitlabMeshError as error:
        case.fail(error)
        return
    if case.found is None:
        case.leave("its driver finished it meanwhile")
    else:
        _decide_now(case, expired=True)


def _end(case: Case, why: str) -> None:
    ports = case.ports
    try:
        if case.found is None:
            _free(case)
            case.word, case.why = "ended", f"no rollout was open, but {why}: the lease is free now"
            return
        # Read anew: what its driver wrote between our look and its end.
        found = find_rollout(ports)
        if found is None:
            case.leave("it is over already")
            return
        result = roll_back(ports, found, End(Outcome.ROLLED_BACK, why), job="recover", seen=case.lease)
    except ConflictError as error:
        case.leave(f"somebody else drives it now: {error.what}")
        return
    except GitlabMeshError as error:
        case.fail(error)
        return
    if result.error is not None:
        case.fail(result.error)
    else:
        case.word, case.why = "ended", f"{result.report.outcome}: {why}"


def _free(case: Case) -> None:
    lock = case.ports.lock
    lock.release(lock.acquire(case.ports.driver, over=case.lease))


def _is_over(until: str, now: datetime) -> bool:
    """Whether a pause is over; what is no time never ends by itself."""
    try:
        return datetime.fromisoformat(until) <= now
    except (ValueError, TypeError):
        return False
