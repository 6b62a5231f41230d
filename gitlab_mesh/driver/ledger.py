"""Lock and record of one run: what is written ahead, and whether we still may write at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gitlab_mesh.core.record import Record
from gitlab_mesh.errors import ConflictError, GitlabMeshError
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
        asked = self.ports.clock.monotonic()  # the lease began at the latest when it was answered, at the earliest here
        self.lease = self.ports.lock.acquire(self.ports.driver, over=over)
        self.renewed = asked
        self.record = self.record.with_(fence=max(self.lease.fence, self.record.fence + 1), driver=self.ports.driver)

    def write(self, **changes: Any) -> None:
        """Write the record ahead of what it announces.

        Raises:
            ConflictError: Somebody else wrote it: they have taken over.
        """
        now = self.ports.clock.now().isoformat(timespec="seconds")
        self.record = self.record.with_(**changes, updated=now)
        try:
            self.version = self.ports.store.write(self.record, self.version)
        except ConflictError:
            # A write of ours whose answer was lost, or a record that somebody deleted: neither is a takeover.
            found, version = self.ports.store.read()
            if found is not None and not self._is_ours(found):
                raise
            self.version = self.ports.store.write(self.record, version)

    def _is_ours(self, found: Record) -> bool:
        ours = self.record
        return (found.id, found.fence, found.driver) == (ours.id, ours.fence, ours.driver)

    def taken_by(self) -> str:
        """Say who took the rollout over, by the record in the cluster; "" while it is ours."""
        record, version = self.ports.store.read()
        if version == self.version or record is None or self._is_ours(record):
            return ""
        state = "ended it" if record.finished else "took it over"
        return f"rollout {self.record.id} is not ours any more: {record.driver.who} {state}"

    def check_ours(self) -> None:
        """Raise ConflictError if somebody took the rollout over."""
        taken = self.taken_by()
        if taken:
            raise ConflictError(taken)

    def wait(self, seconds: float) -> None:
        """Wait, renewing the lease meanwhile; a signal ends the wait early."""
        clock = self.ports.clock
        until, before = clock.monotonic() + seconds, self.ports.signal()
        while (left := until - clock.monotonic()) > 0 and self.ports.signal() == before:
            clock.sleep(left if self.lease is None else min(left, self.lease.duration_seconds / 4))
            if clock.monotonic() < until and self.heartbeat():
                return

    def require_live(self) -> None:
        """Make sure that the lease is ours right now (S1: the weight never rises without).

        Raises:
            ConflictError: It is another's, or was never taken.
            TransientError: It could not be renewed.
        """
        if self.lease is None:
            raise ConflictError("the weight must not rise: the lease is not ours", hint=self._hint)
        if self.ports.clock.monotonic() - self.renewed < self.lease.duration_seconds / 3:
            return
        asked = self.ports.clock.monotonic()
        self.lease = self.ports.lock.renew(self.lease)
        self.renewed = asked

    @property
    def _hint(self) -> str:
        return f"gitlab-mesh job status --service {self.record.service} says who drives"

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
            return self._after_lost_renewal(error, now)
        except GitlabMeshError:  # also a token that expired: whether we may still write, the next write shows
            return ""
        self.renewed = now
        return ""

    def _after_lost_renewal(self, error: ConflictError, now: float) -> str:
        """Take a Lease that somebody deleted or emptied anew; one that another holds is lost."""
        try:
            found = self.ports.lock.read()
            # The same identity with a higher fence is our successor: ``after_script`` runs beside a job that lives on.
            ours = self.lease.fence if self.lease is not None else 0
            if found is not None and found.holder and (found.holder != self.ports.driver.holder or found.fence > ours):
                self.lease = None
                return str(error)
            taken = self.taken_by()
            if taken:
                self.lease = None
                return taken
            self.lease = self.ports.lock.acquire(self.ports.driver, over=found)
        except ConflictError as other:
            self.lease = None
            return str(other)
        except GitlabMeshError:
            return ""
        self.renewed = now
        return ""

    @property
    def lease_is_live(self) -> bool:
        """Whether nobody else can have taken over yet."""
        if self.lease is None:
            return False
        return self.ports.clock.monotonic() - self.renewed < self.lease.duration_seconds

    def abandon(self) -> None:
        """Leave nothing behind of a lock that was taken, but never used: no open record, no held lease."""
        if self.lease is None:
            return
        try:
            found, _ = self.ports.store.read()
            if found is not None and self._is_ours(found):
                self.write(phase="done", outcome="failed", reason="it ended before anything was touched")
        except GitlabMeshError as error:
            self.ports.console.line(f"the record could not be closed: {error.what}", tone="warn")
        self.release()

    def release(self) -> None:
        """Give the lock back; a failure only makes the next driver wait for the lease's duration."""
        if self.lease is None:
            return
        lease, self.lease = self.lease, None
        try:
            self.ports.lock.release(lease)
        except GitlabMeshError as error:
            self.ports.console.line(f"the lease could not be given back: {error.what}", tone="warn")
