"""``--dry-run``: every patch of the whole release and the plan in time; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from gitlab_mesh.core.judge.schedule import first_weight
from gitlab_mesh.core.mesh.foresight import foresee
from gitlab_mesh.core.mesh.route import ObjectPatch, RouteChange, RouteState
from gitlab_mesh.core.report.formatting import format_duration, format_percent
from gitlab_mesh.core.report.model import Outcome, Report, Section, TableSection, TextSection
from gitlab_mesh.core.report.renderers import render_change_counts
from gitlab_mesh.core.rollout import Plan
from gitlab_mesh.core.workload import needed_replicas, plan_canary, plan_promotion
from gitlab_mesh.driver.release import Release
from gitlab_mesh.job import JobResult, ServicePorts

__all__ = ["rehearse"]

_RATES = (5.0, 50.0, 500.0, 5000.0)


def rehearse(ports: ServicePorts, release: Release, route: RouteState | None, warnings: Sequence[str]) -> JobResult:
    """Say what a run would do; the API server checks what it can check with its own dry run.

    That is the preparation and the canary; each later patch tests what the one before has written, so it is worked
    out from that.

    The file ``changes.json`` holds the counts for the merge request's widget (``artifacts:reports:terraform``).
    """
    service, plan = release.service, release.plan
    sections: list[Section] = [TextSection("Warning", text) for text in warnings]
    creates, updates = 1, 0  # the one Deployment of a first release
    if route is not None and release.stable is not None:
        fence = f"{service.name}-dry-run/1"
        change = ports.router.plan_prepare(route, fence)
        ports.router.apply(change, dry_run=True)
        body = plan_canary(
            release.stable.deployment,
            release.template,
            name=service.canary_workload,
            service=service.name,
            label=route.label,
            value=route.label_values[1],
            replicas=needed_replicas(plan.stable_replicas, plan.first_share),
            rollout=fence,
        )
        ports.cluster.create(body, dry_run=True)
        sections.append(_timetable(release))
        created = (*change.create, body)
        sections += [_json(f"create {item['kind']} {item['metadata']['name']}", item) for item in created]
        creates, updates = len(created), len({(item.kind, item.namespace, item.name) for item in change.patches})
        sections += _patches("prepare", change.patches)
        sections += _later(ports, release, foresee(route, change), change, fence)
    else:
        sections.append(TextSection("First release", "There is no stable yet: deploy, wait until ready, smoke checks."))
    _show(ports, sections)
    report = Report(
        job="canary",
        service=service.name,
        namespace=service.namespace,
        outcome=Outcome.PLANNED,
        headline=f"{service.name}: {release.image} would be released in {plan.said}; nothing was written",
        facts={"image": release.image},
        sections=tuple(sections),
        dotenv={"MESH_SERVICE": service.name, "MESH_OUTCOME": Outcome.PLANNED.value, "MESH_PHASE": "preflight"},
    )
    counts = render_change_counts(create=creates, update=updates, delete=0)
    return JobResult(report, files={"changes.json": counts})


def _later(
    ports: ServicePorts, release: Release, route: RouteState, prepared: RouteChange, fence: str
) -> Iterator[Section]:
    """Everything after the preparation, in its order."""
    service, plan = release.service, release.plan
    for name, share in _shares(plan):
        change = ports.router.plan_weight(route, share, fence)
        yield from _patches(f"{name}, {format_percent(share)}", change.patches)
        route = foresee(route, change)
        if share == 1.0 and plan.promote == "image" and release.stable is not None:
            operations = plan_promotion(release.stable.deployment, release.template, label=service.subsets.label)
            patch = ObjectPatch("Deployment", service.namespace, service.stable_workload, operations)
            yield from _patches("promote", [patch])
    end = ports.router.plan_restore(route, prepared.originals, fence)
    yield TextSection("clean up", f"delete Deployment {service.canary_workload}")
    yield from _patches("put back", end.patches)
    for kind, _, name in end.delete:
        yield TextSection("put back", f"delete {kind} {name}")


def _shares(plan: Plan) -> Iterator[tuple[str, float]]:
    """Every weight of a release that goes well, with its name; those of a budget follow from what is seen."""
    for number, step in enumerate(plan.steps, start=1):
        yield f"step {number}", step.share
    if plan.watch_seconds > 0:
        yield "watch", plan.watch_share
    if plan.promote == "image":
        yield "promote", 1.0
    yield "weight 0", 0.0


def _timetable(release: Release) -> TableSection:
    plan, rows, at = release.plan, [], 0.0
    if plan.budget:
        ramp = plan.ramp
        for rate in _RATES:
            first = first_weight(rate, ramp.settings, ramp.schedule)
            pods = needed_replicas(plan.stable_replicas, first)
            rows.append((f"first, at {rate:g} requests/s", "≥ 0 s", format_percent(first), str(pods)))
        most = ramp.schedule.most
        rows.append(("last", "by the evidence", format_percent(most), str(needed_replicas(plan.stable_replicas, most))))
    for number, step in enumerate(plan.steps, start=1):
        pods = needed_replicas(plan.stable_replicas, step.share)
        waits = ", after a pause" if step.pause else ""
        rows.append((str(number), f"≥ {format_duration(at)}{waits}", format_percent(step.share), str(pods)))
        at += step.bake_seconds
    at = max(at, release.service.judge.bake_seconds if plan.enforce else 0.0)
    if plan.watch_seconds > 0:
        rows.append(("watch", f"≥ {format_duration(at)}", format_percent(plan.watch_share), str(plan.stable_replicas)))
        at += plan.watch_seconds
    share = format_percent(1.0) if plan.promote == "image" else "as before; then `job promote`"
    rows.append(("promote", f"≥ {format_duration(at)}", share, str(plan.stable_replicas)))
    return TableSection("Plan in time", ("Step", "After", "Canary's share", "Pods"), tuple(rows))


def _patches(when: str, patches: Sequence[ObjectPatch]) -> list[Section]:
    return [_json(f"{when}: patch {item.kind} {item.namespace}/{item.name}", item.operations) for item in patches]


def _json(title: str, value: object) -> TextSection:
    return TextSection(title, json.dumps(value, indent=2, default=list), preformatted=True, folded=True)


def _show(ports: ServicePorts, sections: Sequence[Section]) -> None:
    console = ports.console
    for section in sections:
        if isinstance(section, TableSection):
            console.table(section.columns, section.rows)
        elif isinstance(section, TextSection) and section.preformatted:
            console.line(section.title)
            for line in section.text.splitlines():
                console.line(line)
        elif isinstance(section, TextSection):
            console.line(f"{section.title}: {section.text}")
