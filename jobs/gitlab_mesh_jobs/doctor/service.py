"""One service: route, DestinationRule, Deployment, metrics of stable, and whether a release could start just now."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.metrics.counts import Side, Snapshot
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.workload import SideState, pick_container
from gitlab_mesh.driver.preflight import preflight
from gitlab_mesh.driver.release import plan_release, targets_of
from gitlab_mesh.driver.workloads import read_workload
from gitlab_mesh.job import ServicePorts
from gitlab_mesh_jobs.doctor.model import Check, Level, attempt

__all__ = ["check_release", "check_service"]

WATCH_SECONDS = 3.0
"""Time between two readings of the metrics: long enough to see requests of a service that has some."""


def check_route(ports: ServicePorts) -> Iterator[Check]:
    """Read the live route as a release would."""
    state = ports.router.read()
    share = "no canary yet" if state.share is None else f"canary's share {format_percent(state.share)}"
    found = f"{', '.join(state.objects)}; {share}; bound to {', '.join(state.gateways)}"
    if state.pending:
        yield Check("route", ports.service.name, Level.WARN, f"{found}; {state.pending}", "wait, or look at its status")
    else:
        yield Check("route", ports.service.name, Level.OK, found)


def check_stable(ports: ServicePorts) -> Iterator[Check]:
    """Check the Deployment that a canary is compared with."""
    service = ports.service
    subject = f"Deployment {service.namespace}/{service.stable_workload}"
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    if stable is None:
        yield Check(
            "route", subject, Level.WARN, "it does not exist: the first release deploys without a canary",
            "if it has another name: workload: {name: …} in mesh.yaml; else release with --manifest FILE",
        )  # fmt: skip
        return
    said = f"{stable.ready} of {stable.desired} pods are ready{f'; {stable.reason}' if stable.reason else ''}"
    if not stable.is_ready or not stable.desired or stable.reason:
        yield Check("route", subject, Level.FAIL, said, f"kubectl -n {service.namespace} describe pods")
    else:
        yield Check("route", subject, Level.OK, said)


def check_metrics(ports: ServicePorts) -> Iterator[Check]:
    """Read stable's counts twice: the source answers, and users' requests are in it."""
    service = ports.service
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    if stable is None:  # a first release compares nothing
        return
    targets = targets_of(service, ports.router.read(), stable, None)
    ports.metrics.check(targets)
    first = ports.metrics.read(targets)
    ports.clock.sleep(WATCH_SECONDS)
    second = ports.metrics.read(targets)
    subject = f"{service.metrics.source} for {service.name}"
    before, after = _requests(first), _requests(second)
    if before is None or after is None:
        problems = "; ".join((*first.problems, *second.problems)[:3]) or "no sample of stable"
        fix = "metrics: in mesh.yaml (source, reporter, gateway); docs/mesh-yaml.md says what each reads"
        yield Check("metrics", subject, Level.FAIL, f"it has no data of stable: {problems}", fix)
    elif after <= before and after and _newest(first) == _newest(second):
        found = f"{after} requests of stable so far; no newer sample within {WATCH_SECONDS:g} s"
        yield Check("metrics", subject, Level.OK, found)
    elif after <= before:
        yield Check(
            "metrics", subject, Level.WARN, f"no request in {WATCH_SECONDS:g} s ({after} in all)",
            "a release without traffic ends with code 12; send some, for example with gitlab-mesh job load-check",
        )  # fmt: skip
    else:
        rate = (after - before) / WATCH_SECONDS
        yield Check("metrics", subject, Level.OK, f"stable serves about {rate:.3g} requests a second")
    for problem in second.problems if after is not None else ():
        yield Check("metrics", subject, Level.WARN, problem)


def _requests(snapshot: Snapshot) -> int | None:
    """Return stable's requests so far, None without a sample."""
    samples = [item for item in snapshot.samples if item.side is Side.STABLE]
    return sum(item.counts.requests for item in samples) if samples else None


def _newest(snapshot: Snapshot) -> float:
    """Return the time of the newest sample: a source that scrapes now and then may answer the same twice."""
    return max((item.time_seconds for item in snapshot.samples), default=0.0)


def check_release(ports: ServicePorts) -> Iterator[Check]:
    """Go through a release of what runs already up to the first write, which the API server only checks (dry run)."""
    service, subject = ports.service, f"a release of {ports.service.name}"
    stable = read_workload(ports.cluster, service.namespace, service.stable_workload)
    if stable is None:
        return
    release = plan_release(service, stable, image=_image(ports, stable), manifest=None, again=True)
    route, warnings = preflight(ports, release)
    for text in warnings:
        yield Check("route", subject, Level.WARN, text)
    if route is not None:
        ports.router.apply(ports.router.plan_prepare(route, f"{service.name}-doctor/1"), dry_run=True)
    yield Check("route", subject, Level.OK, "could start now; the API server accepts its patches (dry run)")


def _image(ports: ServicePorts, stable: SideState) -> str:
    service, template = ports.service, stable.deployment["spec"]["template"]
    name = pick_container(template, service.workload.container, (service.name, service.stable_workload))
    images = {item["name"]: str(item["image"]) for item in template["spec"]["containers"]}
    return images[name]


def check_service(ports: ServicePorts) -> tuple[Check, ...]:
    """Run all of these; what would fail for a reason that was already said is left out."""
    parts = (
        ("route", ports.service.name, check_route),
        ("route", f"Deployment {ports.service.stable_workload}", check_stable),
        ("metrics", ports.service.metrics.source, check_metrics),
    )
    checks: tuple[Check, ...] = ()
    for topic, subject, check in parts:
        checks += attempt(topic, subject, lambda check=check: check(ports))  # type: ignore[misc]
    return checks
