"""How true are the quantiles? A server with a known law and a stall, beside hey and wrk.

The server answers after a log-normal time (median 20 ms) and stands still for 1 s of each 20 s. The truth is what
requests that are due evenly at the chosen rate see under this law alone. The server's own lateness (it is Python, on
the same machine) counts against us, so the distance shown is an upper bound of the generator's error.

Usage: python benchmarks/load_accuracy.py [--rates 500,2000,3000] [--seconds 40] [--repeats 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
MEDIAN, SIGMA, STALL, EVERY = 0.020, 0.35, 1.0, 20.0


def service_seconds(luck: random.Random) -> float:
    return MEDIAN * math.exp(SIGMA * luck.gauss(0, 1))


def stalled_until(moment: float) -> float:
    phase = moment % EVERY
    return moment + (EVERY - phase) if phase > EVERY - STALL else moment


class Answering(asyncio.Protocol):
    """Answers each request when its drawn time is over, or when the stall ends."""

    def __init__(self, luck: random.Random, start: float, loop: asyncio.AbstractEventLoop) -> None:
        self.luck, self.start, self.loop = luck, start, loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            done = self.loop.time() - self.start + service_seconds(self.luck)
            self.loop.call_at(self.start + max(done, stalled_until(done)), self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():  # type: ignore[attr-defined]
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")  # type: ignore[attr-defined]


async def serve() -> None:
    loop = asyncio.get_running_loop()
    luck, start = random.Random(1), loop.time()
    server = await loop.create_server(lambda: Answering(luck, start, loop), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], start, flush=True)
    await server.serve_forever()


def truth(rate: float, first: float, seconds: float) -> dict[str, float]:
    """Quantiles for requests due at ``first + n / rate`` (server's clock) under the law alone."""
    luck, times = random.Random(2), []
    for number in range(int(rate * seconds)):
        due = first + number / rate
        done = due + service_seconds(luck)
        times.append(max(done, stalled_until(done)) - due)
    times.sort()
    return {name: times[min(len(times) - 1, math.ceil(share * len(times)) - 1)] for name, share in QUANTILES.items()}


def run_ours(port: int, rate: float, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        argv = ["job", "load-check", "--target", f"http://127.0.0.1:{port}/", "--rate", str(rate)]
        argv += ["--duration", f"{seconds}s", "--format", "json", "--output", directory]
        command = ["/usr/bin/env", "python3", "-c", _MEASURED, sys.executable, "-m", "gitlab_mesh", *argv]
        done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
        found = json.loads(done.stdout)
        raw = (Path(directory) / "load.json").stat().st_size
    memory = int(done.stderr.rsplit("maxrss_kb=", 1)[1])
    generator = found["generator"]
    return {
        **{name: found["latency_seconds"][name] for name in QUANTILES},
        "rate": found["achieved_rate"], "lag": generator["lag_p99_seconds"], "cpu": generator["cpu_ratio"],
        "limited": float(bool(generator["limits"])), "megabytes": memory / 1024, "raw_kb": raw / 1024,
    }  # fmt: skip


_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(f"maxrss_kb={resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}", file=sys.stderr)
sys.exit(code)
"""


def run_hey(port: int, rate: float, seconds: float) -> dict[str, float]:
    workers = 100
    argv = ["hey", "-z", f"{seconds}s", "-c", str(workers), "-q", str(rate / workers), f"http://127.0.0.1:{port}/"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = {f"p{share}": float(value) for share, value in re.findall(r"(\d+)% in ([\d.]+) secs", text)}
    rate_found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return {**found, "rate": float(rate_found[1]) if rate_found else math.nan}


def run_wrk(port: int, rate: float, seconds: float) -> dict[str, float]:
    script = 'done = function(s, l, r) for _, p in ipairs({50, 90, 99, 99.9}) do print("q", p, l:percentile(p)) end end'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        argv = ["wrk", "-t1", "-c100", f"-d{seconds:.0f}s", "-s", file.name, f"http://127.0.0.1:{port}/"]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    names = {"50": "p50", "90": "p90", "99": "p99", "99.9": "p999"}
    found = {names[share]: float(value) / 1e6 for share, value in re.findall(r"q\s+([\d.]+)\s+([\d.]+)", text)}
    rate_found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return {**found, "rate": float(rate_found[1]) if rate_found else math.nan}


def show(name: str, runs: list[dict[str, float]], wanted: dict[str, float]) -> float:
    middle = {key: statistics.median(run.get(key, math.nan) for run in runs) for key in runs[0]}
    off = {key: middle.get(key, math.nan) / wanted[key] - 1 for key in QUANTILES}
    shown = "  ".join(f"{key} {middle.get(key, math.nan) * 1e3:8.1f} ms ({off[key]:+7.1%})" for key in QUANTILES)
    rest = "  ".join(f"{key} {middle[key]:.4g}" for key in middle if key not in QUANTILES and key in runs[0])
    print(f"  {name:6} {shown}  {rest}")
    return max(abs(value) for value in off.values() if not math.isnan(value))


def measure(rate: float, seconds: float, repeats: int) -> float:
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "hey": [], "wrk": []}
    tools = {
        "ours": run_ours,
        **{name: tool for name, tool in (("hey", run_hey), ("wrk", run_wrk)) if shutil.which(name)},
    }
    for _ in range(repeats):
        for name, tool in tools.items():
            server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
            try:
                assert server.stdout
                port, _ = server.stdout.readline().split()
                runs[name].append(tool(int(port), rate, seconds))
            finally:
                server.kill()
                server.wait()
    wanted = truth(rate, 0.5, seconds)
    print(f"{rate:g} requests/s, {seconds:g} s, median of {repeats}:")
    print("  truth  " + "  ".join(f"{key} {value * 1e3:8.1f} ms           " for key, value in wanted.items()))
    worst = show("ours", runs["ours"], wanted)
    for name in ("hey", "wrk"):
        if runs[name]:
            show(name, runs[name], wanted)
        else:
            print(f"  {name:6} not installed here")
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rates", default="500,2000,3000")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    began, worst = time.monotonic(), {}
    for rate in (float(text) for text in options.rates.split(",")):
        worst[rate] = measure(rate, options.seconds, options.repeats)
    missed = [f"{rate:g}/s off by {off:.1%}" for rate, off in worst.items() if rate <= 2000 and off > 0.05]
    print(f"{'missed: ' + ', '.join(missed) if missed else 'within 5 % of truth'} ({time.monotonic() - began:.0f} s)")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
