"""``gitlab-mesh job load-check``: send a load, hold what came back against thresholds, say it in the merge request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh.config.scalars import parse_scalar
from gitlab_mesh.config.shape import fields_of
from gitlab_mesh.core.judge.model import Verdict
from gitlab_mesh.core.load.decision import Decision, decide_load
from gitlab_mesh.core.load.documents import render_files, summarise
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.core.load.scenario import Scenario, parse_shard, plan_scenario
from gitlab_mesh.core.load.sections import describe_progress, render_sections, wrap_verdicts
from gitlab_mesh.core.load.settings import LoadConfig
from gitlab_mesh.core.load.thresholds import judge_threshold
from gitlab_mesh.core.report.formatting import format_duration, format_value
from gitlab_mesh.core.report.model import Link, LinksSection, Outcome, Report, Section, TableSection
from gitlab_mesh.core.report.renderers import note_key, render_note, render_summary_table
from gitlab_mesh.errors import UsageError
from gitlab_mesh.job import Job, JobOption, JobResult, ServicePorts
from gitlab_mesh_jobs.load_check.baseline import compare_with_baseline, read_baseline
from gitlab_mesh_jobs.load_check.mesh_side import MeshSide

__all__ = ["JOB"]


def run(ports: ServicePorts, options: Mapping[str, Any]) -> JobResult:
    """Send the load and judge it.

    Raises:
        UsageError: The plan is not possible, or the target is not allowed.
        TransientError: The target's host has no address.
    """
    config = _with_options(ports.service.load, options)
    shard = parse_shard(options.get("shard") or "")
    scenario = plan_scenario(config, ports.files.read, shard=shard)
    before = None
    if config.baseline.file and shard[1] == 1:  # the joined shards are compared, not each
        before = read_baseline(ports, config.baseline.file, scenario.plan)
    mesh = MeshSide(ports, config, scenario.canary) if scenario.canary else None
    started, clock = ports.clock.now(), ports.clock.monotonic()
    if mesh:
        mesh.begin()
    _announce(ports, scenario)
    with ports.console.section("load", f"Load on {scenario.plan.url}"):
        result = ports.load.run(
            scenario.plan,
            progress=lambda so_far: ports.console.progress(describe_progress(so_far)),
            interrupted=ports.signal,
        )
    interrupted = ports.signal() if result.interrupted else 0
    sections, verdicts = _judge(config, scenario, result, before)
    if mesh and not interrupted:
        section = mesh.end()
        sections.append(section)
        verdicts += section.judgement.verdicts
    decision = decide_load(result, verdicts, signal_number=interrupted)
    report = _report(ports, scenario, result, decision, (*sections, *render_sections(result)))
    report = replace(
        report,
        started=started.isoformat(timespec="seconds"),
        duration_seconds=ports.clock.monotonic() - clock,
    )
    _tell(ports, report)
    return JobResult(report, decision.error, _stdout(options, result, verdicts, decision), render_files(result))


def _with_options(config: LoadConfig, options: Mapping[str, Any]) -> LoadConfig:
    """Put the options over what mesh.yaml says; a rate or a duration replaces its stages."""
    changes: dict[str, Any] = {}
    for name in ("target", "rate", "duration", "arrivals", "connections", "timeout"):
        text = options.get(name)
        if text is not None:
            changes[name] = _number(text, name) if name not in ("target", "arrivals") else text
    if options.get("load_max_rps"):
        limit = _number(options["load_max_rps"], "max_rps")
        changes["max_rps"] = min(limit, config.max_rps or limit)
    if "rate" in changes or "duration" in changes:
        changes["stages"] = ()
    if options.get("threshold"):
        changes["thresholds"] = tuple(text.strip() for text in options["threshold"].split(",") if text.strip())
    if options.get("baseline"):
        changes["baseline"] = replace(config.baseline, file=options["baseline"])
    return replace(config, **changes)


def _number(text: str, name: str) -> Any:
    """Read an option as mesh.yaml would: ``40s`` for a duration, whole numbers for counts."""
    shape = fields_of(LoadConfig)[name]
    try:
        raw: Any = float(text)
    except ValueError:
        raw = text
    try:
        return parse_scalar(shape, raw)
    except ValueError as error:
        raise UsageError(f"--{name} {text}: {error}") from None


def _announce(ports: ServicePorts, scenario: Scenario) -> None:
    plan, profile = scenario.plan, scenario.plan.profile
    rate = format_value(profile.mean_rate, "per_second")
    top = f", at most {format_value(profile.top_rate, 'per_second')}" if len(plan.stages) > 1 else ""
    ports.console.line(
        f"{plan.url}: {rate}{top} for {format_duration(profile.seconds)}, {plan.arrivals} arrivals, "
        f"at most {plan.connections} connections"
    )


def _judge(
    config: LoadConfig, scenario: Scenario, result: LoadResult, before: LoadResult | None
) -> tuple[list[Section], list[Verdict]]:
    verdicts = [judge_threshold(one, result) for one in scenario.thresholds]
    sections: list[Section] = [wrap_verdicts("Thresholds", verdicts, ("Limit", "Measured"))]
    if before is not None:
        section = compare_with_baseline(before, config.baseline, result)
        sections.append(section)
        verdicts += section.judgement.verdicts
    return sections, verdicts


def _report(
    ports: ServicePorts, scenario: Scenario, result: LoadResult, decision: Decision, sections: tuple[Section, ...]
) -> Report:
    service, plan = ports.service, scenario.plan
    links = [Link("Job log", ports.driver.url)] if ports.driver.url else []
    links += [Link(label, url) for label, url in service.links.items()]
    facts = {
        "target": result.target,
        "planned": f"{format_value(result.planned_rate, 'per_second')} for {format_duration(plan.profile.seconds)}",
        "achieved": format_value(result.achieved_rate, "per_second"),
        "arrivals": plan.arrivals,
        "the generator's own delay, p99": format_value(result.lag.quantile(0.99), "seconds"),
        "the generator's processor": format_value(result.cpu_ratio, "ratio"),
    }
    return Report(
        job=JOB.name,
        service=service.name,
        namespace=service.namespace,
        outcome=decision.outcome,
        headline=decision.headline,
        reason=decision.reason,
        next_step=decision.next_step,
        exit_code=decision.error.exit_code if decision.error else 0,
        facts=facts,
        sections=(*sections, LinksSection(tuple(links))) if links else sections,
        dotenv={"MESH_LOAD_OUTCOME": decision.outcome.value},
    )


def _tell(ports: ServicePorts, report: Report) -> None:
    console = ports.console
    for section in report.sections:
        if isinstance(section, TableSection) and not section.folded:
            console.line(section.title)
            console.table(section.columns, section.rows)
    if report.outcome is Outcome.PASSED:  # otherwise the end of the log has it
        table = render_summary_table(report)
        console.table(table.columns, table.rows)
    problem = ports.notes.post(note_key(JOB.name, report.service), render_note(report)) if ports.driver.job else ""
    if problem:
        console.line(problem, tone="warn")


def _stdout(options: Mapping[str, Any], result: LoadResult, verdicts: list[Verdict], decision: Decision) -> str:
    if options.get("format") != "json":
        return ""
    code = decision.error.exit_code if decision.error else 0
    return json.dumps(summarise(result, verdicts, outcome=decision.outcome.value, exit_code=code), indent=2) + "\n"


JOB = Job(
    name="load-check",
    summary="Send a load, measure latency without coordinated omission, hold it against thresholds and a baseline.",
    run=run,
    note=True,
    scope="target",
    package="gitlab_mesh_jobs.load_check",
    options=(
        JobOption("target", "URL to load; default: load.target in mesh.yaml."),
        JobOption("rate", "Requests per second."),
        JobOption("duration", "How long to send, such as 40s or 5m."),
        JobOption("arrivals", "When requests leave.", kind="choice", choices=("constant", "poisson")),
        JobOption("connections", "Most connections at once."),
        JobOption("timeout", "Of one request, such as 5s."),
        JobOption("threshold", "Such as 'p99 < 300ms, errors < 1%'; replaces those of mesh.yaml."),
        JobOption("baseline", "load.json of a former run to compare with."),
        JobOption("shard", "This runner's part of the load, such as 2/4 (parallel: 4)."),
        JobOption("load-max-rps", "Refuse any plan with a higher rate."),
        JobOption("format", "What standard output gets.", kind="choice", choices=("text", "json"), default="text"),
    ),
)
