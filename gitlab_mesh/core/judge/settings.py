"""The judge's settings: every number with its unit and the reason of its default."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.fields import setting
from gitlab_mesh.core.judge.model import Importance

__all__ = ["JudgeSettings", "UserMetric"]


@dataclass(frozen=True, slots=True)
class UserMetric:
    """A metric of the user's own, read by PromQL."""

    name: str = setting(help="Name of the metric in the log and the note.", unit="text")
    query: str = setting(help="PromQL; {{ side }}, {{ workload }}, {{ namespace }} are filled in.", unit="text")
    kind: str = setting("gauge", help="What the query yields.", choices=("rate", "ratio", "gauge"))
    better: str = setting("lower", help="Which direction is good.", choices=("lower", "higher"))
    tolerance: float = setting(0.1, help="Relative difference to stable that is still fine.", unit="ratio", minimum=0)
    limit: float | None = setting(None, help="Absolute limit that the canary must keep, whatever stable does.")
    importance: Importance = setting(
        Importance.NORMAL,
        help="What a breach does.",
        choices=tuple(Importance),
        why="critical also needs data",
    )


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How the judge decides; the defaults are for production, the demo shortens some and says so."""

    mode: str = setting(
        "enforce", choices=("enforce", "dry-run"),
        help="dry-run only reports: weights move by time, and the note says what the judge would have done. Pods that "
        "do not run, a route that is not followed and the deadline still take the release back.",
        why="to see for some releases what it would do before it may do it",
    )  # fmt: skip
    false_rollback: float = setting(
        0.01, help="Promised rate of good releases rolled back, over the whole release.", unit="ratio",
        minimum=1e-6, maximum=0.2, why="a false alarm in a hundred is what a team forgives",
    )  # fmt: skip
    false_promotion: float = setting(
        0.05,
        help="Promised rate of releases beyond the margin promoted.",
        unit="ratio",
        minimum=1e-6,
        maximum=0.2,
    )
    bake_seconds: float = setting(
        600.0, key="bake", help="Shortest time between the first user and the promotion.", unit="duration",
        minimum=0, maximum=86400, why="leaks and caches show after minutes, whatever the counts say",
    )  # fmt: skip
    min_requests: int = setting(
        20, help="Fewest canary requests at a step before the weight may rise.", unit="count", minimum=1
    )
    error_margin_ratio: float = setting(
        1.2, help="Canary errors up to this multiple of stable's may be promoted.", minimum=1, maximum=10
    )
    error_margin: float = setting(0.005, help="… plus this absolute ratio.", unit="ratio", minimum=0, maximum=1)
    latency_margin: float = setting(
        0.10, help="A canary up to this much slower, relative, may be promoted.", unit="ratio",
        minimum=0, maximum=10,
    )  # fmt: skip
    max_error_ratio: float | None = setting(
        None,
        help="Absolute budget of errors (SLO); None: only the comparison.",
        unit="ratio",
        minimum=0.000001,
        maximum=0.99,
    )
    slow_seconds: float | None = setting(
        None,
        key="slow",
        help="A request slower than this counts like an error (rounded up to a bucket bound of the histogram).",
        unit="duration",
        minimum=0,
    )
    bad_request_budget: float = setting(
        20.0, help="Bad requests that one reaction time may cost; the first weight follows from it.", unit="count",
        minimum=1,
    )  # fmt: skip
    startup_seconds: float = setting(
        30.0, key="startup", help="Cold start that is forgiven: until then only an outage rejects.", unit="duration",
        minimum=0, maximum=3600, why="caches, JIT and connection pools warm up; the first weight is chosen so low "
        "that the wait costs no more than bad_request_budget",
    )  # fmt: skip
    startup_error_ratio: float = setting(
        0.35, help="Errors up to this ratio may be a cold start; more is an outage and rejects at once.", unit="ratio",
        minimum=0.01, maximum=0.95,
    )  # fmt: skip
    guard_seconds: float = setting(
        15.0, key="guard", help="A breach needs evidence from looks that span this long (latency: twice).",
        unit="duration", minimum=0, maximum=600, why="a pod that pauses once is no bad release",
    )  # fmt: skip
    reaction_seconds: float = setting(
        15.0, key="reaction", help="Time from a failure to weight 0, for the budget of bad requests.", unit="duration",
        minimum=0.1, maximum=600,
    )  # fmt: skip
    error_tolerance_ratio: float = setting(
        1.1, help="Canary errors up to this multiple of stable's are never held against it.", minimum=1, maximum=10
    )
    error_tolerance: float = setting(0.0001, help="… plus this absolute ratio.", unit="ratio", minimum=0, maximum=1)
    latency_tolerance: float = setting(
        0.05, help="A canary up to this much slower is never held against it.", unit="ratio", minimum=0, maximum=10
    )
    share_band: float = setting(
        1.33, help="The canary's share may differ from its weight by this factor.", minimum=1.01, maximum=10
    )
    max_restarts: int = setting(
        1, help="Restarts of canary containers before the release is rejected.", unit="count", minimum=0
    )
