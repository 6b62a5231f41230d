"""Our judge beside Flagger, Argo Rollouts, Kayenta and the reference rule, on the same simulated releases.

    python benchmarks/judge.py table --simulator simulate.py --runs 40 --svg docs/judge.svg
    python benchmarks/judge.py good --simulator simulate.py --releases 30600 --out good.jsonl
    python benchmarks/judge.py holdback --simulator simulate.py --runs 200
    python benchmarks/judge.py edge --simulator simulate.py --runs 400
    python benchmarks/judge.py gate16 --simulator simulate.py --runs 300
    python benchmarks/judge.py look

``simulate.py`` is the canary simulator (numpy only) with the peers' rules; ours is plugged in by ``judge_plugin``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import judge_plugin

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Look, UserValue
from gitlab_mesh.core.judge.settings import JudgeSettings, UserMetric
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side

DEFAULTS: dict[str, Any] = {
    "look_s": 5,
    "max_duration_s": 3600,
    "fixed_weights": [[0, 0.05], [60, 0.1], [120, 0.25], [180, 0.5]],
}
PEERS = {"Flagger": "flagger", "Argo 1m": "argo1m", "Kayenta RT": "kayenta-rt", "reference": "seq"}
OURS = "gitlab-mesh"

CALM: dict[str, list[dict[str, Any]]] = {
    "steady": [],
    "diurnal": [{"type": "diurnal", "period_s": 1800, "amp": 0.9, "load_amp": 0.5}],
    "outage of both": [
        {"type": "burst_both", "start_s": [20, 400], "len_s": [30, 240], "p": 0.3, "latency_scale": 4.0}
    ],
    "bursty": [{"type": "shared_gamma", "shape": 0.1}],
    "jitter": [{"type": "latency_jitter", "sigma": 0.1}],
    "load step": [{"type": "load_step", "start_s": [100, 400], "factor": 5.0}],
}
EFFECTS: dict[str, dict[str, Any]] = {
    "outage": {"type": "error_abs", "add": 1.0},
    "+50 %": {"type": "error_abs", "add": 0.5},
    "+5 %": {"type": "error_abs", "add": 0.05},
    "+1 %": {"type": "error_abs", "add": 0.01},
    "×5": {"type": "error_ratio", "ratio": 5.0},
    "p99 +20 %": {"type": "latency_scale", "scale": 1.2},
    "+5 % at 5 min": {"type": "error_abs", "add": 0.05, "start_s": 300},
    "leak from 5 min": {"type": "leak", "start_s": 300, "per_s": 0.0001, "cap": 0.3},
}
LEAK = EFFECTS["leak from 5 min"]
LATE: list[tuple[str, dict[str, Any], float]] = [
    ("good", {"type": "none"}, 0.0),
    ("leak", LEAK, 352.0),
    ("onset", EFFECTS["+5 % at 5 min"], 300.0),
    ("slowing", {"type": "leak_latency", "start_s": 300, "per_s": 0.002, "cap": 2.0}, 350.0),
]
"""Name, effect, and when it is beyond the margin: 0.1 % + 0.01 % × 52 s = 1.2 × 0.1 % + 0.5 %; 50 s × 0.2 % = 10 %."""


def load_simulator(path: str) -> ModuleType:
    """Import the simulator from its file."""
    spec = importlib.util.spec_from_file_location("canary_simulator", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["canary_simulator"] = module
    spec.loader.exec_module(module)
    return module


def scenario(name: str, rps: float, p0: float, **more: Any) -> dict[str, Any]:
    """Build one scenario."""
    return {**DEFAULTS, "id": name, "rps": rps, "p0": p0, **more}


def ours(simulator: ModuleType) -> Any:
    """Our rule in the simulator's form."""
    return lambda sc, n: simulator.Plugin(sc, n, judge_plugin.make)


def upper95(hits: int, runs: int) -> float:
    """Clopper–Pearson upper 95 % end of a rate, by bisection on the binomial tail."""
    low, high = hits / max(runs, 1), 1.0
    for _ in range(60):
        middle = (low + high) / 2
        terms = (
            math.exp(
                math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
                + k * math.log(middle) + (runs - k) * math.log1p(-middle)
            )
            for k in range(hits + 1)
        )  # fmt: skip
        low, high = (middle, high) if sum(terms) > 0.05 else (low, middle)
    return high


