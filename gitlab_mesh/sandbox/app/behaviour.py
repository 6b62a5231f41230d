"""What an image does: a table of values from tag to behaviour, and nothing else decides.

The sandbox's user overrides entries (``SandboxSpec.behaviours``); a test that swaps two tags' behaviours must see
the outcomes swap.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

__all__ = ["BEHAVIOURS", "GOOD", "Behaviour", "Image", "find_behaviour", "parse_image"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one release behaves; every request draws its own luck.

    Attributes:
        error_ratio: Share of requests answered with 500.
        median_seconds: Median of the log-normal service time.
        sigma: Standard deviation of the service time's logarithm; 0.35 puts p99 at 2.3 medians.
        tail_ratio: Share of requests that take ``tail_seconds`` longer.
        tail_seconds: See ``tail_ratio``.
        cold_seconds: After its start the process is cold for this long.
        cold_error_ratio: Errors while cold, instead of ``error_ratio``.
        cold_latency_factor: Service times are multiplied by this while cold.
        error_growth: Error ratio added per minute of the process' age (a leak).
        latency_growth: Medians added per minute of the process' age (a leak).
        ready: False: the process runs and listens, but its readiness probe always fails.
        exits_on_start: Exit status with which it ends instead of listening; None: it listens.
        dies_after_requests: It ends, requests in flight included, when it has got that many; None: never.
        dies_after_seconds: The same by age.
        limit_per_second: More requests than this (token bucket of one second) are answered with 429; None: no limit.
    """

    error_ratio: float = 0.0
    median_seconds: float = 0.003
    sigma: float = 0.35
    tail_ratio: float = 0.0
    tail_seconds: float = 0.0
    cold_seconds: float = 0.0
    cold_error_ratio: float = 0.0
    cold_latency_factor: float = 1.0
    error_growth: float = 0.0
    latency_growth: float = 0.0
    ready: bool = True
    exits_on_start: int | None = None
    dies_after_requests: int | None = None
    dies_after_seconds: float | None = None
    limit_per_second: float | None = None

    def is_error(self, luck: random.Random, age_seconds: float) -> bool:
        """Draw whether a request that arrives at this age of the process fails."""
        if age_seconds < self.cold_seconds:
            ratio = self.cold_error_ratio
        else:
            ratio = self.error_ratio + self.error_growth * age_seconds / 60
        return ratio > 0 and luck.random() < ratio

    def service_seconds(self, luck: random.Random, age_seconds: float) -> float:
        """Draw the service time of a request that arrives at this age of the process."""
        seconds = self.median_seconds * (1 + self.latency_growth * age_seconds / 60)
        seconds *= math.exp(self.sigma * luck.gauss(0, 1))
        if age_seconds < self.cold_seconds:
            seconds *= self.cold_latency_factor
        if self.tail_ratio and luck.random() < self.tail_ratio:
            seconds += self.tail_seconds
        return seconds

    def to_json(self) -> str:
        """Return it as text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(**json.loads(text))


GOOD = Behaviour()

BEHAVIOURS: Mapping[str, Behaviour] = {
    "good": GOOD,
    "bad": replace(GOOD, error_ratio=0.05),
    "errors-2": replace(GOOD, error_ratio=0.02),
    "slow": replace(GOOD, median_seconds=0.015),
    "slow-tail": replace(GOOD, tail_ratio=0.05, tail_seconds=0.25),
    "cold-start": replace(GOOD, cold_seconds=30, cold_error_ratio=0.1, cold_latency_factor=2),
    "leak": replace(GOOD, error_growth=0.1, latency_growth=4),
    "crash": replace(GOOD, exits_on_start=1),
    "never-ready": replace(GOOD, ready=False),
    "dies": replace(GOOD, dies_after_requests=100),
    "limited": replace(GOOD, limit_per_second=5),
}
"""Tag to behaviour. Besides these, a tag that is a version (``1.5.0``) is good; others do not exist."""

_VERSION = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_REFERENCE = re.compile(
    r"(?P<repository>[a-z0-9][\w.-]*(:\d+)?(/[a-z0-9][\w.-]*)*?)(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:\w{64}))?"
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image reference, taken apart as the OCI distribution specification does."""

    repository: str
    tag: str

    @property
    def digest(self) -> str:
        """``sha256:…`` of the sandbox's registry: the same reference always has the same one."""
        return "sha256:" + hashlib.sha256(f"{self.repository}:{self.tag}".encode()).hexdigest()

    @property
    def image_id(self) -> str:
        """``imageID`` of a container status."""
        return f"{self.repository}@{self.digest}"


def parse_image(reference: str) -> Image | None:
    """Take an image reference apart (tag ``latest`` if it has none); None if it is not one."""
    match = _REFERENCE.fullmatch(reference)
    return Image(match["repository"], match["tag"] or "latest") if match else None


def find_behaviour(tag: str, overrides: Mapping[str, Behaviour]) -> Behaviour | None:
    """Return what an image with this tag does; None: the registry has no such tag."""
    if tag in overrides:
        return overrides[tag]
    if tag in BEHAVIOURS:
        return BEHAVIOURS[tag]
    return GOOD if _VERSION.fullmatch(tag) else None
