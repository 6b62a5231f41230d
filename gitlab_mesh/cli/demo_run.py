"""One release of the demo: a sandbox, the job as its own process as in a runner, and what must be true afterwards."""

from __future__ import annotations

import copy
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.config.model import RolloutConfig
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.report.formatting import format_duration
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

__all__ = ["POLICY", "Ran", "explain", "mesh_yaml", "run_release", "show_policy"]

JOB_SECONDS = 240.0
"""The job is ended after this; the shortened policy needs a quarter of it."""

POLICY: tuple[tuple[str, str, str], ...] = (
    ("rollout.steps", "[10, 25, 50]", "three steps show the way"),
    ("rollout.step_bake", "2s", "counts decide here, not patience"),
    ("rollout.look_interval", "500ms", "Envoy's own counters are there at once"),
    ("rollout.deadline", "120s", "a demo should end"),
    ("rollout.ready_deadline", "20s", "the app starts in a second"),
    ("rollout.drain", "5s", "requests here take milliseconds"),
    ("judge.bake", "10s", "there are no late onsets to wait for"),
    ("judge.startup", "2s", "the app has no caches to warm"),
    ("judge.guard", "1s", "no neighbour disturbs these pods"),
    ("judge.latency_margin", "30%", "all of this shares the cores of one machine"),
)
"""What is shortened, to what, and why; everything else is as in production."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a release of the demo ended.

    Attributes:
        exit_code: Of the job.
        outcome: Word of ``core.report.model.Outcome``.
        page: The merge request as a file.
        findings: What is not as it must be afterwards, one sentence each.
    """

    exit_code: int
    outcome: str
    page: Path
    findings: tuple[str, ...]


def explain(release: str | None, rate: float) -> None:
    """Say what is about to happen."""
    what = f"the release {release}" if release else "a good release, then a bad one (5 % errors)"
    click.secho("gitlab-mesh demo", bold=True)
    click.echo(
        f"Starts a sandbox on loopback (real Envoy, real app processes, {rate:g} requests/s, a Kubernetes-compatible\n"
        f"and a GitLab-compatible API server) and runs `gitlab-mesh job canary` in it: {what}.\n"
    )


def show_policy() -> None:
    """Print the shortened policy beside the defaults."""
    click.echo("Policy of the demo beside the defaults:")
    for path, value, why in POLICY:
        click.echo(f"  {path:<22} {value:<13} default {_default(path):<16} {why}")
    click.echo()


def mesh_yaml() -> str:
    """Return the demo's ``mesh.yaml``: the shop's, with the shortened policy."""
    blocks: dict[str, list[str]] = {}
    for path, value, _ in POLICY:
        block, _, key = path.partition(".")
        blocks.setdefault(block, []).append(f"      {key}: {value}")
    lines = [
        "version: 1",
        "services:",
        "  shop:",
        "    namespace: shop",
        "    route: {virtualService: shop, http: [primary]}",
    ]
    for block, entries in blocks.items():
        lines += [f"    {block}:", *entries]
    return "\n".join([*lines, "    smoke:", "      - {name: health, http: {path: /healthz}}", ""])


