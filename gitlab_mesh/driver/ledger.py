"""Lock and record of one run: what is written ahead, and whether we still may write at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gitlab_mesh.core.record import Record
from gitlab_mesh.errors import ConflictError, GitlabMeshError, TransientError
from gitlab_mesh.job import ServicePorts
from gitlab_mesh.ports import LeaseState

__all__ = ["Ledger"]


@dataclass
class Ledger:
    """The record as we wrote it last, its version, and our lease.

    Attributes:
        ports: Of the job.
        record: What the cluster holds (or will hold after the first write).
        version: For the next conditional write.
        lease: None before the lock and after the release.
        renewed: Monotonic time of the last renewal.
    """

    ports: ServicePorts
    record: Record
    version: str = ""
    lease: LeaseState | None = None
    renewed: float = 0.0

    @property
    def fence(self) -> str:
        """Text of the fence annotation: rollout and fencing number."""
        return f"{self.record.id}/{self.record.fence}"

    def acquire(self, *, over: LeaseState | None) -> None:
        """Take the lock; the fencing number exceeds the lease's and the record's before."""
        self.lease = self.ports.lock.acquire(self.ports.driver, over=over)
        self.renewed = self.ports.clock.monotonic()
        self.record = self.record.with_(fence=max(self.lease.fence, self.record.fence + 1), driver=self.ports.driver)

    def write(self, **changes: Any) -> None:
        """Write the record ahead of what it announces.

        Raises:
            ConflictError: Somebody else wrote it: they have taken over.
        """
        now = self.ports.clock.now().isoformat(timespec="seconds")
        self.record = self.record.with_(**changes, updated=now)
        self.version = self.ports.store.write(self.record, self.version)

    def taken_by(self) -> str:
        """Say who took the rollout over, by the record in the cluster; "" while it is as we wrote it."""
        record, version = self.ports.store.read()
        if version == self.version or record is None:
            return ""
        driver = record.driver
        who = f"pipeline {driver.pipeline or '?'}, job {driver.job or '?'} {driver.url}".rstrip()
        state = "ended it" if record.finished else "took it over"
        return f"rollout {self.record.id} is not ours any more: {who} {state}"

    def heartbeat(self) -> str:
        """Renew the lease in time; return why we may not write any more, or "".

        A renewal that fails for now is tried again until the lease's duration is over; then it may be another's.
        """
        if self.lease is None:
            return ""
        now = self.ports.clock.monotonic()
        if now - self.renewed < self.lease.duration_seconds / 3:
            return ""
        try:
            self.lease = self.ports.lock.renew(self.lease)
        except ConflictError as error:
            self.lease = None
            return str(error)
        except TransientError:
            return ""
        self.renewed = now
        return ""

    @property
    def lease_is_live(self) -> bool:
        """Whether nobody else can have taken over yet."""
        if self.lease is None:
            return False
        return self.ports.clock.monotonic() - self.renewed < self.lease.duration_seconds

    def release(self) -> None:
        """Give the lock back; a failure only makes the next driver wait for the lease's duration."""
        if self.lease is None:
            return
        lease, self.lease = self.lease, None
        try:
            self.ports.lock.release(lease)
        except GitlabMeshError as error:
            self.ports.console.line(f"the lease could not be given back: {error.what}", tone="warn")
