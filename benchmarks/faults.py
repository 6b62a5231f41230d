"""Seeded fault schedules: whole rollouts on a simulated clock, with the invariants S1-S10 as oracles.

    python benchmarks/faults.py --schedules 10000 --seed 1 [--json] [--processes 2]
    python benchmarks/faults.py --schedules 3000 --seed 1 --only http-route frozen hotfix
    python benchmarks/faults.py --replay SEED
    python benchmarks/faults.py --replay-pair "canary:set-weight/patch VirtualService" kill-after

Each schedule has a seed of its own; a violation prints it, and ``--replay`` plays it again with its story. Consecutive
seeds go through every pair of boundary and kind of fault; ``--complete`` then plays each pair that did not occur once
more, alone. Exit code 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import count, islice
from typing import Any

from gitlab_mesh.testing.simulation.http import HttpSimulation
from gitlab_mesh.testing.simulation.plan import Catalogue, Pair, plan_plain, plan_schedule
from gitlab_mesh.testing.simulation.play import Simulation
from gitlab_mesh.testing.simulation.run import catalogue, run_schedule, tell_schedule
from gitlab_mesh.testing.simulation.schedule import Schedule

BLOCK = 1_000_000
LISTED = 200
"""Pairs that did not occur are printed if they are so few."""
KINDS = {"lean": Simulation, "http": HttpSimulation}
_KIND = ["lean"]
INVARIANTS = [f"S{number}" for number in range(1, 11)]


@cache
def _plan() -> Catalogue:
    return catalogue()


def schedule_of(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    return plan_schedule(seed, _plan())


def is_only(seed: int, words: Sequence[str]) -> bool:
    """Whether the schedule of a seed is of a shape that begins like one of the words, or goes through an HTTPRoute."""
    schedule = schedule_of(seed)
    return schedule.shape.startswith(tuple(words)) or (schedule.http_route and "http-route" in words)


def play(seed: int) -> dict[str, Any]:
    """Play one schedule and return what the summary needs, small enough for a pipe."""
    return _play(schedule_of(seed), f"--replay {seed}")


def play_pair(pair: Pair) -> dict[str, Any]:
    """Play one fault alone, at the first call of its boundary."""
    _, boundary, kind = pair
    return _play(plan_plain(pair), f'--replay-pair "{boundary}" {kind}')


def _play(schedule: Schedule, how: str) -> dict[str, Any]:
    outcome = run_schedule(schedule, kind=KINDS[_KIND[0]])
    return {
        "replay": how,
        "violations": [(violation.invariant, str(violation)) for violation in outcome.violations],
        "faults": outcome.faults,
        "end": outcome.end,
        "exits": outcome.exits,
        "seconds": outcome.seconds,
    }


def replay(schedule: Schedule) -> int:
    """Play one schedule again and tell its story."""
    print(schedule)
    outcome, story = tell_schedule(schedule)
    print("\n".join(story))
    print(f"  exits {outcome.exits}, end {outcome.end}, {outcome.seconds:.0f} s simulated")
    for violation in outcome.violations:
        print(f"  VIOLATION {violation}")
    return 1 if outcome.violations else 0


def summarise(results: list[dict[str, Any]], took: float) -> dict[str, Any]:
    """Add everything up."""
    kinds: Counter[str] = Counter()
    pairs: set[tuple[str, str]] = set()
    ends: Counter[str] = Counter()
    exits: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    seeds: dict[str, list[tuple[str, str]]] = {}
    for result in results:
        for boundary, kind in result["faults"]:
            kinds[kind] += 1
            pairs.add((boundary, kind))
        ends[result["end"]] += 1
        exits.update(f"{job} {code}" for job, code in result["exits"])
        for invariant in {invariant for invariant, _ in result["violations"]}:
            broken[invariant] += 1
        for invariant, text in result["violations"]:
            seeds.setdefault(invariant, []).append((result["replay"], text))
    wanted = {(boundary, kind) for _, boundary, kind in _plan().pairs}
    missing: dict[str, list[str]] = {}
    for boundary, kind in sorted(wanted - pairs):
        missing.setdefault(boundary, []).append(kind)
    return {
        "schedules": len(results),
        "seconds": round(took, 1),
        "simulated_hours": round(sum(result["seconds"] for result in results) / 3600, 1),
        "faults": sum(kinds.values()),
        "faults_by_kind": dict(kinds.most_common()),
        "boundaries": len({boundary for boundary, _ in wanted}),
        "pairs": len(wanted),
        "pairs_covered": len(wanted & pairs),
        "pairs_missing": missing,
        "ends": dict(ends.most_common()),
        "exits": dict(exits.most_common()),
        "violations": {invariant: broken.get(invariant, 0) for invariant in INVARIANTS},
        "examples": {invariant: found[:20] for invariant, found in sorted(seeds.items())},
    }


def show(summary: dict[str, Any]) -> None:
    """Print the summary; the last three lines say it all."""
    for title in ("faults_by_kind", "ends", "exits"):
        print(f"{title.replace('_', ' ')}: " + ", ".join(f"{key} {count}" for key, count in summary[title].items()))
    for invariant, found in summary["examples"].items():
        for how, text in found:
            print(f"{invariant} broken: {text}; python benchmarks/faults.py {how}")
    if 0 < summary["pairs"] - summary["pairs_covered"] <= LISTED:
        for boundary, kinds in summary["pairs_missing"].items():
            print(f"never struck: {boundary}: {', '.join(kinds)}")
    print(
        f"{summary['schedules']} schedules ({summary['simulated_hours']} h simulated) in {summary['seconds']} s, "
        f"{summary['faults']} faults"
    )
    print(
        f"coverage: {summary['pairs_covered']} of {summary['pairs']} pairs of boundary and fault "
        f"({summary['boundaries']} boundaries)"
    )
    broken = sum(summary["violations"].values())
    print(f"violations: {broken} (" + " ".join(f"{key}:{count}" for key, count in summary["violations"].items()) + ")")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--http", action="store_true", help="over HTTP, with the real client and the sandbox's server")
    parser.add_argument("--stride", type=int, default=1, help="between two seeds; a sample of all pairs needs > 1")
    parser.add_argument("--only", nargs="+", metavar="SHAPE", help="seeds of shapes that begin like this, no others")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after this time, with what was played by then")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--complete", action="store_true", help="then play each pair that did not occur, alone")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one schedule and tell its story")
    parser.add_argument("--replay-pair", nargs=2, metavar=("BOUNDARY", "KIND"), help="the same of one pair, alone")
    options = parser.parse_args()
    if options.replay is not None:
        return replay(schedule_of(options.replay))
    if options.replay_pair:
        return replay(plan_plain(next(pair for pair in _plan().pairs if pair[1:] == tuple(options.replay_pair))))
    started = time.monotonic()
    first = options.seed * BLOCK
    seeds: Iterable[int] = count(first, options.stride)
    if options.only:
        seeds = (seed for seed in seeds if is_only(seed, options.only))
    seeds = islice(seeds, options.schedules)
    _KIND[0] = "http" if options.http else "lean"
    _plan()  # before the fork: the workers inherit it
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        results = []
        for result in pool.imap_unordered(play, seeds, chunksize=5):
            results.append(result)
            if options.seconds and time.monotonic() - started > options.seconds:
                pool.terminate()
                break
        if options.complete:
            struck = {tuple(hit) for result in results for hit in result["faults"]}
            left = [pair for pair in _plan().pairs if pair[1:] not in struck]
            results += pool.imap_unordered(play_pair, left, chunksize=5)
    summary = summarise(sorted(results, key=lambda result: str(result["replay"])), time.monotonic() - started)
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        show(summary)
    return 1 if any(summary["violations"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
