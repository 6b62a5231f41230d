"""Our judge and weight schedule behind the interface of the canary simulator: ``judge_plugin:make``.

    PYTHONPATH=benchmarks python simulate.py --scenarios public.json --plugin judge_plugin:make --runs 300 --check

The simulator gives cumulative counters (Prometheus style); this file turns them into looks as ``core.metrics`` does
for real sources, and plays the rollout machine: promote gate, deadline, budget schedule.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from gitlab_mesh.core.judge.judge import Judge
from gitlab_mesh.core.judge.model import Look, VerdictKind
from gitlab_mesh.core.judge.schedule import BudgetSchedule, first_weight
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Counts, Histogram

RESET_QUIET_SECONDS = 120.0


class Counter:
    """One side's cumulative counters; a falling one is a restart."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.resets = 0

    def since(self, now: dict[str, Any]) -> Counts:
        last = self.last
        reset = last is not None and (now["requests"] < last["requests"] or now["errors"] < last["errors"])
        self.resets += reset
        old = last if last is not None and not reset else None
        bounds = tuple(inf if le == "+Inf" else float(le) / 1000.0 for le in now["latency_buckets"])
        counts, before = [], 0
        for le, count in now["latency_buckets"].items():
            new = count - (old["latency_buckets"][le] if old else 0)
            counts.append(max(new - before, 0))
            before = new
        self.last = now
        return Counts(
            requests=now["requests"] - (old["requests"] if old else 0),
            errors={"5xx": now["errors"] - (old["errors"] if old else 0)},
            latency=Histogram(bounds, tuple(counts)),
        )


class Plugin:
    """One release."""

    def __init__(self, config: dict[str, Any]) -> None:
        policy = config.get("policy", {})
        self.look_s = float(config["look_s"])
        settings = JudgeSettings()
        if "warmup_s" in policy:
            settings = replace(settings, startup_seconds=float(policy["warmup_s"]))
        if "bake_s" in policy:
            settings = replace(settings, bake_seconds=float(policy["bake_s"]))
        self.settings = settings
        dwell = 120.0 if settings.bake_seconds >= 300 else 30.0
        self.schedule = BudgetSchedule(dwell_seconds=dwell, look_seconds=self.look_s)
        self.deadline = float(config["max_duration_s"])
        self.judge = Judge(settings, look_seconds=self.look_s)
        self.sides = {"stable": Counter(), "canary": Counter()}
        self.weight = first_weight(float(config["initial_rps"]), settings, self.schedule)
        self.changed = 0.0
        self.top_since = inf
        self.reset_at = -inf
        self.needs_requests: float | None = None
        self.watch_s = float(policy.get("watch_s", 0.0))
        self.watching = False
        self.wide_at = inf

    def observe(self, t: float, snapshot: dict[str, Any]) -> str:
        resets = self.sides["canary"].resets
        counts = {side: counter.since(snapshot[side]) for side, counter in self.sides.items()}
        if self.sides["canary"].resets > resets:
            self.reset_at = t
        first = t <= 0.0
        look = Look(t, counts["stable"], counts["canary"], 0.0 if first else self.weight)
        judgement = self.judge.look(look)
        if first:
            return "continue"
        forecast = judgement.forecast
        self.needs_requests = float(forecast.requests) if forecast else 0.0
        if judgement.rejected:
            return "rollback"
        share = next(verdict for verdict in judgement.verdicts if verdict.metric == "share")
        if share.kind is VerdictKind.ERROR or t >= self.deadline:
            return "inconclusive"
        if self.weight >= self.schedule.most - 1e-9:
            self.top_since = min(self.top_since, t)
        else:
            self.top_since = inf
        settled = t - self.top_since >= self.schedule.dwell_seconds and t - self.reset_at >= RESET_QUIET_SECONDS
        if judgement.promote_gate.open and settled and not self.watching:
            if not self.watch_s:
                return "promote"
            self.watching, self.weight, self.changed, self.wide_at = True, 1.0 - self.schedule.control, t, t
            return "continue"
        if self.watching:
            return self.watch(t, judgement.promote_gate.open)
        weight = self.schedule.next_weight(
            self.weight,
            self.judge.standing,
            self.settings,
            elapsed=t,
            since_change=t - self.changed,
            needed=float(forecast.requests) if forecast else None,
        )
        if weight != self.weight:
            self.weight, self.changed = weight, t
        return "continue"

    def watch(self, t: float, may_promote: bool) -> str:
        """Holdback: nearly all users have the release, stable's rest is the control."""
        if may_promote and t >= self.watch_s and self.weight >= 1.0 - self.schedule.control - 1e-9:
            return "promote"
        weight = self.schedule.watch_weight(
            self.weight, self.judge.standing, self.settings, elapsed=t, since_change=t - self.changed
        )
        if weight != self.weight:
            self.weight, self.changed = weight, t
        return "continue"


def make(config: dict[str, Any]) -> Plugin:
    """Return a fresh rule for one release."""
    return Plugin(config)
