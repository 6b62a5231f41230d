"""Traffic of the model: requests split by the route that the proxies know, counted per pod."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from gitlab_mesh.core.metrics.counts import Histogram, Side
from gitlab_mesh.testing.metrics import ScriptedMetrics
from gitlab_mesh.testing.shop_pods import ModelPod, PodsModel
from gitlab_mesh.testing.shop_routes import RouteView

__all__ = ["BOUNDS", "TrafficModel"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)


@dataclass
class TrafficModel:
    """Requests of one service.

    Attributes:
        workloads: The pods.
        metrics: Where each pod's proxy counts.
        draw: Randomness.
        lag: Seconds until the proxies follow a changed route.
        latency: Whether latencies are drawn.
        bypass: Part of the requests whose callers do not follow the route: they reach any ready pod of the Service.
        failed: Requests answered with an error, by side.
        served: Requests that reached a pod, by side.
        lost: Requests that found no ready pod.
        losses: When, for which side and how many were lost.
        last_canary: Time of the last request that the route led to the canary (lost ones included, but for those
            that found no Service).
        last_common: Time of the last request that the route led to the Service of both sides.
    """

    workloads: PodsModel
    metrics: ScriptedMetrics
    draw: random.Random
    lag: float = 0.0
    latency: bool = True
    bypass: float = 0.0
    failed: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    served: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    lost: int = 0
    losses: list[tuple[float, Side | None, int]] = field(default_factory=list)
    last_canary: float = -math.inf
    last_common: float = -math.inf
    _known: RouteView | None = RouteView(0.0)
    _target: RouteView | None = RouteView(0.0)
    _follows_at: float = -math.inf
    _carry: float = 0.0

    def serve(self, rate: float, start: float, end: float, view: RouteView | None) -> None:
        """Serve the requests from ``start`` to ``end``, during which the written routes said this.

        Args:
            rate: Requests a second.
            start: On the simulated clock.
            end: On the simulated clock.
            view: Of the live routes; None: no route leads to the service.
        """
        if view != self._target:
            self._target, self._follows_at = view, start + self.lag
        if self._known != self._target:
            switch = min(max(self._follows_at, start), end)
            self._serve(rate * (switch - start), switch, self._known)
            start = switch
            if switch >= self._follows_at:
                self._known = self._target
        self._serve(rate * (end - start), end, self._known)

    @property
    def share(self) -> float:
        """Canary's share that the proxies follow now."""
        return self._known.canary if self._known is not None else 0.0

    def _serve(self, amount: float, end: float, view: RouteView | None) -> None:
        self._carry += amount
        requests, self._carry = int(self._carry), self._carry % 1
        if not requests:
            return
        beside = self._draw(requests, self.bypass)
        requests -= beside
        if view is None:
            self._lose(end, None, requests)
            self._serve_both(end, beside)
            return
        common = self._draw(requests, view.common)
        self._serve_both(end, beside + common)
        if common:
            self.last_common = end
        requests -= common
        canary = self._draw(requests, view.canary / (1.0 - view.common) if view.common < 1.0 else 0.0)
        for side, count in ((Side.STABLE, requests - canary), (Side.CANARY, canary)):
            if not count:
                continue
            if side is Side.CANARY and side not in view.gone:
                self.last_canary = end
            pods = self.workloads.ready(side) if side not in view.gone else []
            if not pods:
                self._lose(end, side, count)
            self._serve_pods(pods, count)

    def _serve_both(self, end: float, count: int) -> None:
        """Serve requests to the Service of both sides."""
        if not count:
            return
        pods = [*self.workloads.ready(Side.STABLE), *self.workloads.ready(Side.CANARY)]
        if not pods and not self.bypass:
            self._lose(end, Side.STABLE, count)
        self.draw.shuffle(pods)
        self._serve_pods(pods, count)

    def _serve_pods(self, pods: list[ModelPod], count: int) -> None:
        for number, pod in enumerate(pods):
            self._serve_pod(pod, count // len(pods) + (number < count % len(pods)))

    def _lose(self, time: float, side: Side | None, count: int) -> None:
        self.lost += count
        self.losses.append((time, side, count))

    def _serve_pod(self, pod: ModelPod, count: int) -> None:
        behaviour = self.workloads.behaviour(pod.image)
        errors = self._draw(count, behaviour.error_ratio)
        self.served[pod.side] += count
        self.failed[pod.side] += errors
        histogram = self._latencies(count, behaviour.latency_seconds) if self.latency else None
        self.metrics.serve(pod.side, pod.name, count, errors={"5xx": errors} if errors else {}, latency=histogram)

    def _latencies(self, count: int, median: float) -> Histogram:
        counts, left, below = [], count, 0.0
        for bound in BOUNDS:
            until = 1.0 if bound == math.inf else _log_normal_cdf(bound, median)
            part = self._draw(left, (until - below) / (1 - below) if below < 1 else 1.0)
            counts.append(part)
            left, below = left - part, until
        return Histogram(BOUNDS, tuple(counts))

    def _draw(self, count: int, ratio: float) -> int:
        """Draw from a binomial: exactly for small counts, by its normal approximation for large ones."""
        if count <= 0 or ratio <= 0:
            return 0
        if ratio >= 1:
            return count
        mean = count * ratio
        if min(mean, count - mean) < 20:
            return sum(self.draw.random() < ratio for _ in range(count)) if count < 500 else self._poisson(mean, count)
        return min(count, max(0, round(self.draw.gauss(mean, math.sqrt(mean * (1 - ratio))))))

    def _poisson(self, mean: float, most: int) -> int:
        """Draw a rare event of many: the Poisson law, by the gaps between events."""
        if mean * 2 > most:
            return most - self._poisson(most - mean, most)
        events, total = 0, self.draw.expovariate(1.0)
        while total < mean and events < most:
            events, total = events + 1, total + self.draw.expovariate(1.0)
        return events


def _log_normal_cdf(value: float, median: float, sigma: float = 0.4) -> float:
    return 0.5 * math.erfc(-math.log(value / median) / (sigma * math.sqrt(2)))
