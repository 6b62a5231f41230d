"""The cluster: which one, for how long we may, and every right of a whole run (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.report.formatting import format_duration
from gitlab_mesh.driver.rights import describe, needed_rights, optional_rights
from gitlab_mesh.job import ServicePorts
from gitlab_mesh_jobs.doctor.model import Check, DoctorPorts, Level

__all__ = ["check_credential", "check_rights"]

TOPIC = "cluster"


def check_credential(ports: DoctorPorts) -> Iterator[Check]:
    """Say which cluster it is, and how long its credential lives."""
    name, seconds = ports.cluster_name(), ports.credential_seconds()
    if seconds is None:
        yield Check(TOPIC, "credential", Level.OK, name)
    elif seconds <= 0:
        yield Check(
            TOPIC, "credential", Level.FAIL, f"{name}: its token has expired",
            "make the kubeconfig in this job (id_tokens live as long as the job's timeout)", 21,
        )  # fmt: skip
    else:
        yield Check(
            TOPIC, "credential", Level.OK,
            f"{name}: its token lives {format_duration(seconds)} more; no release that could last longer will start",
        )  # fmt: skip


def check_rights(ports: ServicePorts) -> Iterator[Check]:
    """Ask for every right; the API server answers without any of them being used."""
    service = ports.service
    needed, fix = needed_rights(service), f"gitlab-mesh rbac render --service {service.name} | kubectl apply -f -"
    denied = dict.fromkeys(ports.access.denied(needed))
    subject = f"rights for {service.name}"
    for rule in denied:
        yield Check(TOPIC, subject, Level.FAIL, f"the token may not {describe(rule)} in {rule.namespace}", fix, 21)
    if not denied:
        yield Check(TOPIC, subject, Level.OK, f"all {len(needed)} that a release and its rollback need")
    for rule in ports.access.denied(optional_rights(service)):
        lacks = "releases leave no Events" if rule.verb == "create" else "a canary that does not start says less"
        said = f"the token may not {describe(rule)} in {rule.namespace}: {lacks}"
        yield Check(TOPIC, subject, Level.WARN, said, fix)
