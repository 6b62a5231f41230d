"""Source ``prometheus``: Istio's cumulative counters with the samples' own times, and the user's PromQL.

Every reading begins with ``time()``: the server's own clock, which also stamps the samples. All further queries are
evaluated at that moment, so that they see the same scrapes, and ages are differences of one clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from gitlab_mesh.adapters.metrics.plugin import SourceContext, choose_reporter
from gitlab_mesh.adapters.metrics.prometheus_api import PrometheusApi, QueryError
from gitlab_mesh.adapters.metrics.prometheus_check import explain_absence, explain_bad_query
from gitlab_mesh.adapters.metrics.prometheus_series import (
    POD_LABELS,
    Owner,
    group_by_owner,
    parse_matrix,
    parse_value,
)
from gitlab_mesh.config.model import MetricsConfig
from gitlab_mesh.core.judge.model import Importance
from gitlab_mesh.core.judge.settings import UserMetric
from gitlab_mesh.core.metrics.counts import Counts, PodSample, Side, SideTarget, Snapshot, UserSample
from gitlab_mesh.core.metrics.exposition import ExpositionError
from gitlab_mesh.core.metrics.istio import read_istio
from gitlab_mesh.core.metrics.promql import (
    is_per_side,
    render_counts_query,
    render_range,
    render_up_query,
    render_user_query,
)
from gitlab_mesh.errors import NoDataError, TransientError, UsageError

__all__ = ["PrometheusSource"]


class PrometheusSource:
    """Reads counts of both sides, and the user's metrics, from one Prometheus.

    Args:
        config: ``metrics`` of the service.
        context: Its environment holds the token and the CA (see ``PrometheusApi``).

    Raises:
        ConfigError: There is no usable address.
    """

    def __init__(self, config: MetricsConfig, context: SourceContext) -> None:
        self._api = PrometheusApi(config.address, context.env)
        self._reporter = choose_reporter(config, needs_gateway=False)
        # The gateway's requests are told from other callers' by Istio's own label, whatever the scrape adds.
        from_gateway = config.gateway is not None and self._reporter == "source"
        self._source_namespace = config.gateway.namespace if config.gateway and from_gateway else ""
        self._timeout = config.timeout
        self._max_age = config.max_age
        self._queries = config.queries

    def check(self, targets: Sequence[SideTarget]) -> None:
        """Prove that stable's counts, and the user's metrics, can be read.

        Raises:
            AccessDeniedError: The token is missing or may not query.
            TransientError: Prometheus cannot be reached.
            NoDataError: It does not know the metric, or has no fresh sample of stable.
            UsageError: Labels do not fit, pods are there twice, or a query is wrong.
        """
        deadline = time.monotonic() + self._timeout
        now = self._read_time(deadline)
        stable = next((target for target in targets if target.side is Side.STABLE), None)
        if stable is None:
            return
        owners, problems = self._read_owners(targets, now, deadline)
        duplicate = next((owner for owner in owners if owner.duplicate), None)
        if duplicate is not None:
            raise UsageError(
                f"Prometheus {self._api.shown} has pod {duplicate.name} more than once ({duplicate.duplicate})",
                why="every request would count as often",
                hint="query through a deduplicating layer (Thanos, Mimir), or scrape each proxy by one job",
            )
        samples, more, _ = self._make_samples(owners, targets)
        if not any(sample.side is Side.STABLE and sample.counts.requests for sample in samples):
            if problems or more:
                raise NoDataError(f"Prometheus {self._api.shown}: {(problems + more)[0]}")
            raise explain_absence(self._api, stable, self._reporter, self._max_age, now, deadline)
        for query in self._queries:
            self._check_query(query, stable, now, deadline)

    def read(self, targets: Sequence[SideTarget]) -> Snapshot:
        """Read once.

        Raises:
            AccessDeniedError: The token was taken away.
            TransientError: Prometheus cannot be reached, or refuses the query for the counts.
        """
        deadline = time.monotonic() + self._timeout
        now = self._read_time(deadline)
        owners, problems = self._read_owners(targets, now, deadline)
        samples, more, unplaced = self._make_samples(owners, targets)
        if self._reporter == "destination":
            samples += self._read_idle_pods(owners, targets, now, deadline)
        if not samples and not problems and not more:
            more = [f"Prometheus has no request counter of these workloads younger than {self._max_age:g} s"]
        user, unread = self._read_user(targets, now, deadline)
        return Snapshot(tuple(samples), tuple(user), (*problems, *more, *unread), now, unplaced)

    def _read_time(self, deadline: float) -> float:
        answer = self._api.query("time()", deadline=deadline)
        values, _ = parse_value(answer.result_type, answer.result)
        if len(values) != 1:
            raise TransientError(f"Prometheus {self._api.shown} does not tell its time")
        return values[0][1]

    def _read_owners(self, targets: Sequence[SideTarget], now: float, deadline: float) -> tuple[list[Owner], list[str]]:
        promql = render_counts_query(
            targets,
            reporter=self._reporter,
            window_seconds=self._max_age,
            source_namespace=self._source_namespace,
        )
        answer = self._api.query(promql, at=now, deadline=deadline)
        owners, problems = group_by_owner(parse_matrix(answer.result))
        return owners, [*(f"Prometheus warns: {warning}" for warning in answer.warnings), *problems]

    def _make_samples(
        self, owners: Sequence[Owner], targets: Sequence[SideTarget]
    ) -> tuple[list[PodSample], list[str], dict[str, Counts]]:
        samples = []
        problems = []
        unplaced = {}
        for owner in owners:
            if owner.duplicate:
                problems.append(f"pod {owner.name} is there more than once ({owner.duplicate}); it is not counted")
                continue
            try:
                counts = read_istio(owner.samples, reporter=self._reporter, targets=targets)
            except ExpositionError as error:
                problems.append(f"pod {owner.name}: {error.what}")
                continue
            # A caller that can report one side reports both; a pod that serves is of one side only.
            sides = counts.sides if self._reporter == "source" and counts.seen else counts.seen
            name = f"{owner.namespace}/{owner.name}" if self._reporter == "source" else owner.name
            samples += [PodSample(name, side, owner.time_seconds, counts.sides[side]) for side in sorted(sides)]
            if counts.unplaced.requests:
                unplaced[name] = counts.unplaced
        return samples, problems, unplaced

    def _read_idle_pods(
        self, owners: Sequence[Owner], targets: Sequence[SideTarget], now: float, deadline: float
    ) -> list[PodSample]:
        """Give pods that are scraped and have not served anything yet their zero.

        A proxy shows no request counter before its first request. That its page was read all the same is known from
        ``up`` of the job that scrapes the proxies (known from the other pods).
        """
        known = {owner.name for owner in owners}
        idle = {pod: target.side for target in targets for pod in target.pods if pod not in known}
        labels = {label for owner in owners for sample in owner.samples for label in sample.labels}
        pod_label = next((label for label in POD_LABELS if label in labels), "")
        jobs = {job for owner in owners for job in owner.jobs}
        if not idle or not pod_label:
            return []
        promql = render_up_query(idle, pod_label=pod_label, window_seconds=self._max_age)
        try:
            series = parse_matrix(self._api.query(promql, at=now, deadline=deadline).result)
        except QueryError:
            return []  # no zero is no harm: the pod counts from its first sample on
        return [
            PodSample(pod, idle[pod], one.time_seconds, Counts())
            for one in series
            if (pod := one.labels.get(pod_label, "")) in idle and one.value == 1 and one.labels.get("job") in jobs
        ]

    def _read_user(
        self, targets: Sequence[SideTarget], now: float, deadline: float
    ) -> tuple[list[UserSample], list[str]]:
        samples = []
        problems = []
        for query in self._queries:
            for side, target in _choose_sides(query, targets):
                try:
                    moment, value = self._read_one(query, target, now, deadline)
                    samples.append(UserSample(query.name, side, value, moment))
                except (TransientError, UsageError, NoDataError) as error:
                    problems.append(f"metric {query.name}" + (f" ({side})" if side else "") + f": {error.what}")
        return samples, problems

    def _read_one(self, query: UserMetric, target: SideTarget, now: float, deadline: float) -> tuple[float, float]:
        # An instant vector looks back five minutes by default, and hides how old its sample is.
        answer = self._api.query(
            render_user_query(query.query, target),
            at=now,
            deadline=deadline,
            parameters={"lookback_delta": render_range(self._max_age)},
        )
        values, labels = parse_value(answer.result_type, answer.result)
        if answer.warnings:
            raise TransientError(f"Prometheus warns: {'; '.join(answer.warnings)}")
        if not values:
            raise NoDataError("the query found no series")
        if len(values) > 1:
            raise UsageError(
                f"the query found {len(values)} series, exactly one is needed: {labels}",
                hint="aggregate: sum(…), max(…), or choose one by its labels",
            )
        return values[0]

    def _check_query(self, query: UserMetric, stable: SideTarget, now: float, deadline: float) -> None:
        try:
            self._read_one(query, stable, now, deadline)
        except QueryError as error:
            raise explain_bad_query(query, error) from error
        except UsageError as error:
            raise UsageError(f"metric {query.name}: {error.what}", why=error.why, hint=error.hint) from error
        except NoDataError as error:
            if query.importance is Importance.CRITICAL:
                raise NoDataError(
                    f"metric {query.name}: {error.what}",
                    why=f"it is critical, so without data nothing can be promoted; the query: {query.query}",
                    hint="see that the metric exists and its labels fit, or set importance: normal",
                ) from error


def _choose_sides(query: UserMetric, targets: Sequence[SideTarget]) -> list[tuple[Side | None, SideTarget]]:
    if is_per_side(query.query):
        return [(target.side, target) for target in targets]
    return [(None, target) for target in targets[:1]]
