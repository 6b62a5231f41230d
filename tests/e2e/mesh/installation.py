"""Istio as a platform team installs it: an IstioOperator for istioctl, mTLS, and what this data plane needs. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["GATEWAY_PORT", "ROOT", "installation", "mesh_objects", "sidecar_objects"]

ROOT = "istio-system"
GATEWAY_PORT = 8080
"""Where the ingress gateway's pods listen for the Service's port 80."""

_TAG = "1.30.1"


def installation() -> dict[str, Any]:
    """Return the IstioOperator: istiod and an ingress gateway.

    No pod's traffic is captured by iptables here (``interceptionMode: NONE``): Sidecar objects say where proxies
    listen. What only Istio's own Envoy has is off: metadata exchange, ALPN filter, the istio.stats filter.
    """
    metadata = {"REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION": "true"}  # NONE: the pod's address is the sidecar's
    off = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_DISABLE_MX_ALPN": "true"}
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "e2e", "namespace": ROOT},
        "spec": {
            "profile": "minimal",
            "hub": "docker.io/istio",
            "tag": _TAG,
            "meshConfig": {
                "accessLogFile": "",
                "enableAutoMtls": True,
                "defaultConfig": {"interceptionMode": "NONE", "proxyMetadata": metadata},
            },
            "components": {"ingressGateways": [{"name": "istio-ingressgateway", "enabled": True}]},
            "values": {
                "pilot": {"autoscaleEnabled": False, "env": {**off, "PILOT_ENABLE_ALPN_FILTER": "false"}},
                "gateways": {"istio-ingressgateway": {"autoscaleEnabled": False}},
                "telemetry": {"enabled": False},
            },
        },
    }


def mesh_objects() -> list[dict[str, Any]]:
    """Return what holds for the whole mesh: mutual TLS, strictly."""
    return [
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": ROOT},
            "spec": {"mtls": {"mode": "STRICT"}},
        }
    ]


def sidecar_objects(namespace: str, app: str, *, port: int = 8080, client_ports: tuple[int, ...] = (80,)) -> list[Any]:
    """Return the Sidecars of a namespace: its app behind ``port``, and clients (label ``app: client``).

    A client's process sends to 127.0.0.1 at the Service's own port (another one gives no listener and no message)
    with the Service's name as ``Host``.

    Args:
        namespace: Of both.
        app: Value of the application's label ``app``.
        port: Where the application listens on 127.0.0.1, and the sidecar on the pod's address.
        client_ports: Ports of Services that clients call.
    """
    named = {"number": port, "name": "http", "protocol": "HTTP"}
    ingress = [{"port": named, "defaultEndpoint": f"127.0.0.1:{port}"}]
    nothing = [{"port": {**named, "number": 15999}, "bind": "127.0.0.1", "captureMode": "NONE", "hosts": ["~/*"]}]
    egress = [
        {
            "port": {"number": number, "name": f"http-{number}", "protocol": "HTTP"},
            "bind": "127.0.0.1",
            "captureMode": "NONE",
            "hosts": ["./*"],
        }
        for number in client_ports
    ]
    return [
        _sidecar(namespace, app, {"ingress": ingress, "egress": nothing}),
        _sidecar(namespace, "client", {"egress": egress}),
    ]


def _sidecar(namespace: str, app: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {"workloadSelector": {"labels": {"app": app}}, **spec},
    }
