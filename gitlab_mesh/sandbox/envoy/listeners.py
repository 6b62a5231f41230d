"""Envoy listeners: the gateway's, the client sidecar's, and one for each pod's own sidecar."""

from __future__ import annotations

from typing import Any

from gitlab_mesh.sandbox.envoy.actions import FAULT_FILTER, FAULT_TYPE
from gitlab_mesh.sandbox.envoy.clusters import loopback
from gitlab_mesh.sandbox.envoy.model import InboundPod, Json
from gitlab_mesh.sandbox.envoy.telemetry_tags import (
    SOURCE_HEADER,
    SOURCE_KEY,
    SOURCE_METADATA,
    access_log,
)

__all__ = ["inbound_listener", "outbound_listener", "route_configuration"]

_TYPES = "type.googleapis.com/envoy.extensions.filters"
_ROUTER: Json = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"},
}
_FAULT: Json = {"name": FAULT_FILTER, "typed_config": {"@type": FAULT_TYPE}}
# The header that says which proxy sent the request, in place of Istio's exchange of peer metadata.
_READ_SOURCE: Json = {
    "name": "envoy.filters.http.header_to_metadata",
    "typed_config": {
        "@type": f"{_TYPES}.http.header_to_metadata.v3.Config",
        "request_rules": [
            {
                "header": SOURCE_HEADER,
                "on_header_present": {"metadata_namespace": SOURCE_METADATA, "key": SOURCE_KEY, "type": "STRING"},
                "remove": True,
            }
        ],
    },
}


def outbound_listener(name: str, port: int, tags: dict[str, str], *, gateway: bool) -> Json:
    """Return the gateway's or the client sidecar's listener; its routes come from the file ``rds.<name>.json``."""
    rds = {
        "route_config_name": name,
        "config_source": {"path_config_source": {"path": f"./rds.{name}.json"}, "resource_api_version": "V3"},
    }
    # An answer that a client gets from its own sidecar says "envoy", all others "istio-envoy" (tests/e2e/routing).
    named = {"server_name": "istio-envoy"} if gateway else {}
    return _listener(name, port, tags, filters=[_FAULT, _ROUTER], rds=rds, use_remote_address=gateway, **named)


def inbound_listener(pod: InboundPod, tags: dict[str, str]) -> Json:
    """Return the listener of a pod's sidecar: everything goes to the app.

    A request that was not sent yet when its kept-alive connection broke is sent again, as Istio's inbound routes do.
    """
    cluster = f"inbound|{pod.key}"
    action = {
        "cluster": cluster,
        "timeout": "0s",
        "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2},
    }
    routes = {
        "name": cluster,
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": "inbound|http",
                "domains": ["*"],
                "routes": [{"name": "default", "match": {"prefix": "/"}, "route": action}],
            }
        ],
    }
    filters = [_READ_SOURCE, _ROUTER]
    return _listener(cluster, pod.port, tags, filters=filters, route_config=routes, server_name="istio-envoy")


def _listener(name: str, port: int, tags: dict[str, str], *, filters: list[Json], **manager: Any) -> Json:
    # Options of the connection manager that Istio sets: pilot/pkg/networking/core/listener.go.
    connection_manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "normalize_path": True,
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [access_log(tags)],
        "http_filters": filters,
        **manager,
    }
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}
    return {
        "name": name,
        "address": loopback(port),
        "enable_reuse_port": True,  # shares the port with the socket that reserves it
        "filter_chains": [{"filters": [network]}],
    }


def route_configuration(name: str, virtual_hosts: list[Json], *, validate: bool, ignore_port: bool) -> Json:
    """Return a RouteConfiguration; ``validate``: Envoy refuses it if a cluster is missing."""
    source = {"header": {"key": SOURCE_HEADER, "value": name}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "name": name,
        "validate_clusters": validate,
        "ignore_port_in_host_matching": ignore_port,
        "request_headers_to_add": [source],
        # The application sees x-envoy-attempt-count, as behind Istio's proxies.
        "virtual_hosts": [{**host, "include_request_attempt_count": True} for host in virtual_hosts],
    }
