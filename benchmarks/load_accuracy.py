"""How true are the quantiles? A server with a known law and a stall, beside hey and wrk.

The server answers after a log-normal time (median 20 ms) and stands still for 1 s of each 20 s. Every request of ours
carries its number; the server logs when it came and when its answer left. Request n was due at origin + n / rate (the
origin is the earliest that fits all arrivals), so the truth is when its answer left minus when it was due: whatever
else the machine does slows the truth as well, and what differs is the generator's doing. hey and wrk carry no numbers;
they stand beside what the law alone gives users who arrive evenly.

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
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
MEDIAN, SIGMA, STALL, EVERY = 0.020, 0.35, 1.0, 20.0


MAX_ROWS = 100_000
"""Of a data file; each request has a row of its own here."""


def service_seconds(luck: random.Random) -> float:
    return MEDIAN * math.exp(SIGMA * luck.gauss(0, 1))


def stalled_until(moment: float) -> float:
    phase = moment % EVERY
    return moment + (EVERY - phase) if phase > EVERY - STALL else moment


class Answering(asyncio.Protocol):
    """Answers each request when its drawn time is over, or when the stall ends; logs number, arrival, leaving."""

    def __init__(
        self, luck: random.Random, start: float, loop: asyncio.AbstractEventLoop, log: list[tuple[int, float, float]]
    ) -> None:
        self.luck, self.start, self.loop, self.log = luck, start, loop, log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        number = data[5 : data.find(b" ", 5)]
        came = self.loop.time()
        done = came - self.start + service_seconds(self.luck)
        at = self.start + max(done, stalled_until(done))
        self.loop.call_at(at, self.answer, int(number) if number.isdigit() else -1, came)

    def answer(self, number: int, came: float) -> None:
        if not self.transport.is_closing():  # type: ignore[attr-defined]
            self.log.append((number, came, self.loop.time()))
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")  # type: ignore[attr-defined]


async def serve() -> None:
    """Serve until SIGTERM, then print the log."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    luck, start = random.Random(1), loop.time()
    log: list[tuple[int, float, float]] = []
    server = await loop.create_server(lambda: Answering(luck, start, loop, log), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    print(json.dumps(log), flush=True)


def logged_truth(log: list[tuple[int, float, float]], rate: float) -> dict[str, float]:
    """Quantiles of leaving minus due, from the server's log of numbered requests."""
    origin = min(came - number / rate for number, came, _ in log)
    return quantiles(sorted(left - origin - number / rate for number, _, left in log))


def quantiles(times: list[float]) -> dict[str, float]:
    return {name: times[min(len(times) - 1, math.ceil(share * len(times)) - 1)] for name, share in QUANTILES.items()}


def truth(rate: float, first: float, seconds: float) -> dict[str, float]:
    """Quantiles for requests due at ``first + n / rate`` (server's clock) under the law alone."""
    luck, times = random.Random(2), []
    for number in range(int(rate * seconds)):
        due = first + number / rate
        done = due + service_seconds(luck)
        times.append(max(done, stalled_until(done)) - due)
    return quantiles(sorted(times))


def run_ours(port: int, rate: float, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "numbers.csv").write_text("n\n" + "\n".join(map(str, range(int(rate * seconds)))) + "\n")
        (Path(directory) / "mesh.yaml").write_text(
            "version: 1\nservices:\n  shop:\n    namespace: shop\n    load:\n"
            f"      target: http://127.0.0.1:{port}/\n      rate: {rate}\n      duration: {seconds}s\n"
            '      requests: [{name: numbered, path: "/{{ n }}", data: numbers.csv}]\n'
        )
        argv = ["job", "load-check", "--format", "json", "--output", directory]
        command = ["/usr/bin/env", "python3", "-c", _MEASURED, sys.executable, "-m", "gitlab_mesh", *argv]
        done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
        if not done.stdout:
            sys.exit(done.stderr)
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


def show(name: str, runs: list[dict[str, float]], wanted: dict[str, float]) -> None:
    """Print the median of the runs, and how far it is from a truth (for ours: of each run's own truth)."""
    middle = {key: statistics.median(run.get(key, math.nan) for run in runs) for key in runs[0]}
    off = {key: middle.get(f"{key}_off", middle.get(key, math.nan) / wanted[key] - 1) for key in QUANTILES}
    shown = "  ".join(f"{key} {middle.get(key, math.nan) * 1e3:7.1f} ms ({off[key]:+6.1%})" for key in QUANTILES)
    rest = "  ".join(f"{key} {middle[key]:.4g}" for key in middle if key.split("_")[0] not in QUANTILES)
    print(f"  {name:6} {shown}  {rest}", flush=True)


def measure(rate: float, seconds: float, repeats: int) -> float:
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "hey": [], "wrk": []}
    others = {name: tool for name, tool in (("hey", run_hey), ("wrk", run_wrk)) if shutil.which(name)}
    for _ in range(repeats):
        for name, tool in {"ours": run_ours, **others}.items():
            server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
            assert server.stdout
            run = tool(int(server.stdout.readline()), rate, seconds)
            server.terminate()
            log = json.loads(server.communicate()[0])
            if name == "ours":
                real = logged_truth(log, rate)
                run |= {f"{key}_off": run[key] / real[key] - 1 for key in QUANTILES}
            runs[name].append(run)
    wanted = truth(rate, 0.5, seconds)
    print(f"{rate:g} requests/s, {seconds:g} s, median of {repeats}; ours against the server's log:")
    print("  law    " + "  ".join(f"{key} {value * 1e3:7.1f} ms         " for key, value in wanted.items()))
    for name, found in runs.items():
        if found:
            show(name, found, wanted)
        else:
            print(f"  {name:6} not installed here")
    return max(abs(statistics.median(run[f"{key}_off"] for run in runs["ours"])) for key in QUANTILES)


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
        worst[rate] = measure(rate, min(options.seconds, MAX_ROWS // rate), options.repeats)
    missed = [f"{rate:g}/s off by {off:.1%}" for rate, off in worst.items() if rate <= 2000 and off > 0.05]
    print(f"{'missed: ' + ', '.join(missed) if missed else 'within 5 % of truth'} ({time.monotonic() - began:.0f} s)")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