def run_good(simulator: ModuleType, releases: int, batch: int, seed: int, out: str) -> None:
    """Count false rollbacks over good releases: 3 rates × 2 error levels × 6 kinds of weather."""
    cells = [(rps, p0, name) for rps in (50, 500, 5000) for p0 in (0.001, 0.01) for name in CALM]
    total = bad = promoted = 0
    started = time.time()
    round_number = 0
    while total < releases:
        for rps, p0, name in cells:
            sc = scenario(f"good-{rps}-{p0}-{name}", rps, p0, environment=CALM[name])
            result = simulator.run(sc, ours(simulator), batch, seed + round_number)
            rolled = int((result["verdict"] == simulator.ROLL).sum())
            total, bad = total + batch, bad + rolled
            promoted += int((result["verdict"] == simulator.PROM).sum())
            line = {"scenario": sc["id"], "round": round_number, "runs": batch, "rolled_back": rolled}
            if out:
                with Path(out).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        round_number += 1
        rate = f"{100 * bad / total:.4f} %, upper 95 % end {100 * upper95(bad, total):.4f} %"
        share = f"{100 * promoted / total:.2f} % promoted"
        print(f"{total} good releases: {bad} rolled back ({rate}), {share}, {time.time() - started:.0f} s", flush=True)


def run_table(simulator: ModuleType, runs: int, seed: int, rates: list[float], svg: str) -> None:
    """Print every system beside ours; optionally draw bad requests against time to promote."""
    rules = {OURS: ours(simulator), **{name: simulator.RULES[rule] for name, rule in PEERS.items()}}
    print("bad: % wrongly promoted · median s to rollback · median bad requests; good: % rolled back · s to promote")
    points: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in rules}
    for rps in rates:
        print(f"\n| {rps:g} requests/s | " + " | ".join(rules) + " |")
        print("|---" * (len(rules) + 1) + "|")
        cases = [(name, 0.001, {"effect": effect}) for name, effect in EFFECTS.items()]
        cases.append(("×2 on 1 %", 0.01, {"effect": {"type": "error_ratio", "ratio": 2.0}}))
        for name, p0, more in cases:
            cells = []
            for rule, make in rules.items():
                found = simulator.summarise(simulator.run(scenario(f"{name}-{rps}", rps, p0, **more), make, runs, seed))
                shown = (
                    f"{found['t_rollback_med']:.0f} s · {found['bad_rollback_med']:.0f}"
                    if found["rollback"]
                    else "never"
                )
                cells.append(f"{100 * found['promote']:.0f} · {shown}")
                points[rule][1].append(found["bad_all_mean"])
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        cold = {"effect": {"type": "cold_start", "len_s": 30, "p": 0.3, "latency_scale": 2.0}}
        weather = [(f"good, {name}", p0, {"environment": env}) for p0 in (0.001,) for name, env in CALM.items()]
        weather += [("good, 1 % base", 0.01, {}), ("good, cold start 30 s", 0.001, cold)]
        for name, p0, more in weather:
            cells = []
            for rule, make in rules.items():
                found = simulator.summarise(simulator.run(scenario(f"{name}-{rps}", rps, p0, **more), make, runs, seed))
                when = f"{found['t_promote_med']:.0f} s" if found["promote"] else "never"
                cells.append(f"{100 * found['rollback']:.1f} · {when}")
                points[rule][0].append(found["t_promote_med"] or simulator_end())
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    if svg:
        mean = {
            name: (statistics.median(times), math.exp(statistics.fmean(math.log(bad + 1.0) for bad in bads)))
            for name, (times, bads) in points.items()
        }
        Path(svg).write_text(draw(mean), encoding="utf-8")
        print(f"\n{svg}: " + ", ".join(f"{name} {t:.0f} s, {bad:.0f} bad requests" for name, (t, bad) in mean.items()))


def simulator_end() -> float:
    """Time that stands for "never promoted"."""
    return float(DEFAULTS["max_duration_s"])


