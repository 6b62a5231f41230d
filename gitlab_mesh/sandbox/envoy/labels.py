"""Istio's labels of telemetry: which pod label becomes which of them, and what stands where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LATEST", "UNKNOWN", "canonical_revision", "canonical_service"]

UNKNOWN = "unknown"
LATEST = "latest"
"""Istio's word for a revision that is not known (``context_.latest_`` in istio/proxy's istio_stats.cc)."""


def canonical_service(labels: Mapping[str, str], workload: str) -> str:
    """Return the canonical service name (https://istio.io/latest/docs/reference/config/labels/)."""
    for key in ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app"):
        if labels.get(key):
            return labels[key]
    return workload


def canonical_revision(labels: Mapping[str, str]) -> str:
    """Return the canonical revision."""
    for key in ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"):
        if labels.get(key):
            return labels[key]
    return LATEST
