"""Can the oracles fail? Every deliberate defect of tests/simulation/mutants.py must be found by the same schedules.

    python benchmarks/mutants.py [--schedules 2000] [--seed 1] [--only TEXT …] [--json]

Prints, for each defect, after how many schedules which broken promise was found. Exit code 1 if one was not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import faults  # noqa: E402

from gitlab_mesh.testing.simulation.run import run_schedule  # noqa: E402
from tests.simulation.mutants import MUTANTS  # noqa: E402

STRIDE = 131
"""Between two seeds: consecutive ones are about neighbouring boundaries."""


def hunt(number: int, schedules: int, seed: int) -> dict[str, Any]:
    """Play schedules with one defect until a promise that it breaks is found broken."""
    mutant = MUTANTS[number]
    started = time.monotonic()
    others: dict[str, int] = {}
    for count in range(1, schedules + 1):
        schedule = faults.schedule_of(seed * faults.BLOCK + count * STRIDE)
        with mutant.applied():
            outcome = run_schedule(schedule)
        broken = {violation.invariant for violation in outcome.violations}
        for invariant in broken:
            others[invariant] = others.get(invariant, 0) + 1
        hit = [str(violation) for violation in outcome.violations if violation.invariant in mutant.breaks]
        if hit:
            return {
                "mutant": mutant.name,
                "breaks": mutant.breaks,
                "found_after": count,
                "violation": hit[0],
                "seconds": round(time.monotonic() - started, 1),
            }
    return {"mutant": mutant.name, "breaks": mutant.breaks, "found_after": None, "violation": str(others)}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[""], help="only defects whose name contains one of these")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    faults.schedule_of(1)  # the catalogue of boundaries is that of the sound product
    chosen = [number for number, mutant in enumerate(MUTANTS) if any(text in mutant.name for text in options.only)]
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        jobs = [pool.apply_async(hunt, (number, options.schedules, options.seed)) for number in chosen]
        results = []
        for job in jobs:
            results.append(result := job.get())
            if not options.json:
                after = f"after {result['found_after']}" if result["found_after"] else "NOT FOUND"
                breaks = "/".join(result["breaks"])
                print(f"{after:>12}  {breaks:6}  {result['mutant']}: {result['violation'][:110]}", flush=True)
    missed = [result for result in results if result["found_after"] is None]
    if options.json:
        print(json.dumps(results, indent=1))
        return 1 if missed else 0
    print(f"{len(results) - len(missed)} of {len(results)} defects found within {options.schedules} schedules each")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