def draw(points: dict[str, tuple[float, float]]) -> str:
    """Draw each system as a point: time to promote a good release, bad requests that a bad one costs (log scale)."""
    width, height, left, bottom = 640, 420, 70, 50
    most_t = 1.1 * max(t for t, _ in points.values())
    low, high = math.log(3.0), math.log(1.5 * max(bad for _, bad in points.values()))

    def x(t: float) -> float:
        return left + (width - left - 20) * t / most_t

    def y(bad: float) -> float:
        return height - bottom - (height - bottom - 30) * (math.log(bad) - low) / (high - low)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            'font-size="13" fill="currentColor" role="img">'
        ),
        "<title>Bad requests served by bad releases against time to promote good ones</title>",
        f'<path d="M{left} 20V{height - bottom}H{width - 10}" fill="none" stroke="currentColor"/>',
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">seconds to promote a good release</text>',
        (
            f'<text transform="translate(16 {height / 2}) rotate(-90)" text-anchor="middle">'
            "bad requests of a bad release (geometric mean, log)</text>"
        ),
    ]
    for bad in (3, 10, 30, 100, 300, 1000, 3000, 10000):
        if low <= math.log(bad) <= high:
            parts.append(f'<text x="{left - 8}" y="{y(bad) + 4:.0f}" text-anchor="end">{bad}</text>')
            parts.append(f'<path d="M{left} {y(bad):.1f}H{width - 10}" stroke="currentColor" stroke-opacity=".15"/>')
    ticks = range(0, int(most_t), 600)
    parts += [f'<text x="{x(t):.0f}" y="{height - bottom + 18}" text-anchor="middle">{t}</text>' for t in ticks]
    for name, (t, bad) in points.items():
        colour = "#2a9d5c" if name == OURS else "#8888aa"
        parts.append(f'<circle cx="{x(t):.1f}" cy="{y(bad):.1f}" r="6" fill="{colour}"/>')
        side, shift = ("end", -10) if x(t) > width - 120 else ("start", 10)
        parts.append(f'<text x="{x(t) + shift:.1f}" y="{y(bad) - 8:.1f}" text-anchor="{side}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def run_holdback(simulator: ModuleType, runs: int, seed: int) -> None:
    """95 % of the users after the promote gate, 5 % control until minute 10, beside the long bake."""
    for rps in (500, 5000):
        for name, effect, begun in LATE:
            for kind, policy in (("holdback", {"bake_s": 0, "watch_s": 600}), ("long bake", {})):
                objects: list[Any] = []

                def make(config: dict[str, Any], objects: list[Any] = objects) -> Any:
                    objects.append(judge_plugin.make(config))
                    return objects[-1]

                sc = scenario(f"holdback-{name}-{rps}", rps, 0.001, effect=effect, policy=policy)
                result = simulator.run(sc, lambda s, n, make=make: simulator.Plugin(s, n, make), runs, seed)
                found = simulator.summarise(result)
                wide = statistics.median(one.wide_at for one in objects)
                line = f"{rps:5} requests/s {name:6} {kind:10} rolled back {found['rollback']:.3f}"
                if effect["type"] == "none":
                    line += f", 95 % of the users after {wide:.0f} s" if kind == "holdback" else ""
                else:
                    late = result["t"][result["verdict"] == simulator.ROLL] - begun
                    line += f", {sum(late <= 60) / runs:.3f} within 60 s of being beyond the margin"
                    line += f", {sum(late <= 70) / runs:.3f} within 60 s and two looks"
                    line += (
                        f", bad requests median {found['bad_rollback_med']:.0f}, p95 {found['bad_rollback_p95']:.0f}"
                    )
                print(line, flush=True)


def run_edge(simulator: ModuleType, runs: int, seed: int) -> None:
    """Rollback at the edge of the tolerance and promotion at the edge of the margin, an hour of looks."""
    for rps, p0 in ((50, 0.01), (500, 0.001), (5000, 0.001)):
        for name, canary in (("tolerance", 1.1 * p0 + 0.0001), ("margin", 1.2 * p0 + 0.005)):
            sc = scenario(f"edge-{name}-{rps}", rps, p0, effect={"type": "error_abs", "add": canary - p0})

            def make(config: dict[str, Any], name: str = name) -> Any:
                plugin = judge_plugin.make(config)
                if name == "tolerance":
                    plugin.deadline, plugin.schedule = 3600.0, replace(plugin.schedule, dwell_seconds=1e9)
                return plugin

            result = simulator.run(sc, lambda s, n, make=make: simulator.Plugin(s, n, make), runs, seed)
            wrong = simulator.ROLL if name == "tolerance" else simulator.PROM
            hits = int((result["verdict"] == wrong).sum())
            what = "rolled back" if name == "tolerance" else "promoted"
            print(f"{rps:5} requests/s, base {p0:.1%}, canary {canary:.3%} ({name}): {hits} of {runs} {what}, "
                  f"upper 95 % end {upper95(hits, runs):.2%}", flush=True)  # fmt: skip


def run_gate16(simulator: ModuleType, runs: int, seed: int) -> None:
    """A doubling of 1 % errors at 50 requests/s: failed requests of the mean release, ours over Kayenta's."""
    sc = scenario("bad-x2-noisy-base", 50, 0.01, effect={"type": "error_ratio", "ratio": 2.0})
    mine, theirs = (
        simulator.summarise(simulator.run(sc, rule, runs, seed))
        for rule in (ours(simulator), simulator.RULES[PEERS["Kayenta RT"]])
    )
    ratio = mine["bad_all_mean"] / theirs["bad_all_mean"]
    print(f"twice 1 % at 50 requests/s, {runs} releases: median {mine['bad_rollback_med']:.0f} (95 %: "
          f"{mine['bad_rollback_p95']:.0f}) failed requests after {mine['t_rollback_med']:.0f} s; mean "
          f"{mine['bad_all_mean']:.1f}, Kayenta RT {theirs['bad_all_mean']:.1f}: {ratio:.2f} times")  # fmt: skip


def run_look() -> None:
    """Time one look: four metrics of the user's own, 20 buckets, all tests on."""
    bounds = (*(0.001 * 1.6**i for i in range(19)), math.inf)
    metrics = [UserMetric(f"metric{i}", "q") for i in range(4)]
    settings = replace(JudgeSettings(), max_error_ratio=0.02, slow_seconds=0.25)
    judge = Judge(settings, user_metrics=metrics)
    times = []
    for i in range(600):
        buckets = tuple(2000 // (1 + abs(j - 8)) + (i * j) % 7 for j in range(20))
        counts = Counts(sum(buckets), {"5xx": i % 4}, Histogram(bounds, buckets))
        user = tuple(
            UserValue(metric.name, side, 10.0 + (i * j) % 5) for j, metric in enumerate(metrics) for side in Side
        )
        look = Look(5.0 * (i + 1), counts, counts, 0.5, user=user)
        begun = time.thread_time()
        judge.look(look)
        times.append(time.thread_time() - begun)
    times.sort()
    size = len(json.dumps(judge.dump()))
    spent = f"median {1000 * times[300]:.2f} ms, p95 {1000 * times[570]:.2f} ms"
    print(f"one look, time of the processor: {spent}; saved state {size} bytes")


def main() -> int:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "good", "holdback", "edge", "gate16", "look"])
    parser.add_argument("--simulator", help="path of simulate.py")
    parser.add_argument("--runs", type=int, default=40, help="releases per cell")
    parser.add_argument("--rates", default="50,5000", help="requests per second of the table")
    parser.add_argument("--svg", default="", help="file for the picture of the table")
    parser.add_argument("--releases", type=int, default=30600, help="good releases in all")
    parser.add_argument("--batch", type=int, default=25, help="releases per cell and round")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--out", default="", help="file for the counts of each round, JSON lines")
    options = parser.parse_args()
    if options.what == "look":
        run_look()
        return 0
    if not options.simulator:
        parser.error("--simulator is needed")
    simulator = load_simulator(options.simulator)
    if options.what == "table":
        rates = [float(rate) for rate in options.rates.split(",")]
        run_table(simulator, options.runs, options.seed, rates, options.svg)
    elif options.what == "good":
        run_good(simulator, options.releases, options.batch, options.seed, options.out)
    elif options.what == "holdback":
        run_holdback(simulator, options.runs, options.seed)
    elif options.what == "gate16":
        run_gate16(simulator, options.runs, options.seed)
    else:
        run_edge(simulator, options.runs, options.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
