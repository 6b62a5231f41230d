"""The contract of a metric source plug-in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gitlab_mesh.config.model import MetricsConfig
from gitlab_mesh.errors import ConfigError
from gitlab_mesh.ports import Clock, MetricSource, PodProxy

__all__ = ["SOURCE_API", "MetricSourcePlugin", "SourceContext", "choose_reporter"]

SOURCE_API = 1
"""Raised when the contract changes; checked when a plug-in is loaded."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may use of the outside.

    Attributes:
        clock: Time.
        pod_proxy: HTTP to pods through the Kubernetes API.
        list_pods: Names of the pods of a namespace that a label selector finds.
        env: The process's environment, for secrets.
    """

    clock: Clock
    pod_proxy: PodProxy
    list_pods: Callable[[str, str], Sequence[str]]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MetricSourcePlugin:
    """One source: what ``metrics.source`` names.

    Attributes:
        name: The word in ``mesh.yaml``.
        summary: One line for ``config schema`` and error messages.
        build: Makes the source; raises ConfigError where the configuration lacks what it needs. No I/O.
        api: Must equal ``SOURCE_API``.
    """

    name: str
    summary: str
    build: Callable[[MetricsConfig, SourceContext], MetricSource]
    api: int = SOURCE_API


def choose_reporter(config: MetricsConfig, *, needs_gateway: bool) -> str:
    """Return whose counts to read: "source" or "destination".

    ``auto`` is the source where a gateway is configured: it also sees requests that never reached the canary.

    Raises:
        ConfigError: ``reporter: source`` without ``gateway``, for a source that must know the pods.
    """
    if config.reporter == "auto":
        return "source" if config.gateway else "destination"
    if config.reporter == "source" and config.gateway is None and needs_gateway:
        raise ConfigError(
            "metrics.reporter: source needs metrics.gateway",
            why="the source's counts are read from the gateway's pods, and nobody said which these are",
            hint="add metrics.gateway: {namespace: istio-system, selector: istio=ingressgateway}",
        )
    return config.reporter
