"""Finding a rollout that nobody has finished, from the cluster alone."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.record import Record
from gitlab_mesh.core.workload import ROLLOUT_ID
from gitlab_mesh.driver.snapshot import take_snapshot
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.errors import ObjectMissingError, UsageError
from gitlab_mesh.job import ServicePorts

__all__ = ["Found", "find_rollout", "free_lock"]


@dataclass(frozen=True, slots=True)
class Found:
    """An unfinished rollout as the cluster tells it."""

    record: Record
    version: str


def find_rollout(ports: ServicePorts) -> Found | None:
    """Return the service's unfinished rollout, None if there is none.

    A route that carries our fence although no record is open has lost its record: what can be known is made of the
    fence itself, so that traffic can be taken back.
    """
    record, version = ports.store.read()
    if record is not None and not record.finished:
        return Found(record, version)
    orphan = _find_orphan(ports)
    if orphan is None:
        return None
    if ports.store.read()[1] != version:  # a driver began while we looked: its fence is no orphan's
        return find_rollout(ports)
    kept = {} if record is None else {"last_good": record.last_good, "history": record.history}
    return Found(orphan.with_(**kept), version)


def _find_orphan(ports: ServicePorts) -> Record | None:
    try:
        route = ports.router.read()
    except (ObjectMissingError, UsageError):  # nothing that could carry a fence, or nothing that is configured
        return None
    rollout, _, number = (route.fence or "").rpartition("/")
    if not rollout or not number.isdecimal():
        return None
    service = ports.service
    key = f"Deployment/{service.namespace}/{service.canary_workload}"
    canary = read_workload(ports.cluster, service.namespace, service.canary_workload)
    ours = canary is not None and (canary.deployment["metadata"].get("annotations") or {}).get(ROLLOUT_ID) == rollout
    ports.console.line(f"the route carries the fence {route.fence}, but its record is gone", tone="warn")
    return Record(
        id=rollout,
        service=service.name,
        namespace=service.namespace,
        fence=int(number),
        driver=ports.driver,
        phase="step",
        weight=route.share or 0.0,
        originals=route.unrecorded,
        created=(key,) if ours else (),
        settings=take_snapshot(service, route.names),
    )


def free_lock(ports: ServicePorts) -> str:
    """Free a lease that is held although no rollout is recorded (its driver died in between); say whose it was."""
    lease = ports.lock.read()
    if lease is None or not lease.holder:
        return ""
    ports.lock.release(ports.lock.acquire(ports.driver, over=lease))
    return lease.holder