def run_release(tag: str, output: Path, rate: float, *, spec: SandboxSpec | None = None) -> Ran:
    """Start a sandbox, release the tag in it, check what is left, write everything to ``output``."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    image = f"registry.example/shop:{tag}"
    click.secho(f"── {image} " + "─" * max(3, 60 - len(image)), bold=True)
    spec = spec or SandboxSpec(title=f"Release shop {tag}")
    with Sandbox.start(spec) as sandbox:
        sandbox.start_traffic(lambda url: load_command(_traffic(url, rate)))
        click.echo(f"Sandbox is up in {sandbox.start_seconds:.1f} s: {sandbox.browser_url}\n")
        sandbox.config.write_text(mesh_yaml(), encoding="utf-8")
        before = _user_objects(sandbox)
        job, variables = sandbox.gitlab.start_job("canary")
        code = _run_job(sandbox, variables, image, output)
        log = (output / "job.log").read_text(encoding="utf-8", errors="replace")
        sandbox.gitlab.server.finish_job(job, "failed" if code else "success", log=log)
        findings = _check(sandbox, before, image)
        (output / "mr.html").write_text(sandbox.gitlab.merge_request_page(), encoding="utf-8")
        facts = sandbox.traffic.facts if sandbox.traffic else None
        if facts is not None:
            click.echo(
                f"Users saw {facts.requests:,} answers; {facts.failed_by_application} failed in the application, "
                f"{facts.failed_by_mesh} in the mesh."
            )
            if facts.failed_by_mesh:
                findings = (*findings, f"{facts.failed_by_mesh} requests failed that the application did not fail")
    outcome = json.loads((output / "report.json").read_text(encoding="utf-8"))["outcome"]
    return Ran(code, outcome, output / "mr.html", findings)


def _traffic(url: str, rate: float) -> LoadPlan:
    return LoadPlan(
        url=url,
        rate=rate,
        duration_seconds=JOB_SECONDS + 60,
        arrivals="poisson",
        headers={"Host": HOST},
        origin_header="x-version",
    )


def _run_job(sandbox: Sandbox, variables: Mapping[str, str], image: str, output: Path) -> int:
    """Run the job as a runner would: its own process, GitLab's variables, everything it says into ``job.log``."""
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))},
        **variables,
        "KUBECONFIG": str(sandbox.kubeconfig()),
    }
    for name in ("CI", "GITLAB_CI"):  # people read it here, not GitLab: no collapsible sections
        environ.pop(name, None)
    if sys.stderr.isatty():
        environ["FORCE_COLOR"] = "1"
    argv = [sys.executable, "-m", "gitlab_mesh", "job", "canary", "--service", "shop", "--image", image]
    argv += ["--config", str(sandbox.config), "--output", str(output)]
    with (output / "job.log").open("wb") as log:
        return _tee(argv, environ, log)


def _tee(argv: Sequence[str], environ: dict[str, str], log: Any) -> int:
    """Run a program and copy its error stream to ours and to the log; a terminal stays one for the live view."""
    terminal = sys.stderr.isatty()
    read, write = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(argv, env=environ, stderr=write, stdin=subprocess.DEVNULL)  # noqa: S603
    os.close(write)
    try:
        with suppress(OSError):  # a pseudo-terminal ends with EIO when its last writer is gone
            while chunk := os.read(read, 65536):
                log.write(chunk)
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()
        return process.wait(JOB_SECONDS)
    finally:
        os.close(read)
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def _user_objects(sandbox: Sandbox) -> dict[str, Any]:
    """What the user owns: spec, labels and annotations of routes and workloads."""
    client = sandbox.client()
    found = {}
    for kind in ("VirtualService", "DestinationRule", "Service", "Deployment"):
        for item in client.list(kind, "shop"):
            meta = item["metadata"]
            annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if not k.startswith("deployment.")}
            found[f"{kind} {meta['name']}"] = copy.deepcopy((item["spec"], meta.get("labels"), annotations))
    return found


def _check(sandbox: Sandbox, before: dict[str, Any], image: str) -> tuple[str, ...]:
    """Say what is not as before, but for the promoted image."""
    after = _user_objects(sandbox)
    findings = [f"{key} is left over" for key in after.keys() - before.keys()]
    for key, was in before.items():
        if key not in after:
            findings.append(f"{key} is gone")
        elif after[key] != was:
            promoted = copy.deepcopy(was)
            if key == "Deployment shop":
                promoted[0]["template"]["spec"]["containers"][0]["image"] = image
            if after[key] != promoted:
                findings.append(f"{key} is not as before")
    leases = sandbox.client().list("Lease", "shop")
    findings += [f"Lease {it['metadata']['name']} is still held" for it in leases if it["spec"].get("holderIdentity")]
    return tuple(findings)


def _default(path: str) -> str:
    block, _, key = path.partition(".")
    owner: RolloutConfig | JudgeSettings = RolloutConfig() if block == "rollout" else JudgeSettings()
    for item in fields(owner):
        about = item.metadata["gitlab_mesh.setting"]
        if (about.key or item.name) == key:
            value = getattr(owner, item.name)
            if about.unit == "duration":
                return format_duration(value).replace("\u202f", " ").replace("\u00a0", " ")
            return str([step.weight for step in value]) if isinstance(value, tuple) else str(value)
    raise AssertionError(path)
