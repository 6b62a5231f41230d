"""What machines read: the summary on stdout, GitLab's load performance report and its metrics report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gitlab_mesh.core.judge.model import Verdict
from gitlab_mesh.core.load.result import QUANTILES, KindResult, LoadResult, describe_latency

__all__ = ["render_files", "render_load_performance", "render_metrics", "summarise"]


def summarise(result: LoadResult, verdicts: Sequence[Verdict], *, outcome: str, exit_code: int) -> dict[str, Any]:
    """Return what ``--format json`` prints: times in seconds, ratios 0–1."""
    total = result.total
    return {
        "target": result.target,
        "outcome": outcome,
        "exit_code": exit_code,
        "requests": total.requests,
        "errors": total.failed,
        "error_ratio": total.failed / total.requests if total.requests else 0.0,
        "errors_by_class": dict(total.errors),
        "latency_seconds": describe_latency(total.latency),
        "planned_rate": result.planned_rate,
        "achieved_rate": result.achieved_rate,
        "duration_seconds": result.duration_seconds,
        "checks": {name: {"passed": pair[0], "failed": pair[1]} for name, pair in total.checks.items()},
        "kinds": {name: _describe_kind(kind) for name, kind in result.kinds.items()},
        "answers": {name: {"requests": one.requests, "errors": one.errors} for name, one in result.answers.items()},
        "generator": {
            "limits": list(result.limits),
            "late_sends": result.late_sends,
            "queued_sends": result.queued_sends,
            "lag_p99_seconds": result.lag.quantile(0.99),
            "cpu_ratio": result.cpu_ratio,
        },
        "interrupted": result.interrupted,
        "verdicts": [
            {
                "name": verdict.metric,
                "verdict": verdict.kind.value,
                "limit": verdict.stable,
                "measured": verdict.canary,
                "unit": verdict.unit,
                "reason": verdict.reason,
            }
            for verdict in verdicts
        ],
    }


def _describe_kind(kind: KindResult) -> dict[str, Any]:
    return {
        "requests": kind.requests,
        "errors": kind.failed,
        "latency_seconds": describe_latency(kind.latency),
        "checks": {name: {"passed": pair[0], "failed": pair[1]} for name, pair in kind.checks.items()},
    }


def render_files(result: LoadResult) -> dict[str, str]:
    """Return the files about what was measured, by name: the raw one, and GitLab's two reports."""
    return {
        "load.json": json.dumps(result.to_json(), separators=(",", ":")) + "\n",
        "load-performance.json": render_load_performance(result),
        "metrics.txt": render_metrics(result),
    }


def render_load_performance(result: LoadResult) -> str:
    """Render the keys of k6's ``--summary-export`` that GitLab reads (``artifacts:reports:load_performance``).

    ``http_req_waiting`` is time to the first byte in k6, milliseconds; ours is the whole answer, from the intended
    send on. Without checks of the user's own, every request is one: it came back without an error.
    """
    total = result.total
    passed = sum(pair[0] for pair in total.checks.values())
    failed = sum(pair[1] for pair in total.checks.values())
    if not total.checks:
        passed, failed = total.requests - total.failed, total.failed
    milliseconds = {f"p({share * 100:g})": total.latency.quantile(share) * 1000 for share in (0.9, 0.95, 0.99)}
    waiting = {"avg": total.latency.mean_seconds * 1000, "med": total.latency.quantile(0.5) * 1000, **milliseconds}
    metrics = {
        "http_reqs": {"count": total.requests, "rate": result.achieved_rate},
        "http_req_waiting": {**waiting, "max": total.latency.maximum_seconds * 1000},
        "checks": {"passes": passed, "fails": failed, "value": passed / (passed + failed) if passed + failed else 0.0},
    }
    return json.dumps({"metrics": metrics}, indent=2) + "\n"


def render_metrics(result: LoadResult) -> str:
    """Render OpenMetrics text for ``artifacts:reports:metrics``: one value a line, compared with the target branch."""
    lines = [_line("load_requests_per_second", {}, result.achieved_rate)]
    for name, kind in result.kinds.items():
        about = {"request": name}
        lines.append(_line("load_error_ratio", about, kind.failed / kind.requests if kind.requests else 0.0))
        for label, share in QUANTILES.items():
            lines.append(_line("load_latency_seconds", {**about, "quantile": label}, kind.latency.quantile(share)))
        checked = sum(sum(pair) for pair in kind.checks.values())
        if checked:
            passed = sum(pair[0] for pair in kind.checks.values())
            lines.append(_line("load_checks_ratio", about, passed / checked))
    return "\n".join([*lines, "# EOF", ""])


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in labels.items())
    return f"{name}{{{said}}} {value:.6g}" if said else f"{name} {value:.6g}"
