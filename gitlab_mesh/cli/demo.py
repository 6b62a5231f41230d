"""``gitlab-mesh demo``: the main job against real traffic on this machine, a good and a bad release."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["demo"]


@click.command()
@click.option("--release", metavar="TAG", help="Run one release with this image tag (good, bad, slow, crash, …).")
@click.option("--output", type=click.Path(path_type=Path), default=Path("mesh-out/demo"), show_default=True,
              help="Directory for note, reports, log and merge-request page.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(1, 2000), default=500.0, show_default=True, help="Requests a second.")
def demo(release: str | None, output: Path, rate: float) -> None:
    """Run ``gitlab-mesh job canary`` against a real Envoy, real processes and real requests on loopback.

    Without --release it runs two: a good one that must be promoted and a bad one (5 % errors) that must be rolled
    back; the exit code is 0 only if both ended so. With --release the exit code is the job's.
    """
    from gitlab_mesh.cli.demo_run import explain, run_release, show_policy

    explain(release, rate)
    show_policy()
    if release is not None:
        ran = run_release(release, output, rate)
        click.echo(f"\nThe merge request's page: {ran.page}")
        raise SystemExit(ran.exit_code)
    failed = []
    for tag, expected in (("good", "promoted"), ("bad", "rejected")):
        ran = run_release(tag, output / tag, rate)
        if (ran.outcome, ran.findings) != (expected, ()):
            failed.append(f"{tag}: expected {expected}, was {ran.outcome}" + "".join(f"; {it}" for it in ran.findings))
    click.echo()
    for line in failed:
        click.secho(f"✗ {line}", fg="red")
    if not failed:
        click.secho("✓ The good release was promoted, the bad one was taken back; nothing is left running.", fg="green")
    click.echo("The merge requests' pages, to open in a browser:")
    for tag in ("good", "bad"):
        click.echo(f"  {(output / tag / 'mr.html').resolve()}")
    raise SystemExit(1 if failed else 0)
