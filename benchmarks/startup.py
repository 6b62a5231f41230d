"""Start-up: `gitlab-mesh --help` against a bare Python start, in one run.

    .venv/bin/python benchmarks/startup.py

Goal: at most 8 times a bare `python -c pass` (median of 15 alternating runs).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

GOAL = 8.0
RUNS = 15


def seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


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
    return 0 if help_ / bare <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
