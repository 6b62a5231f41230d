"""``rollback --to-previous``: a promotion that turned out badly is taken back in one deployment, without a canary."""

from __future__ import annotations

from gitlab_mesh.core.record import Record
from gitlab_mesh.core.report.model import Outcome, Report
from gitlab_mesh.core.rollout import End
from gitlab_mesh.core.workload import SideState, template_hash
from gitlab_mesh.driver.closing import with_history
from gitlab_mesh.driver.events import EventLog
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.driver.workloads import NEVER, Written, patch_template, read_workload
from gitlab_mesh.errors import ConflictError, ObjectMissingError, PolicyRefusedError, TransientError, UnsafeError
from gitlab_mesh.job import JobResult, ServicePorts

__all__ = ["to_previous"]

POLL_SECONDS = 1.0


def to_previous(ports: ServicePorts, reason: str) -> JobResult:
    """Give stable its pod template of before the last promotion, and refuse the bad release from now on.

    Raises:
        PolicyRefusedError: There is no promotion to take back.
        ConflictError: A rollout is open, or stable does not run what was promoted.
        UnsafeError: Stable did not become ready with the template of before.
    """
    last, version = ports.store.read()
    record, stable = _check(ports, last)
    ledger = Ledger(ports, record, version)
    ledger.acquire(over=ports.lock.read())
    try:
        why = reason or f"the release before is back on request by {ports.driver.holder}"
        _mark(ledger, record, why, ports)
        name, service = stable.identity.workload, ports.service
        current = stable.deployment["spec"]["template"]
        since = NEVER
        if template_hash(current) != template_hash(record.previous_template):
            since = patch_template(
                ports.cluster,
                service.namespace,
                name,
                [
                    {"op": "test", "path": "/spec/template", "value": current},
                    {"op": "replace", "path": "/spec/template", "value": dict(record.previous_template)},
                ],
            )
        image = str(record.previous_template["spec"]["containers"][0].get("image", ""))
        ports.console.line(f"Deployment {service.namespace}/{name}: {image}", tone="warn")
        ready = _await_ready(ports, ledger, name, since)
        EventLog(ports, record.id).write("ReleaseReturned", f"{image}: {why}", warning=True)
        # Only now: until stable is ready a second call must be able to find the template again.
        ledger.write(last_good=ready.identity, previous_template={})
    finally:
        ledger.release()
    return JobResult(_report(ports, record, image, why))


def _check(ports: ServicePorts, record: Record | None) -> tuple[Record, SideState]:
    service = ports.service
    if record is not None and not record.finished:
        raise ConflictError(
            f"rollout {record.id} is open: phase {record.phase}",
            hint=f"gitlab-mesh job rollback --service {service.name} takes its traffic back",
        )
    if record is None or not record.previous_template or record.last_good is None:
        raise PolicyRefusedError(
            f"the record of {service.namespace}/{service.name} knows no release before the last one",
            why="only a promotion by gitlab-mesh (promote: image) keeps the template of before, for one step back",
            hint="release the version that you want: gitlab-mesh job canary --image …",
        )
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    if stable is None:
        raise ObjectMissingError(f"Deployment {service.namespace}/{service.stable_workload} does not exist")
    promoted, previous = record.last_good.image, record.previous_template
    back_already = template_hash(stable.deployment["spec"]["template"]) == template_hash(previous)
    if stable.identity.image != promoted and not back_already:
        raise ConflictError(
            f"stable runs {stable.identity.image}, but {promoted} was promoted last",
            why="somebody deployed something else since",
            hint="release the version that you want: gitlab-mesh job canary --image …",
        )
    return record, stable


def _mark(ledger: Ledger, record: Record, why: str, ports: ServicePorts) -> None:
    """Write down first that the promoted release is bad: it must not come again by a retried pipeline."""
    bad = record.last_good.digests if record.last_good else ()
    end = End(Outcome.ROLLED_BACK, why)
    ledger.write(
        outcome=Outcome.REJECTED.value,
        reason=why,
        canary=record.last_good,
        rejected_digests=tuple(dict.fromkeys((*record.rejected_digests, *bad)))[-50:],
        history=with_history(record, end, ports.clock.now()),
    )


def _await_ready(ports: ServicePorts, ledger: Ledger, name: str, since: Written) -> SideState:
    service, clock = ports.service, ports.clock
    until = clock.monotonic() + service.rollout.ready_deadline
    while True:
        try:
            side = read_workload(ports.cluster, service.namespace, name, since=since)
        except TransientError:
            side = None  # asked again until the deadline
        if side is not None and side.is_ready:
            return side
        if clock.monotonic() > until:
            state = f"{side.ready} of {side.desired} pods are ready" if side else "it is gone"
            raise UnsafeError(
                f"stable did not become ready with the release before: {state}",
                hint=f"kubectl -n {service.namespace} rollout status deployment/{name}",
            )
        ports.console.progress(f"{side.ready} of {side.desired} pods are ready" if side else "no Deployment")
        ledger.wait(POLL_SECONDS)


def _report(ports: ServicePorts, record: Record, image: str, why: str) -> Report:
    service = ports.service
    bad = record.last_good.image if record.last_good else ""
    return Report(
        job="rollback",
        service=service.name,
        namespace=service.namespace,
        outcome=Outcome.ROLLED_BACK,
        headline=f"{service.name}: {image} is back; {bad} is refused from now on",
        reason=why,
        facts={"image": image, "taken back": bad},
        dotenv={
            "MESH_SERVICE": service.name,
            "MESH_OUTCOME": Outcome.ROLLED_BACK.value,
            "MESH_PHASE": "done",
            "MESH_WEIGHT": "0",
            "MESH_IMAGE": image,
        },
    )
