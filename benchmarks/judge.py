"""Our judge beside Flagger, Argo Rollouts, Kayenta and the reference rule, on the same simulated releases.

    python benchmarks/judge.py --simulator simulate.py table --runs 40 --svg judge.svg
    python benchmarks/judge.py --simulator simulate.py good --releases 30600 --out good.jsonl
    python benchmarks/judge.py --simulator simulate.py holdback --runs 200
    python benchmarks/judge.py --simulator simulate.py edge --runs 400
    python benchmarks/judge.py look

``simulate.py`` is the canary simulator (numpy only) with the peers' rules; ours is plugged in by ``judge_plugin``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import judge_plugin  # noqa: E402

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
BEYOND_MARGIN_S = 352.0
"""When the leak passes the promotion margin (1.2 × 0.1 % + 0.5 %): 0.1 % + 0.01 % × 52 s."""


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
        print(
            f"{total} good releases: {bad} rolled back ({100 * bad / total:.4f} %, upper 95 % end "
            f"{100 * upper95(bad, total):.4f} %), {100 * promoted / total:.2f} % promoted, {time.time() - started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulator")
    parser.add_argument("what")
    parser.add_argument("--releases", type=int, default=30600)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    run_good(load_simulator(options.simulator), options.releases, options.batch, options.seed, options.out)
