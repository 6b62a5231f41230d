"""``gitlab-mesh load``: what load-check wrote, joined and compared afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gitlab_mesh.core.judge.model import Verdict
    from gitlab_mesh.core.load.decision import Decision
    from gitlab_mesh.core.load.result import LoadResult
    from gitlab_mesh.core.report.model import Section

__all__ = ["load"]

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def load() -> None:
    """Join and compare results of load-check (load.json)."""


@load.command()
@click.argument("files", nargs=-1, required=True, type=_EXISTING)
@click.option("--output", type=click.Path(path_type=Path), default=Path("mesh-out"), show_default=True,
              help="Directory for load.json, report.html, GitLab's reports.")  # fmt: skip
@click.option("--threshold", default="", help="Such as 'p99 < 300ms, errors < 1%'; held against all shards together.")
@click.option("--baseline", type=_EXISTING, help="load.json of a former run to compare with.")
@click.option("--tolerance", default=0.10, show_default=True, help="This much slower is not held against the run.")
@click.option("--margin", default=0.20, show_default=True, help="The run must be shown to be less slow than this.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def merge(
    files: tuple[Path, ...],
    output: Path,
    threshold: str,
    baseline: Path | None,
    tolerance: float,
    margin: float,
    form: str,
) -> None:
    """Join the shards of one load (`parallel: N`) exactly, as if one generator had sent them all.

    Exit codes as of load-check: 14 a threshold was missed, 11 the generator was the limit.
    """
    import json

    from gitlab_mesh.core.load.compare import compare_results
    from gitlab_mesh.core.load.decision import decide_load
    from gitlab_mesh.core.load.documents import summarise
    from gitlab_mesh.core.load.result import join_results
    from gitlab_mesh.core.load.sections import wrap_verdicts
    from gitlab_mesh.core.load.thresholds import judge_threshold, parse_threshold, with_defaults
    from gitlab_mesh.core.report.model import VerdictSection

    joined = join_results([_read(path) for path in files])
    limits = with_defaults([parse_threshold(text) for text in threshold.split(",") if text.strip()])
    verdicts: list[Verdict] = [judge_threshold(one, joined) for one in limits]
    sections: list[Section] = [wrap_verdicts("Thresholds", verdicts, ("Limit", "Measured"))]
    if baseline:
        judgement = compare_results(_read(baseline), joined, tolerance=tolerance, margin=margin)
        sections.append(VerdictSection(judgement, "Against the baseline", ("Baseline", "This run")))
        verdicts += judgement.verdicts
    decision = decide_load(joined, verdicts)
    code = decision.error.exit_code if decision.error else 0
    _write(output, joined, decision, sections)
    if form == "json":
        click.echo(json.dumps(summarise(joined, verdicts, outcome=decision.outcome.value, exit_code=code), indent=2))
    for verdict in verdicts:
        click.echo(_line(verdict), err=True)
    click.echo(f"{len(files)} shards: {decision.headline}", err=True)
    raise SystemExit(code)


@load.command()
@click.argument("baseline", type=_EXISTING)
@click.argument("run", type=_EXISTING)
@click.option("--tolerance", default=0.10, show_default=True, help="This much slower is not held against the run.")
@click.option("--margin", default=0.20, show_default=True, help="The run must be shown to be less slow than this.")
def compare(baseline: Path, run: Path, tolerance: float, margin: float) -> None:
    """Compare a run with a former one: by the judge's tests on both histograms, not by one quantile.

    Exit codes: 0 surely within the margin, 14 slower or more errors than tolerated, 11 too few requests to tell.
    """
    from gitlab_mesh.core.judge.model import VerdictKind
    from gitlab_mesh.core.load.compare import compare_results
    from gitlab_mesh.core.load.result import QUANTILES
    from gitlab_mesh.core.report.formatting import format_difference, format_seconds

    before, after = _read(baseline), _read(run)
    judgement = compare_results(before, after, tolerance=tolerance, margin=margin)
    click.echo(f"{'':<8}{'baseline':>12}{'this run':>12}{'difference':>14}")
    for name, share in QUANTILES.items():
        values = before.latency.quantile(share), after.latency.quantile(share)
        shown = (*(format_seconds(value) for value in values), format_difference(values[1] - values[0], "seconds"))
        click.echo(f"{name:<8}{shown[0]:>12}{shown[1]:>12}{shown[2]:>14}")
    for verdict in judgement.verdicts:
        click.echo(_line(verdict))
    kinds = {verdict.kind for verdict in judgement.verdicts}
    raise SystemExit(14 if VerdictKind.BREACH in kinds else 0 if kinds == {VerdictKind.PASS} else 11)


def _read(path: Path) -> LoadResult:
    import json

    from gitlab_mesh.core.load.result import parse_result
    from gitlab_mesh.errors import UsageError

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as JSON", why=str(error)) from error
    return parse_result(value, str(path))


def _line(verdict: Verdict) -> str:
    from gitlab_mesh.core.report.formatting import format_value

    value = format_value(verdict.canary, verdict.unit)
    return f"{verdict.kind.value:<10} {verdict.metric}: {value}" + (f" ({verdict.reason})" if verdict.reason else "")


def _write(output: Path, joined: LoadResult, decision: Decision, sections: list[Section]) -> None:
    """Write the same files as the job does."""
    from gitlab_mesh.adapters.artifacts import DirectoryArtifacts
    from gitlab_mesh.core.load.documents import render_files
    from gitlab_mesh.core.load.sections import render_sections
    from gitlab_mesh.core.report.model import Report
    from gitlab_mesh.core.report.renderers import render_html, render_json, render_junit, render_note

    report = Report(
        job="load-check",
        service="",
        namespace="",
        outcome=decision.outcome,
        headline=decision.headline,
        reason=decision.reason,
        next_step=decision.next_step,
        exit_code=decision.error.exit_code if decision.error else 0,
        duration_seconds=joined.duration_seconds,
        facts={"target": joined.target},
        sections=(*sections, *render_sections(joined)),
    )
    rendered = {
        "report.html": render_html(report),
        "report.json": render_json(report),
        "junit.xml": render_junit(report),
        "note.md": render_note(report),
    }
    artifacts = DirectoryArtifacts(output)
    for name, text in {**rendered, **render_files(joined)}.items():
        problem = artifacts.write(name, text)
        if problem:
            click.echo(problem, err=True)
