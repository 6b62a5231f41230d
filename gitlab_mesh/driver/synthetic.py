"""``traffic: synthetic``: requests of our own while a release runs, for a service that has too few."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread
from types import TracebackType
from typing import Self

from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.core.load.scenario import plan_scenario
from gitlab_mesh.core.report.formatting import format_count, format_value
from gitlab_mesh.errors import GitlabMeshError, UsageError
from gitlab_mesh.job import ServicePorts

__all__ = ["HEADER", "SyntheticTraffic", "plan_synthetic"]

HEADER = "x-gitlab-mesh-synthetic"
"""On each of these requests, with the service's name: logs and analytics can tell them from users."""

_STOP_SECONDS = 3.0


def plan_synthetic(ports: ServicePorts, max_rps: str | None = None) -> LoadPlan | None:
    """Work out what to send; None: the service has ``traffic: natural``.

    It is ``load`` of the service at its ``rate``, without stages and thresholds, for as long as a rollout may last.

    Raises:
        UsageError: There is no target, it is not allowed, or the rate is above the leash.
    """
    service = ports.service
    if service.traffic != "synthetic":
        return None
    config = service.load
    try:
        limits = [limit for limit in (config.max_rps, _parse_leash(max_rps)) if limit is not None]
        scenario = plan_scenario(
            replace(
                config,
                stages=(),
                thresholds=(),
                max_requests=None,
                duration=service.rollout.deadline,
                headers={**config.headers, HEADER: service.name},
                max_rps=min(limits) if limits else None,
            ),
            ports.files.read,
        )
    except UsageError as error:
        raise UsageError(
            f"traffic: synthetic of {service.name} cannot be sent: {error.what}", hint=error.hint
        ) from error
    return scenario.plan


def _parse_leash(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise UsageError(f"GITLAB_MESH_LOAD_MAX_RPS {text} is no number of requests per second") from None


class SyntheticTraffic:
    """Sends in the background between enter and exit; whatever happens to it, the release goes on without it.

    The thread is a daemon and is waited for only for a moment: it is never on the path of a rollback (S10). What the
    load lacks, the judge misses as data, and says so.
    """

    def __init__(self, ports: ServicePorts, plan: LoadPlan | None) -> None:
        self._ports = ports
        self._plan = plan
        self._over = Event()
        self._thread: Thread | None = None
        self._result: LoadResult | None = None
        self._problem = ""

    def __enter__(self) -> Self:
        if self._plan is not None:
            rate = format_value(self._plan.profile.mean_rate, "per_second")
            self._ports.console.line(f"synthetic traffic: {rate} to {self._plan.url} while the release runs")
            self._thread = Thread(target=self._send, args=(self._plan,), name="synthetic-traffic", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._over.set()
        self._thread.join(_STOP_SECONDS)
        text, tone = self._sum_up()
        self._ports.console.line(text, tone=tone)

    def _send(self, plan: LoadPlan) -> None:
        try:
            self._result = self._ports.load.run(plan, progress=self._keep, interrupted=lambda: int(self._over.is_set()))
        except GitlabMeshError as error:
            self._problem = error.what
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"

    def _keep(self, result: LoadResult) -> None:
        self._result = result

    def _sum_up(self) -> tuple[str, str]:
        """What became of it, and the tone."""
        if self._problem:
            return f"synthetic traffic failed: {self._problem}", "warn"
        result = self._result
        if result is None:
            return "synthetic traffic: nothing was sent", "warn"
        sent = f"synthetic traffic: {format_count(result.requests)} requests, {format_count(result.failed)} errors"
        if result.limits:
            return f"{sent}; {result.limits[0]}", "warn"
        return sent, "neutral"
