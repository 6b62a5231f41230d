"""``gitlab-mesh sandbox``: keep a whole mesh, cluster API and GitLab running on this machine."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitlab_mesh.errors import UsageError

if TYPE_CHECKING:
    from gitlab_mesh.sandbox.app.behaviour import Behaviour
    from gitlab_mesh.sandbox.world import Sandbox, TrafficCommand

__all__ = ["sandbox", "shop_traffic"]

_DAY_SECONDS = 86_400.0


@click.group()
def sandbox() -> None:
    """A mesh, a cluster API and a GitLab on this machine, all on loopback."""


@sandbox.command()
@click.option("--image", default="registry.example/shop:1.4.2", show_default=True, help="Image of the stable release.")
@click.option("--replicas", default=2, show_default=True, type=click.IntRange(1, 20), help="Its pods.")
@click.option(
    "--traffic",
    default=50.0,
    show_default=True,
    type=click.FloatRange(0, 5000),
    help="User requests a second; 0: none.",
)
@click.option(
    "--behaviour",
    "behaviours",
    multiple=True,
    metavar="TAG=NAME",
    help="Let an image tag behave like another one, such as 2.0.0=bad; may be repeated.",
)
@click.option("--directory", type=click.Path(path_type=Path), help="For files and logs; default: a temporary one.")
@click.option(
    "--policy",
    type=click.Choice(["short", "default"]),
    default="short",
    show_default=True,
    help="Times of mesh.yaml: those of the demo (a release takes half a minute), or those of production.",
)
def up(
    image: str, replicas: int, traffic: float, behaviours: tuple[str, ...], directory: Path | None, policy: str
) -> None:
    """Start a sandbox and keep it running until Ctrl-C.

    It is an emulator: a real Envoy and real processes behind it, driven by an API server that answers like
    Kubernetes and Istio as far as gitlab-mesh uses them. Image tags choose how the shop behaves: good, bad,
    errors-2, slow, slow-tail, cold-start, leak, crash, never-ready, dies, limited; versions such as 1.5.0 are good.
    """
    from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

    spec = SandboxSpec(
        image=image,
        replicas=replicas,
        behaviours=_read_behaviours(behaviours),
        traffic=shop_traffic(traffic) if traffic else None,
        directory=directory.resolve() if directory else None,
    )
    with Sandbox.start(spec) as running:
        if policy == "short":
            from gitlab_mesh.cli.demo_run import mesh_yaml

            running.config.write_text(mesh_yaml(), encoding="utf-8")
        click.echo(_describe(running, traffic))
        _wait_for_the_end()
        click.echo("ending …")
    if running.traffic:
        facts = running.traffic.facts
        click.echo(
            f"users sent {facts.requests} requests: {facts.failed_by_application} failed by the shop, "
            f"{facts.failed_by_mesh} by the mesh"
        )
    for problem in running.problems:
        click.echo(f"problem: {problem}", err=True)


def shop_traffic(rate: float, *, seconds: float = _DAY_SECONDS, interval_seconds: float = 1.0) -> TrafficCommand:
    """Return background traffic for a sandbox: users who open the shop, at random times, ``rate`` a second."""
    from gitlab_mesh.adapters.load import LoadPlan, load_command
    from gitlab_mesh.sandbox.shop import HOST

    def command(url: str) -> list[str]:
        plan = LoadPlan(
            url=url,
            rate=rate,
            duration_seconds=seconds,
            arrivals="poisson",
            headers={"Host": HOST},
            origin_header="x-version",
        )
        return load_command(plan, interval_seconds=interval_seconds)

    return command


def _read_behaviours(texts: tuple[str, ...]) -> dict[str, Behaviour]:
    from gitlab_mesh.sandbox.app.behaviour import BEHAVIOURS

    found = {}
    for text in texts:
        tag, equals, name = text.partition("=")
        if not equals or not tag or name not in BEHAVIOURS:
            raise UsageError(
                f"--behaviour {text}: not TAG=NAME with a known name", why=f"known are {', '.join(BEHAVIOURS)}"
            )
        found[tag] = BEHAVIOURS[name]
    return found


def _describe(running: Sandbox, rate: float) -> str:
    """Write the files that lead other programs here, and return what people need to know."""
    variables = running.job_environment("canary")
    exports = running.directory / "job.sh"
    exports.touch(0o600)
    exports.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    for_gitlab_ci_local = running.directory / "gitlab-ci-local-variables.yml"
    for_gitlab_ci_local.touch(0o600)
    for_gitlab_ci_local.write_text(json.dumps(variables, indent=2) + "\n")  # JSON is YAML
    places = {
        "shop": running.browser_url,
        "": f"curl -H 'Host: shop.example' {running.gateway_url}",
        "merge request": running.gitlab.merge_request_url,
        "Kubernetes API": running.cluster.server.url,
        "telemetry": f"http://127.0.0.1:{running.scrape.port}/targets  (for a Prometheus of your own)",
        "traffic": f"{rate:g} requests/s" if rate else "none",
        "files": str(running.directory),
    }
    lines = [f"The sandbox runs (started in {running.start_seconds:.1f} s):", ""]
    lines += [f"  {name:15} {text}" for name, text in places.items()]
    lines += ["", "Point a shell at it:", ""]
    lines += _export_lines(
        {
            "KUBECONFIG": variables["KUBECONFIG"],
            "GITLAB_MESH_CONFIG": variables["GITLAB_MESH_CONFIG"],
            "GCL_VARIABLES_FILE": str(for_gitlab_ci_local),
        }
    )
    lines += [f"  . {shlex.quote(str(exports))}   # a GitLab job's variables: merge request, token"]
    lines += ["", "Then, for instance:", ""]
    lines += ["  kubectl get pods,virtualservices"]
    lines += ["  gitlab-mesh job canary --service shop --image registry.example/shop:1.5.0"]
    return "\n".join([*lines, "", "Ctrl-C ends it."])


def _export_lines(variables: Mapping[str, str]) -> list[str]:
    return [f"  export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _wait_for_the_end() -> None:
    """Wait for SIGINT or SIGTERM."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    ended.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
