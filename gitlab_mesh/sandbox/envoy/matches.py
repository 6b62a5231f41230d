"""HTTPMatchRequest → ``envoy.config.route.v3.RouteMatch`` (Istio's ``TranslateRouteMatch``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitlab_mesh.sandbox.envoy.fields import Fields
from gitlab_mesh.sandbox.envoy.model import Json

__all__ = ["RouteContext", "is_catch_all", "translate_match"]

_PSEUDO_HEADERS = {"method": ":method", "authority": ":authority", "scheme": ":scheme"}


@dataclass(frozen=True, slots=True)
class RouteContext:
    """For which proxy and port routes are built.

    Attributes:
        port: Port of the Service or of the Gateway's server.
        gateways: Names of the gateways in "namespace/name" form, or "mesh".
        labels: Labels of the proxy's pod, for ``sourceLabels``.
        namespace: Namespace of the proxy's pod, for ``sourceNamespace``.
    """

    port: int
    gateways: frozenset[str]
    labels: Mapping[str, str]
    namespace: str


def translate_match(match: Fields, context: RouteContext, own_namespace: str) -> Json | None:
    """Return Envoy's match, or None if it does not concern this proxy and port.

    Every field is read either way, so that an unknown field is found on whichever proxy it is meant for.
    """
    with match:
        concerned = _concerns(match, context, own_namespace)
        match.text("name")  # becomes part of the route's name only
        out: Json = _path(match)
        if match.flag("ignoreUriCase"):
            out["case_sensitive"] = False
        headers = [_header(one, name) for name, one in match.named_children("headers")]
        headers += [_header(one, name, without=True) for name, one in match.named_children("withoutHeaders")]
        headers.sort(key=lambda header: str(header["name"]))
        for key, name in _PSEUDO_HEADERS.items():
            if (one := match.child(key)) is not None:
                headers.append(_header(one, name))
        if headers:
            out["headers"] = headers
        if query := [_query(one, name) for name, one in match.named_children("queryParams")]:
            out["query_parameters"] = query
    return out if concerned else None


def is_catch_all(match: Json) -> bool:
    """Whether a match takes every request, so that nothing after it is reached."""
    return match in ({"prefix": "/"}, {"prefix": "/", "case_sensitive": False})


def _concerns(match: Fields, context: RouteContext, own_namespace: str) -> bool:
    """Istio's ``sourceMatchHTTP``: gateways, where named, alone decide; else the client's labels and namespace."""
    port = match.integer("port")
    named = match.texts("gateways")
    labels = match.text_map("sourceLabels")
    namespace = match.text("sourceNamespace")
    if port and port != context.port:
        return False
    if named:
        full = {name if name == "mesh" or "/" in name else f"{own_namespace}/{name}" for name in named}
        return not full.isdisjoint(context.gateways)
    return namespace in ("", context.namespace) and all(context.labels.get(k) == v for k, v in labels.items())


def _path(match: Fields) -> Json:
    uri = match.child("uri")
    if uri is None or not len(uri):
        return {"prefix": "/"}
    with uri:
        kind = uri.one_of("exact", "prefix", "regex")
        value = uri.text(kind) if kind else ""
    if kind == "exact":
        return {"path": value}
    if kind == "regex":
        return {"safe_regex": {"regex": value}}
    return {"prefix": value or "/"}


def _string(match: Fields) -> Json | None:
    """Return a StringMatcher; None stands for "is present" (nothing given, or the regex ``*``)."""
    with match:
        kind = match.one_of("exact", "prefix", "regex")
        value = match.text(kind) if kind else ""
    if kind is None or (kind, value) == ("regex", "*"):
        return None
    return {"safe_regex": {"regex": value}} if kind == "regex" else {kind: value}


def _header(match: Fields, name: str, *, without: bool = False) -> Json:
    if name.startswith("@"):
        raise match.wrong("", "matching on claims of a token is not emulated")
    text = _string(match)
    out: Json = {"name": name, **({"present_match": True} if text is None else {"string_match": text})}
    if without:
        out["invert_match"] = True
        if text is not None:
            out["treat_missing_header_as_empty"] = True
    return out


def _query(match: Fields, name: str) -> Json:
    text = _string(match)
    return {"name": name, **({"present_match": True} if text is None else {"string_match": text})}
