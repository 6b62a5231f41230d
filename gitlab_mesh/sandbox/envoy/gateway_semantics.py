"""What an HTTPRoute means differently from a VirtualService with the same words; on Envoy's routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gitlab_mesh.sandbox.envoy.model import Json

__all__ = ["sort_by_precedence", "with_gateway_semantics"]


def with_gateway_semantics(route: Mapping[str, Any]) -> Json:
    """Let a prefix end at a slash, and a cluster that does not exist be 500 (Istio's ``UseGatewaySemantics``)."""
    match = dict(route["match"])
    prefix = match.get("prefix")
    if prefix not in (None, "/"):
        del match["prefix"]
        match["path_separated_prefix"] = prefix
    out = {**route, "match": match}
    if "route" in out:
        action = {**out["route"], "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}
        if action.get("prefix_rewrite") == "/" and prefix not in (None, "/"):
            # Taking the prefix away must leave exactly one slash.
            del action["prefix_rewrite"]
            action["regex_rewrite"] = {
                "pattern": {"regex": f"^{re.escape(prefix)}(/?)(.*)"},
                "substitution": r"/\2",
            }
        out["route"] = action
    return out


def sort_by_precedence(routes: Iterable[Json]) -> list[Json]:
    """Sort routes as Gateway API ranks matches; equals stay in their order.

    Exact path, then prefix, then regular expression; the longer one first; then a method, more headers, more query
    parameters (Istio's ``sortHTTPRoutes``).
    """
    return sorted(routes, key=_rank)


def _rank(route: Mapping[str, Any]) -> tuple[int, ...]:
    match = route["match"]
    path, rank = "", 0
    for kind, value in (("path", 3), ("path_separated_prefix", 2), ("prefix", 2), ("safe_regex", 1)):
        if kind in match:
            found = match[kind]
            path, rank = (found["regex"] if kind == "safe_regex" else found), value
    headers = [header["name"] for header in match.get("headers") or ()]
    method = ":method" in headers
    return (
        -rank,
        -len(path),
        -int(method),
        -(len(headers) - int(method)),
        -len(match.get("query_parameters") or ()),
    )
