"""Istio's annotations: on which kinds they work, what they hold, whether they are deprecated or alpha."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from gitlab_mesh.core.analysis.rules.fields import is_cidr

__all__ = ["ANNOTATIONS", "Annotation"]


class Annotation(NamedTuple):
    """One annotation: kinds, check of its value ("" is fine), deprecated, alpha."""

    kinds: tuple[str, ...]
    check: Callable[[str], str] | None = None
    deprecated: bool = False
    alpha: bool = False


def _boolean(text: str) -> str:
    return "" if text.lower() in ("true", "false", "1", "0", "t", "f") else "it must be true or false"


def _integer(text: str) -> str:
    return "" if text.isdigit() else "it must be a whole number"


def _ports(text: str) -> str:
    words = [word for word in text.split(",") if word.strip()]
    if text.strip() in ("*", ""):
        return ""
    return (
        "" if all(word.strip().isdigit() and int(word) <= 65535 for word in words) else "it must be ports with commas"
    )


def _ranges(text: str) -> str:
    if text.strip() in ("*", ""):
        return ""
    return (
        ""
        if all(is_cidr(word.strip()) for word in text.split(",") if word.strip())
        else "it must be ranges (CIDR) with commas"
    )


def _mode(text: str) -> str:
    return "" if text in ("REDIRECT", "TPROXY", "NONE") else "it must be REDIRECT, TPROXY or NONE"


def _duration(text: str) -> str:
    return "" if re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text) else "it must be a duration such as 5s"


_POD, _ANY = ("Pod",), ("Any",)

ANNOTATIONS: dict[str, Annotation] = {
    "alpha.istio.io/identity": Annotation(("Pod",), deprecated=True, alpha=True),
    "alpha.istio.io/kubernetes-serviceaccounts": Annotation(("Service",), alpha=True),
    "alpha.istio.io/canonical-serviceaccounts": Annotation(("Service",), alpha=True),
    "ambient.istio.io/bypass-inbound-capture": Annotation(_POD, _boolean, alpha=True),
    "ambient.istio.io/dns-capture": Annotation(_POD, _boolean, alpha=True),
    "ambient.istio.io/redirection": Annotation(_POD, alpha=True),
    "ambient.istio.io/waypoint-inbound-binding": Annotation(("GatewayClass", "Gateway"), alpha=True),
    "galley.istio.io/analyze-suppress": Annotation(_ANY, alpha=True),
    "gateway.istio.io/controller-version": Annotation(_ANY, alpha=True),
    "gateway.istio.io/name-override": Annotation(("Gateway",), alpha=True),
    "gateway.istio.io/service-account": Annotation(("Gateway",), alpha=True),
    "gateway.istio.io/tls-terminate-mode": Annotation(("Gateway",), alpha=True),
    "inject.istio.io/templates": Annotation(_POD, alpha=True),
    "install.operator.istio.io/chart-owner": Annotation(_ANY, alpha=True),
    "install.operator.istio.io/owner-generation": Annotation(_ANY, alpha=True),
    "install.operator.istio.io/version": Annotation(_ANY, alpha=True),
    "internal.istio.io/parents": Annotation(_ANY, alpha=True),
    "istio.io/autoRegistrationGroup": Annotation(("WorkloadEntry",), alpha=True),
    "istio.io/connectedAt": Annotation(("WorkloadEntry",), alpha=True),
    "istio.io/disconnectedAt": Annotation(("WorkloadEntry",), alpha=True),
    "istio.io/workloadController": Annotation(("WorkloadEntry",), alpha=True),
    "istio.io/dry-run": Annotation(("AuthorizationPolicy",), _boolean, alpha=True),
    "istio.io/for-service-account": Annotation(("Secret",), alpha=True),
    "istio.io/reroute-virtual-interfaces": Annotation(_POD, alpha=True),
    "istio.io/rev": Annotation(_POD, alpha=True),
    "kubernetes.io/ingress.class": Annotation(("Ingress",)),
    "networking.istio.io/address-type": Annotation(("Gateway",), alpha=True),
    "networking.istio.io/exportTo": Annotation(("Service",), alpha=True),
    "networking.istio.io/service-type": Annotation(("Gateway",), alpha=True),
    "networking.istio.io/traffic-distribution": Annotation(("Service", "Namespace", "ServiceEntry"), alpha=True),
    "prometheus.istio.io/merge-metrics": Annotation(_POD, _boolean, alpha=True),
    "proxy.istio.io/config": Annotation(_POD),
    "proxy.istio.io/overrides": Annotation(_POD, alpha=True),
    "readiness.status.sidecar.istio.io/applicationPorts": Annotation(_POD, _ports, alpha=True),
    "readiness.status.sidecar.istio.io/failureThreshold": Annotation(_POD, _integer, alpha=True),
    "readiness.status.sidecar.istio.io/initialDelaySeconds": Annotation(_POD, _integer, alpha=True),
    "readiness.status.sidecar.istio.io/periodSeconds": Annotation(_POD, _integer, alpha=True),
    "sidecar.istio.io/agentLogLevel": Annotation(_POD, alpha=True),
    "sidecar.istio.io/bootstrapOverride": Annotation(_POD, alpha=True),
    "sidecar.istio.io/componentLogLevel": Annotation(_POD, alpha=True),
    "sidecar.istio.io/controlPlaneAuthPolicy": Annotation(_POD, deprecated=True, alpha=True),
    "sidecar.istio.io/discoveryAddress": Annotation(_POD, deprecated=True, alpha=True),
    "sidecar.istio.io/enableCoreDump": Annotation(_POD, _boolean, alpha=True),
    "sidecar.istio.io/extraStatTags": Annotation(_POD, alpha=True),
    "sidecar.istio.io/inject": Annotation(_POD, _boolean, deprecated=True),
    "sidecar.istio.io/interceptionMode": Annotation(_POD, _mode, alpha=True),
    "sidecar.istio.io/logLevel": Annotation(_POD, alpha=True),
    "sidecar.istio.io/nativeSidecar": Annotation(_POD, _boolean, alpha=True),
    "sidecar.istio.io/proxyCPU": Annotation(_POD, alpha=True),
    "sidecar.istio.io/proxyCPULimit": Annotation(_POD, alpha=True),
    "sidecar.istio.io/proxyImage": Annotation(_POD, alpha=True),
    "sidecar.istio.io/proxyImageType": Annotation(_POD, alpha=True),
    "sidecar.istio.io/proxyMemory": Annotation(_POD, alpha=True),
    "sidecar.istio.io/proxyMemoryLimit": Annotation(_POD, alpha=True),
    "sidecar.istio.io/rewriteAppHTTPProbers": Annotation(_POD, _boolean, alpha=True),
    "sidecar.istio.io/statsCompression": Annotation(_POD, _boolean, alpha=True),
    "sidecar.istio.io/statsEvictionInterval": Annotation(_POD, _duration, alpha=True),
    "sidecar.istio.io/statsHistogramBuckets": Annotation(_POD, alpha=True),
    "sidecar.istio.io/statsInclusionPrefixes": Annotation(_POD, deprecated=True, alpha=True),
    "sidecar.istio.io/statsInclusionRegexps": Annotation(_POD, deprecated=True, alpha=True),
    "sidecar.istio.io/statsInclusionSuffixes": Annotation(_POD, deprecated=True, alpha=True),
    "sidecar.istio.io/status": Annotation(_POD, alpha=True),
    "sidecar.istio.io/userVolume": Annotation(_POD, alpha=True),
    "sidecar.istio.io/userVolumeMount": Annotation(_POD, alpha=True),
    "status.sidecar.istio.io/port": Annotation(_POD, _integer, alpha=True),
    "topology.istio.io/controlPlaneClusters": Annotation(("Namespace",), alpha=True),
    "traffic.istio.io/nodeSelector": Annotation(("Service",)),
    "traffic.sidecar.istio.io/excludeInboundPorts": Annotation(_POD, _ports, alpha=True),
    "traffic.sidecar.istio.io/excludeInterfaces": Annotation(_POD, alpha=True),
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": Annotation(_POD, _ranges, alpha=True),
    "traffic.sidecar.istio.io/excludeOutboundPorts": Annotation(_POD, _ports, alpha=True),
    "traffic.sidecar.istio.io/includeInboundPorts": Annotation(_POD, _ports, alpha=True),
    "traffic.sidecar.istio.io/includeOutboundIPRanges": Annotation(_POD, _ranges, alpha=True),
    "traffic.sidecar.istio.io/includeOutboundPorts": Annotation(_POD, _ports, alpha=True),
    "traffic.sidecar.istio.io/kubevirtInterfaces": Annotation(_POD, deprecated=True, alpha=True),
}
