"""Source ``istio-proxy``: each proxy's own counters, read through the Kubernetes API.

GET ``:15020/stats/prometheus`` of a pod is the page that Istio's agent offers to Prometheus (its own metrics and
Envoy's, https://istio.io/latest/docs/ops/integrations/prometheus/). Read so, no Prometheus and no network to the
pods is needed, and the age of a number is milliseconds instead of a scrape interval. Envoy's histograms lag by up to
one flush (5 s); its counters do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from gitlab_mesh.adapters.metrics.plugin import SourceContext, choose_reporter
from gitlab_mesh.config.model import GatewayPods, MetricsConfig
from gitlab_mesh.core.metrics.counts import PodSample, Side, SideTarget, Snapshot
from gitlab_mesh.core.metrics.exposition import MAX_BYTES, ExpositionError, parse_exposition
from gitlab_mesh.core.metrics.istio import METRIC_NAMES, IstioCounts, read_istio
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConfigError,
    GitlabMeshError,
    NoDataError,
    ObjectMissingError,
    TransientError,
    UsageError,
)

__all__ = ["PATH", "PORT", "TELEMETRY_HINT", "IstioProxySource"]

PORT = 15020
PATH = "/stats/prometheus"
_WORKERS = 8
_PATIENCE = 1.5
"""One reading of all pods may take this many times the timeout of one pod; whoever is late is named."""

TELEMETRY_HINT = (
    "send the service a request; if the metric stays away, switch Istio's telemetry on with a resource Telemetry "
    "(telemetry.istio.io) in the root namespace: spec: {metrics: [{providers: [{name: prometheus}]}]}"
)


@dataclass(frozen=True, slots=True)
class _Pod:
    """One pod to read, and the sides that its page can tell about."""

    namespace: str
    name: str
    targets: tuple[SideTarget, ...]


@dataclass(frozen=True, slots=True)
class _Page:
    """What one pod said and when it was asked."""

    pod: _Pod
    time_seconds: float
    counts: IstioCounts


class IstioProxySource:
    """Reads the pods of both sides (reporter destination), or the gateway's pods (reporter source).

    Args:
        config: ``metrics`` of the service.
        context: Pod proxy, pod list and clock.

    Raises:
        ConfigError: The reporter needs a gateway, or there are queries, which only Prometheus can answer.
    """

    def __init__(self, config: MetricsConfig, context: SourceContext) -> None:
        self._reporter = choose_reporter(config, needs_gateway=True)
        self._gateway = config.gateway if self._reporter == "source" else None
        self._timeout = config.timeout
        self._context = context
        # One clock for all samples: wall time of the start plus monotonic time, so that it never jumps.
        self._offset = context.clock.now().timestamp() - context.clock.monotonic()
        if config.queries:
            names = ", ".join(query.name for query in config.queries)
            raise ConfigError(
                f"metrics.queries ({names}) cannot be read by the source istio-proxy",
                why="a proxy's page knows no PromQL",
                hint="use metrics: {source: prometheus, address: https://…}",
            )

    def check(self, targets: Sequence[SideTarget]) -> None:
        """Prove that stable's counts can be read.

        Raises:
            AccessDeniedError: The right to get pods/proxy is missing.
            ObjectMissingError: There is no pod to read.
            TransientError: No pod answers on port 15020.
            NoDataError: The pages have no request counter (telemetry off, or no request yet).
            UsageError: They have one, with labels that fit nobody.
        """
        if not targets:
            return
        pods = self._find_pods(targets)
        if not pods:
            raise ObjectMissingError(f"metrics: there is no pod to read ({self._describe_where()})")
        pages, problems = self._read_pages(pods)
        if not pages:
            raise _all_failed(problems)
        if any(Side.STABLE in page.counts.seen for page in pages):
            return
        stable = next((target for target in targets if target.side is Side.STABLE), None)
        if stable is not None:
            raise _explain_absence(stable, self._reporter, pages)

    def read(self, targets: Sequence[SideTarget]) -> Snapshot:
        """Read all pods once, side by side.

        A pod that is gone (404) is no problem by itself; one that does not answer, or whose page cannot be read, is
        named in ``problems``.

        Raises:
            AccessDeniedError: The right was taken away.
            TransientError: No pod answered.
        """
        started = self._now()
        pods = self._find_pods(targets)
        if not pods:
            return Snapshot(problems=(f"no pod to read ({self._describe_where()})",), time_seconds=started)
        pages, problems = self._read_pages(pods)
        if not pages and problems:
            raise _all_failed(problems)
        samples = tuple(
            PodSample(page.pod.name, side, page.time_seconds, counts)
            for page in pages
            for side, counts in page.counts.sides.items()
        )
        if not pages:
            problems = ("every pod that was listed is gone",)
        unplaced = {page.pod.name: page.counts.unplaced for page in pages if page.counts.unplaced.requests}
        return Snapshot(samples, (), problems, started, unplaced)

    def _now(self) -> float:
        return self._offset + self._context.clock.monotonic()

    def _find_pods(self, targets: Sequence[SideTarget]) -> list[_Pod]:
        if self._gateway is None:
            return [_Pod(target.namespace, pod, (target,)) for target in targets for pod in target.pods]
        names = self._context.list_pods(self._gateway.namespace, self._gateway.selector)
        return [_Pod(self._gateway.namespace, name, tuple(targets)) for name in names]

    def _describe_where(self) -> str:
        if self._gateway is None:
            return "the workloads have no pods"
        return f"namespace {self._gateway.namespace}, selector {self._gateway.selector}"

    def _read_pages(self, pods: Sequence[_Pod]) -> tuple[list[_Page], tuple[str, ...]]:
        """Read pods concurrently; return the pages in order, and what went wrong with the others."""
        pool = ThreadPoolExecutor(min(_WORKERS, len(pods)), thread_name_prefix="istio-proxy")
        try:
            futures = [pool.submit(self._read_page, pod) for pod in pods]
            wait(futures, timeout=_PATIENCE * self._timeout)
            results = [self._collect(pod, future) for pod, future in zip(pods, futures, strict=True)]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return (
            [result for result in results if isinstance(result, _Page)],
            tuple(result for result in results if isinstance(result, str)),
        )

    def _collect(self, pod: _Pod, future: Future[_Page]) -> _Page | str | None:
        if not future.done():
            return f"pod {pod.name}: not read within {_PATIENCE * self._timeout:g} s"
        try:
            return future.result()
        except ObjectMissingError:
            return None
        except AccessDeniedError as error:
            raise _explain_denial(pod, error, self._gateway) from error
        except GitlabMeshError as error:
            return f"pod {pod.name}: {error.what}" + (f" ({error.why})" if error.why else "")

    def _read_page(self, pod: _Pod) -> _Page:
        asked = self._now()
        answer = self._context.pod_proxy.get_path(pod.namespace, pod.name, PORT, PATH, timeout=self._timeout)
        if answer.status != 200:
            raise TransientError(f"GET :{PORT}{PATH} answered {answer.status}")
        if len(answer.body) > MAX_BYTES:
            raise ExpositionError(f"its metrics page has {len(answer.body)} bytes; at most {MAX_BYTES} are read")
        try:
            text = answer.body.decode()
        except UnicodeDecodeError as error:
            raise ExpositionError("its metrics page is not UTF-8", why=str(error)) from error
        samples = parse_exposition(text, names=METRIC_NAMES)
        return _Page(pod, asked, read_istio(samples, reporter=self._reporter, targets=pod.targets))


def _all_failed(problems: Sequence[str]) -> TransientError:
    return TransientError(
        f"metrics: none of {len(problems)} pods could be read",
        why="; ".join(problems[:3]) + ("; …" if len(problems) > 3 else ""),
        hint=f"see that the pods have Istio's sidecar: its agent answers on port {PORT}",
    )


def _explain_denial(pod: _Pod, error: AccessDeniedError, gateway: GatewayPods | None) -> AccessDeniedError:
    of = "the gateway's pods" if gateway else "the service's pods"
    return AccessDeniedError(
        f"metrics: pod {pod.namespace}/{pod.name} may not be read: {error.what}",
        why=f"the source istio-proxy gets {PATH} of {of} through the Kubernetes API",
        hint=f"grant in namespace {pod.namespace}: {{apiGroups: [''], resources: [pods/proxy], verbs: [get]}}; "
        "or use metrics.source: prometheus",
    )


def _explain_absence(stable: SideTarget, reporter: str, pages: Sequence[_Page]) -> GitlabMeshError:
    reporters = frozenset().union(*(page.counts.reporters for page in pages))
    workloads = frozenset().union(*(page.counts.workloads for page in pages))
    hosts = frozenset().union(*(page.counts.hosts for page in pages))
    if not reporters:
        return NoDataError(
            f"metrics: {len(pages)} pods answer, but none has istio_requests_total",
            why="there was no request since their proxies started, or Istio's telemetry is off",
            hint=TELEMETRY_HINT,
        )
    wanted = f"{stable.namespace}/{stable.workload}"
    if reporter not in reporters or wanted in workloads:
        return UsageError(
            f"metrics: no istio_requests_total fits workload {wanted}, host {stable.service_host}, reporter {reporter}",
            why=f"seen: workloads {_shown(workloads)}; hosts {_shown(hosts)}; reporters {_shown(reporters)}",
            hint="compare these with the service's host and workload in mesh.yaml, or set metrics.reporter",
        )
    return NoDataError(
        f"metrics: no request to workload {wanted} was counted yet (reporter {reporter})",
        why=f"seen: workloads {_shown(workloads)}; hosts {_shown(hosts)}",
        hint="send the service a request through its route; or correct workload.name in mesh.yaml",
    )


def _shown(values: frozenset[str]) -> str:
    ordered = sorted(value or "(none)" for value in values)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
