"""Real kills: the CLI as a process in the sandbox under load, SIGKILL at every write and at random times.

    python benchmarks/kills.py [--random 100] [--races 50] [--seed 1] [--only boundaries|random|races|restarts] [--json]

After each kill `job rollback` runs twice. Exit code 1 if anything was left over, a request of a user was lost, or
the VirtualService is not as before. Takes about 15 s a kill; --limit N plays the first N of each part.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.sandbox.kills.arena import Arena, Kill, Result  # noqa: E402

MOST_WRITES = 60


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=100)
    parser.add_argument("--races", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    started = time.monotonic()
    results: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory(prefix="gitlab-mesh-kills-") as directory:
        arena = Arena(Path(directory) / "sandbox")
        try:
            for part, play in _parts(arena, draw, options).items():
                if options.only in ("", part):
                    results[part] = []
                    for cycle in play:
                        results[part].append(result := cycle())
                        if result.findings or not options.json:
                            print(f"{part}: {result.boundary or result.kill} {result.exit_codes} "
                                  f"{result.seconds:.1f} s {'; '.join(result.findings)}", flush=True)  # fmt: skip
                        if part == "boundaries" and not result.boundary:
                            break  # the run had fewer writes
        finally:
            arena.close()
    if options.json:
        print(json.dumps({part: [asdict(result) for result in found] for part, found in results.items()}, indent=1))
    broken = sum(bool(result.findings) for found in results.values() for result in found)
    counts = ", ".join(
        f"{part} {len({r.boundary for r in found if r.boundary})} of {len(found)}" for part, found in results.items()
    )
    print(f"killed: {counts}; {broken} cycles with findings; {time.monotonic() - started:.0f} s, seed {options.seed}")
    return 1 if broken else 0


def _parts(arena: Arena, draw: random.Random, options: argparse.Namespace):  # type: ignore[no-untyped-def]
    limit = options.limit or 10**6
    points = [Kill(number, after) for number in range(1, MOST_WRITES) for after in (False, True)][:limit]
    times = [Kill(seconds=draw.uniform(0.5, 14.0)) for _ in range(min(options.random, limit))]
    writes = [draw.randrange(3, 26) for _ in range(min(options.races, limit))]
    both = lambda: (arena.restart_api(), arena.restart_envoy())  # noqa: E731
    restarts = [arena.restart_envoy, arena.restart_api, both]
    return {
        "boundaries": [lambda kill=kill: arena.cycle(kill) for kill in points],
        "random": [lambda kill=kill: arena.cycle(kill) for kill in times],
        "races": [lambda number=number: arena.race(number) for number in writes],
        "restarts": [
            *(lambda meanwhile=each: arena.cycle(Kill(14, True), meanwhile=meanwhile) for each in restarts),
            *(lambda during=each: arena.cycle(Kill(), during=during) for each in restarts),
        ][:limit],
    }


if __name__ == "__main__":
    sys.exit(main())
