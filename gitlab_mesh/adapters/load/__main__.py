"""``python -m gitlab_mesh.adapters.load``: one run in a process of its own; JSON lines on stdout.

Lines are ``{"event": "progress", …}`` (without histograms) and at the end one ``{"event": "final", …}``, also after
SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable

from gitlab_mesh.adapters.load.arrival import run_stamped
from gitlab_mesh.adapters.load.engine import LoadEngine
from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.errors import GitlabMeshError


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load", description="Open-loop HTTP load; prints JSON lines.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--duration", type=float, required=True, help="seconds of sending")
    parser.add_argument("--arrivals", choices=("constant", "poisson"), default="constant")
    parser.add_argument("--connections", type=int, default=100, help="most connections at once")
    parser.add_argument("--max-requests", type=int)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds from the intended send")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--body", default="")
    parser.add_argument("--origin-header", default="", help="header that the application itself sets")
    parser.add_argument("--allowed-host", action="append", default=[], help="host outside loopback that may be loaded")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between progress lines; 0: none")
    return parser.parse_args(arguments)


def _say(event: str, result: LoadResult) -> None:
    value = result.to_json()
    if event == "progress":
        for name in ("kinds", "lag", "slices", "width_seconds"):
            del value[name]
    sys.stdout.write(json.dumps({"event": event, **value}) + "\n")
    sys.stdout.flush()


async def _run(plan: LoadPlan, interval: float, arrived: Callable[[], float]) -> LoadResult:
    report = (lambda result: _say("progress", result)) if interval else None
    engine = LoadEngine(plan, report, interval or 1.0, arrived=arrived)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, engine.stop)
    return await engine.run()


def main(arguments: list[str] | None = None) -> int:
    """Run; return 0, or the exit code of an error of ours."""
    options = _parse(arguments)
    try:
        plan = LoadPlan(
            url=options.url,
            rate=options.rate,
            duration_seconds=options.duration,
            arrivals=options.arrivals,
            connections=options.connections,
            max_requests=options.max_requests,
            timeout_seconds=options.timeout,
            method=options.method,
            headers={name.strip(): value.strip() for name, _, value in (one.partition(":") for one in options.header)},
            body=options.body.encode(),
            origin_header=options.origin_header,
            allowed_hosts=tuple(options.allowed_host),
            seed=options.seed,
        )
        _say("final", run_stamped(lambda arrived: _run(plan, options.interval, arrived)))
    except GitlabMeshError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
