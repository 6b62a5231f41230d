"""Flagger itself beside us: the same cluster, Istio, application and users; what each release costs, and how it ends.

Builds Flagger from its Go module once (``python -m tests.e2e.controlplane.build`` builds the rest) and needs a
Prometheus program. Everything runs in network namespaces of its own. Each release gets a fresh namespace, users at
random times, and begins at a random moment to the tools' clocks. A killed tool comes back after 180 s ("restart"), or
by the net that a failed job has ("net", ours alone: ``after_script``).

Usage: python benchmarks/peers/run.py [--tools ours,fast,tutorial] [--releases good,err5,…] [--rate 50] [--repeats N]
       [--look-interval 2s] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from tests.e2e.mesh import isolation  # noqa: E402

if __name__ == "__main__":
    isolation.enter()  # before anything starts a thread

from rig import RELEASES, Release, Rig, behaviours_for  # noqa: E402
from tools import AWAY_SECONDS, Flagger, Ours, Tool, find_program  # noqa: E402

from tests.e2e.controlplane.programs import find_programs, why_not  # noqa: E402
from tests.e2e.mesh.mesh import Mesh  # noqa: E402

LONGEST_SECONDS = 1400.0
AFTER_SECONDS = 3.0


@dataclass
class Row:
    """One release by one tool; seconds from the start of the release."""

    tool: str
    release: str
    first_traffic: float | None
    verdict_seconds: float
    verdict: str
    right: str
    served: int
    failed: int
    failed_all: int
    state: str


def play(tool: Tool, release: Release, rig: Rig, rate: float, number: int) -> Row:
    """Release once in a fresh namespace."""
    tag = f"2.0.{number}"
    rig.forget()
    rig.mesh.behaviours.update(behaviours_for(release, tag))
    tool.prepare(rig)
    try:
        with rig.users(release.rate or (rate if release.rate is None else 0.001)) as users:
            time.sleep(8.0 + 10.0 * rig.luck.random())
            before, begun = users.failed(), time.monotonic()
            tool.release(tag)
            first: float | None = None
            killed_at: float | None = None
            killed = not release.kill
            while time.monotonic() - begun < LONGEST_SECONDS:
                now = time.monotonic() - begun
                if first is None and users.served(tag):
                    first = now
                if not killed and first is not None and tool.weight() > 0:
                    tool.kill()
                    killed, killed_at = True, now
                if killed_at is not None and now - killed_at >= AWAY_SECONDS[release.kill]:
                    tool.come_back(release.kill)
                    killed_at = None
                if killed and killed_at is None and tool.verdict():
                    break
                time.sleep(0.2)
            took, verdict = time.monotonic() - begun, tool.verdict() or "none"
            time.sleep(AFTER_SECONDS)
            served, failed = users.served(tag), users.failed_by(tag)
            everything = users.failed() - before
    finally:
        tool.close()
    if release.kill == "net":
        verdict = "rejected" if verdict == "promoted" else verdict  # the net's 0 is "rolled back"
    right = "yes" if verdict == release.wanted or (release.rate == 0.0 and verdict != "promoted") else "no"
    return Row(tool.name, release.name, first, took, verdict, right, served, failed, everything, tool.state())


def render(rows: list[Row]) -> str:
    """Return the table as Markdown."""
    head = "| release | tool | first traffic | verdict after | served by the release | failed | verdict | right | end |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda one: (list(RELEASES).index(one.release), one.tool)):
        first = "–" if row.first_traffic is None else f"{row.first_traffic:.1f} s"
        lines.append(
            f"| {row.release} | {row.tool} | {first} | {row.verdict_seconds:.1f} s | {row.served} | {row.failed} | "
            f"{row.verdict} | {row.right} | {row.state} |"
        )
    return "\n".join(lines)


def render_medians(rows: list[Row]) -> str:
    """Return a line for each release and tool: runs, seconds to the verdict and failed requests, each in order."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.release, row.tool), []).append(row)
    lines = []
    for (release, tool), some in grouped.items():
        seconds, failed = sorted(one.verdict_seconds for one in some), sorted(one.failed for one in some)
        lines.append(
            f"{release:18} {tool:18} {len(some)} runs: verdict after {statistics.median(seconds):.1f} s "
            f"({', '.join(f'{one:.1f}' for one in seconds)}), failed {statistics.median(failed):g} "
            f"({', '.join(map(str, failed))})"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default="ours,fast")
    parser.add_argument("--releases", default=",".join(RELEASES))
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--look-interval", default="2s", help="of ours")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="directory for the logs")
    options = parser.parse_args()
    tools, names = options.tools.split(","), options.releases.split(",")
    problem = why_not() or ("" if find_program("prometheus") or tools == ["ours"] else "Prometheus is not installed")
    if problem:
        print(f"cannot run here: {problem}")
        return 2
    modules = ["flagger"] if {"fast", "tutorial"} & set(tools) else []
    programs = find_programs(optional=modules)
    if programs is None:
        print("not everything is built: python -m tests.e2e.controlplane.build")
        return 2
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        base = options.keep or Path(temporary)
        with Mesh(programs, base / "mesh") as mesh:
            mesh.start()
            number = 0
            for name in tools:
                rig = Rig(mesh, base / name, scrape_seconds=15.0 if name == "tutorial" else 5.0)
                with rig.prometheus(find_program("prometheus")) as url:
                    for release in (RELEASES[one] for one in names for _ in range(options.repeats)):
                        if name != "ours" and release.kill == "net":
                            continue
                        number += 1
                        tool: Tool = Ours(options.look_interval)
                        if name != "ours":
                            tool = Flagger(programs.path("flagger"), programs.path("crd-flagger.yaml"), url, name)
                        row = play(tool, release, rig, options.rate, number)
                        rows.append(row)
                        print(f"{row.release:18} {row.tool:18} {row.verdict:12} after {row.verdict_seconds:6.1f} s, "
                              f"{row.failed} failed of {row.served} served; {row.state}", flush=True)  # fmt: skip
                rig.processes.close(grace=2.0)
    print("\n" + render(rows))
    if options.repeats > 1:
        print("\nmedians\n" + render_medians(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
