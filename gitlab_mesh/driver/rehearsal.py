"""``--dry-run``: the exact patches and the plan in time; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gitlab_mesh.core.mesh.route import RouteState
from gitlab_mesh.core.report.formatting import format_duration, format_percent
from gitlab_mesh.core.report.model import Outcome, Report, Section, TableSection, TextSection
from gitlab_mesh.core.report.renderers import render_change_counts
from gitlab_mesh.core.workload import needed_replicas, plan_canary
from gitlab_mesh.driver.release import Release
from gitlab_mesh.job import JobResult, ServicePorts

__all__ = ["rehearse"]


def rehearse(ports: ServicePorts, release: Release, route: RouteState | None, warnings: Sequence[str]) -> JobResult:
    """Say what a run would do; the API server checks every patch with its own dry run.

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
            replicas=needed_replicas(plan.stable_replicas, plan.steps[0].share),
            rollout=fence,
        )
        ports.cluster.create(body, dry_run=True)
        sections.append(_timetable(release))
        created = (*change.create, body)
        sections += [_json(f"create {item['kind']} {item['metadata']['name']}", item) for item in created]
        patches = change.patches
        creates, updates = len(created), len({(item.kind, item.namespace, item.name) for item in patches})
        sections += [_json(f"patch {item.kind} {item.namespace}/{item.name}", item.operations) for item in patches]
    else:
        sections.append(TextSection("First release", "There is no stable yet: deploy, wait until ready, smoke checks."))
    for section in sections:
        if isinstance(section, TableSection):
            ports.console.table(section.columns, section.rows)
        elif isinstance(section, TextSection):
            ports.console.line(f"{section.title}: {section.text}" if not section.preformatted else section.title)
            if section.preformatted:
                for line in section.text.splitlines():
                    ports.console.line(line)
    report = Report(
        job="canary",
        service=service.name,
        namespace=service.namespace,
        outcome=Outcome.PLANNED,
        headline=f"{service.name}: {release.image} would be released in {len(plan.steps)} steps; nothing was written",
        facts={"image": release.image},
        sections=tuple(sections),
        dotenv={"MESH_SERVICE": service.name, "MESH_OUTCOME": Outcome.PLANNED.value, "MESH_PHASE": "preflight"},
    )
    counts = render_change_counts(create=creates, update=updates, delete=0)
    return JobResult(report, files={"changes.json": counts})


def _timetable(release: Release) -> TableSection:
    rows, at = [], 0.0
    for number, step in enumerate(release.plan.steps, start=1):
        pods = needed_replicas(release.plan.stable_replicas, step.share)
        rows.append((str(number), f"≥ {format_duration(at)}", format_percent(step.share), str(pods)))
        at += step.bake_seconds
    at = max(at, release.service.judge.bake_seconds)
    rows.append(("promote", f"≥ {format_duration(at)}", format_percent(1.0), str(release.plan.stable_replicas)))
    return TableSection("Plan in time", ("Step", "After", "Canary's share", "Pods"), tuple(rows))


def _json(title: str, value: object) -> TextSection:
    return TextSection(title, json.dumps(value, indent=2, default=list), preformatted=True, folded=True)
