"""``gitlab-mesh judge``: what could be detected, and what would have happened with other settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitlab_mesh.core.judge.replay import Replay
    from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric

__all__ = ["judge"]

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_BAKES = (60.0, 120.0, 300.0, 600.0, 1800.0)


@click.group()
def judge() -> None:
    """Plan what the judge can detect; judge a recorded run again."""


@judge.command()
@click.argument("file", type=_EXISTING)
@click.option("--config", type=_EXISTING, help="mesh.yaml; without it the default settings.")
@click.option("--service", help="The service whose settings count, if mesh.yaml has several.")
@click.option("--environment", help="GitLab environment, for overrides in mesh.yaml.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE",
              help="Change one judge setting, for example --set bake=2m --set false_rollback=0.001.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def replay(
    file: Path, config: Path | None, service: str | None, environment: str | None, changes: tuple[str, ...], form: str
) -> None:
    """Judge the recorded samples of a canary run (its artifact) with changed settings.

    It judges what was served, as it was served: a rejection that comes earlier shows, traffic that would have been
    given differently does not. Exit code 10 if the release would have been rejected, 11 if it would not have been
    promoted either.
    """
    from gitlab_mesh.core.judge.replay import replay as run
    from gitlab_mesh.core.judge.samples import parse_samples, read_look_seconds
    from gitlab_mesh.errors import InconclusiveError, ReleaseRejectedError

    settings, metrics = _settings(config, service, environment, changes)
    lines = file.read_text(encoding="utf-8").splitlines()
    result = run(
        parse_samples(lines),
        settings,
        look_seconds=read_look_seconds(lines[0] if lines else ""),
        user_metrics=metrics,
    )
    click.echo(_as_json(result) if form == "json" else _as_text(result))
    if result.rejected_at is not None:
        raise ReleaseRejectedError(
            f"the release would have been rejected after {result.rejected_at:.0f} s",
            why=result.last.reason if result.last else "",
        )
    if result.promotable_at is None:
        raise InconclusiveError(
            "the release would not have been promoted",
            why=result.last.promote_gate.reason if result.last else "the file has no looks",
        )


@judge.command()
@click.option("--rps", type=click.FloatRange(min=0, min_open=True), required=True, help="Requests per second, all.")
@click.option("--error-ratio", type=click.FloatRange(0, 1), required=True, help="Stable's usual error ratio, 0-1.")
@click.option("--weight", type=click.FloatRange(0.01, 99), default=10.0, show_default=True, help="Canary's percent.")
@click.option("--config", type=_EXISTING, help="mesh.yaml; without it the default settings.")
@click.option("--service", help="The service whose settings count, if mesh.yaml has several.")
@click.option("--environment", help="GitLab environment, for overrides in mesh.yaml.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one judge setting.")
def plan(
    rps: float,
    error_ratio: float,
    weight: float,
    config: Path | None,
    service: str | None,
    environment: str | None,
    changes: tuple[str, ...],
) -> None:
    """Say before the release what can be detected in what time, and what each bake would catch."""
    from gitlab_mesh.core.judge.plan import detection_of, pass_seconds, smallest_caught

    settings, _ = _settings(config, service, environment, changes)
    share = weight / 100.0
    click.echo(f"{rps:g} requests/s, stable fails {error_ratio:.3%}, the canary gets {weight:g} %")
    passes = pass_seconds(rps, error_ratio, share, settings)
    click.echo(
        "A good release is shown to be within the margin "
        + (f"after about {_seconds(passes)}; then the bake decides." if passes is not None else "never.")
    )
    click.echo("\nA canary that fails   is rejected after   95 % of such after   failed requests until then")
    for canary in sorted({error_ratio * 2, error_ratio * 5, error_ratio + 0.01, error_ratio + 0.05, 0.5, 1.0}):
        if not error_ratio < canary <= 1.0:
            continue
        found = detection_of(rps, error_ratio, canary, share, settings)
        if found.usual_seconds is None or found.most_seconds is None or found.bad_requests is None:
            click.echo(f"{canary:18.3%}   never: within the tolerance")
        else:
            usual, most = _seconds(found.usual_seconds), _seconds(found.most_seconds)
            click.echo(f"{canary:18.3%}   {usual:>17}   {most:>16}   {found.bad_requests:,.0f}")
    click.echo("\nbake    smallest error ratio from the start that 95 % are rejected for   leak starting at minute 5")
    for bake in sorted({*_BAKES, settings.bake_seconds} - {0.0}):
        smallest = smallest_caught(rps, error_ratio, share, bake, settings)
        late = smallest_caught(rps, error_ratio, share, bake - 300.0 + settings.startup_seconds, settings)
        caught = f"{smallest:.3%}" if smallest is not None else "not even an outage"
        leak = "not seen" if bake <= 300.0 or late is None else f"once beyond {late:.3%}"
        mark = " (set)" if bake == settings.bake_seconds else ""
        click.echo(f"{_seconds(bake) + mark:13} {caught:55} {leak}")
    click.echo("\nForecasts from the tests' growth, not promises; an outage is found faster than the table says.")


def _settings(
    config: Path | None, service: str | None, environment: str | None, changes: Sequence[str]
) -> tuple[JudgeSettings, tuple[UserMetric, ...]]:
    """Read the judge's settings of one service, changed by options."""
    from gitlab_mesh.config.load import load_config
    from gitlab_mesh.errors import UsageError

    options = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change}: no value", hint="write it as --set bake=2m")
        options[f"judge.{key.strip()}"] = value.strip()
    source: Path | str = config if config is not None else _NOTHING
    loaded = load_config(source, environment=environment, service=service, overrides=options)
    services = loaded.config.services
    if service is None and len(services) != 1:
        names = ", ".join(services)
        raise UsageError("which service's settings?", why=f"mesh.yaml has {names}", hint="add --service")
    chosen = services[service] if service is not None else next(iter(services.values()))
    return chosen.judge, chosen.metrics.queries


_NOTHING = "version: 1\nservices:\n  service:\n    namespace: default\n    route: {virtualService: service}\n"
"""A document of defaults only: so ``--set`` is read, checked and explained as any setting is."""


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _as_text(result: Replay) -> str:
    lines = [
        f"{line.time_seconds:7.0f} s  "
        + ("   -    " if line.weight is None else f"{line.weight:7.2%} ")
        + f" {line.what}"
        for line in result.lines
    ]
    lines.append(
        f"{result.looks} looks; the canary served {result.canary_requests:,} requests, {result.canary_errors:,} failed"
    )
    if result.last is not None:
        lines += [f"{verdict.kind.value:10} {verdict.reason}" for verdict in result.last.verdicts]
    return "\n".join(lines)


def _as_json(result: Replay) -> str:
    import json
    from dataclasses import asdict

    return json.dumps(asdict(result), indent=1, ensure_ascii=False)
