"""What a canary job does about a rollout that is open already: go on with it, wait, take it back, or refuse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gitlab_mesh.core.record import Driver, Record, is_newer
from gitlab_mesh.driver.finding import Found, find_rollout
from gitlab_mesh.errors import ConflictError, PolicyRefusedError
from gitlab_mesh.job import ServicePorts

__all__ = ["Meeting", "Way", "await_end", "meet"]

POLL_SECONDS = 5.0


class Way(StrEnum):
    """What to do about the open rollout."""

    RESUME = "resume"
    FINISH = "finish"  # end it, whoever drives, then begin anew
    WAIT = "wait"  # until it is over, or nobody drives it any more; then FINISH or begin
    LEAVE = "leave"  # it waits by plan; nothing is to do


@dataclass(frozen=True, slots=True)
class Meeting:
    """The way, and its reason for the log."""

    way: Way
    why: str


def meet(record: Record, driver: Driver, *, release: str, on_newer: str, continues: bool) -> Meeting:
    """Decide about an open rollout.

    Args:
        record: Of the open rollout.
        driver: This job.
        release: Hash of what this job releases.
        on_newer: ``rollout.on_newer``.
        continues: ``--continue`` was given.

    Raises:
        PolicyRefusedError: It belongs to a newer pipeline.
        ConflictError: Policy says to refuse.
    """
    who = record.driver.who
    same_pipeline = bool(driver.pipeline) and record.release_pipeline == driver.pipeline
    if is_newer(record.release_pipeline, driver.pipeline):
        raise PolicyRefusedError(
            f"rollout {record.id} belongs to pipeline {record.release_pipeline}; this one is older ({driver.pipeline})",
            hint="run the newest pipeline; to take traffic back use gitlab-mesh job rollback",
        )
    if continues and record.phase in ("paused", "held") and record.release == release:
        return Meeting(Way.RESUME, f"{record.phase} rollout {record.id} goes on")
    if same_pipeline and record.release == release:
        if record.phase in ("paused", "awaiting-promotion"):
            return Meeting(Way.LEAVE, f"rollout {record.id} is {record.phase} by plan: {record.reason}")
        if record.ending == "promoted":
            return Meeting(Way.FINISH, f"rollout {record.id} was promoted already; the rest is tidied up")
        if record.phase in ("roll-back", "clean-up"):
            return Meeting(Way.WAIT, f"rollout {record.id} is being taken back")
        return Meeting(Way.RESUME, f"rollout {record.id} of this pipeline was left in phase {record.phase}")
    if on_newer == "supersede":
        return Meeting(Way.FINISH, f"rollout {record.id} ({who}) is superseded by this pipeline")
    if on_newer == "wait" and not record.waits:
        return Meeting(Way.WAIT, f"rollout {record.id} is driven by {who}; waiting for its end")
    raise _refusal(record, who)


def _refusal(record: Record, who: str) -> ConflictError:
    service = f"--service {record.service}"
    wait = f"gitlab-mesh job recover {service} --expired if its job died; gitlab-mesh job rollback {service} ends it"
    if record.waits:
        wait = f"it goes on with gitlab-mesh job canary --continue; gitlab-mesh job rollback {service} ends it"
    name = f"{record.namespace}/{record.service}"
    return ConflictError(
        f"rollout {record.id} of {name} is not finished: phase {record.phase}, canary weight {record.weight:.2%}",
        why=f"driven by {who}",
        hint=wait,
    )


def await_end(ports: ServicePorts, record: Record, *, seconds: float) -> Found | None:
    """Wait until the rollout is over (None), or until nobody drives it any more (then it is returned).

    Whether somebody drives it is seen on our own monotonic clock: the lease must not change for its whole duration.

    Raises:
        ConflictError: It is neither after ``seconds``, or a signal came.
    """
    clock = ports.clock
    until = clock.monotonic() + seconds
    seen, since = ports.lock.read(), clock.monotonic()
    while clock.monotonic() < until and not ports.signal():
        found = find_rollout(ports)
        if found is None:
            return None
        record = found.record
        lease = ports.lock.read()
        if lease != seen:
            seen, since = lease, clock.monotonic()
        still = clock.monotonic() - since
        if not record.waits and (lease is None or not lease.holder or still >= lease.duration_seconds):
            return found
        ports.console.progress(f"rollout {record.id} is in phase {record.phase}; waiting")
        clock.sleep(min(POLL_SECONDS, ports.service.rollout.lease / 4))
    who = record.driver.who
    raise _refusal(record, who)
