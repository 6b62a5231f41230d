"""Start-up: `gitlab-mesh --help` against a bare Python start, and a job's start to its first line, in one run.

    .venv/bin/python benchmarks/startup.py

Goals: at most 8 times a bare `python -c pass` (median of 15 alternating runs); at most 3 s from the beginning of a
template's job, its environment cached, to the first line that the tool writes (median of 5).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gitlab_mesh.templating import render_install

GOAL = 8.0
RUNS = 15
JOB_GOAL_SECONDS = 3.0
JOB_RUNS = 5


def seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def job_seconds(directory: Path) -> float:
    """From the template's first shell line to the tool's first line; without mesh.yaml that is its first word."""
    script = f'set -eo pipefail\n{render_install()}\nexport PATH="$PWD/.gitlab-mesh/bin:$PATH"\ngitlab-mesh job status'
    start = time.perf_counter()
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=directory,
        env={**os.environ, "GITLAB_MESH_PIP_SPEC": "cached"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as job:
        assert job.stdout is not None
        line = job.stdout.readline()
        taken = time.perf_counter() - start
        job.stdout.read()
    if "mesh.yaml" not in line:
        raise SystemExit(f"the job did not start the tool: {line}")
    return taken


def job_start() -> float:
    """A job whose cached environment is this one."""
    with tempfile.TemporaryDirectory() as name:
        cached = Path(name) / ".gitlab-mesh"
        cached.mkdir()
        (cached / "bin").symlink_to(Path(sys.executable).parent)
        (cached / "spec").write_text("cached")
        return statistics.median(job_seconds(Path(name)) for _ in range(JOB_RUNS))


def main() -> int:
    python = sys.executable
    tool = str(Path(python).with_name("gitlab-mesh"))
    commands = {"python -c pass": [python, "-c", "pass"], "gitlab-mesh --help": [tool, "--help"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, argv in commands.items():
            times[name].append(seconds(argv))
    bare, help_ = (statistics.median(times[name]) for name in commands)
    print(f"bare Python {bare * 1e3:.0f} ms, --help {help_ * 1e3:.0f} ms: {help_ / bare:.1f}x (goal <= {GOAL:g}x)")
    job = job_start()
    print(f"job start to first line, environment cached: {job:.1f} s (goal <= {JOB_GOAL_SECONDS:g} s)")
    return 0 if help_ / bare <= GOAL and job <= JOB_GOAL_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
