"""Filters of an HTTPRoute's rules and backends → the fields of a VirtualService that do the same."""

from __future__ import annotations

from collections.abc import Callable

from gitlab_mesh.sandbox.envoy.fields import Fields
from gitlab_mesh.sandbox.envoy.model import Json
from gitlab_mesh.sandbox.envoy.services import DOMAIN

__all__ = ["read_filters"]


def read_filters(owner: Fields, namespace: str, *, of_backend: bool = False) -> Json:
    """Take ``filters`` and return fields of a VirtualService's HTTP route, or of a destination.

    Raises:
        UntranslatableError: A kind of filter that is not translated, or that a backend cannot have in Istio.
    """
    out: Json = {}
    readers: dict[str, tuple[str, Callable[[Fields, Json, str], None]]] = {
        "RequestHeaderModifier": ("requestHeaderModifier", _request_headers),
        "ResponseHeaderModifier": ("responseHeaderModifier", _response_headers),
    }
    if not of_backend:
        readers |= {
            "RequestRedirect": ("requestRedirect", _redirect),
            "RequestMirror": ("requestMirror", _mirror),
            "URLRewrite": ("urlRewrite", _rewrite),
        }
    for one in owner.children("filters"):
        with one:
            key, read = one.choice("type", readers, ("", _nothing))
            body = one.child(key) if key else None
            if body is None:
                raise one.wrong(key or "type", "it is missing")
            with body:
                read(body, out, namespace)
    return out


def _nothing(body: Fields, out: Json, namespace: str) -> None:
    return


def _request_headers(body: Fields, out: Json, namespace: str) -> None:
    out.setdefault("headers", {})["request"] = _headers(body)


def _response_headers(body: Fields, out: Json, namespace: str) -> None:
    out.setdefault("headers", {})["response"] = _headers(body)


def _headers(body: Fields) -> Json:
    found: Json = {}
    for key in ("set", "add"):
        pairs = {}
        for one in body.children(key):
            with one:
                pairs[one.text("name")] = one.text("value")
        if pairs:
            found[key] = pairs
    if removed := body.texts("remove"):
        found["remove"] = removed
    return found


def _redirect(body: Fields, out: Json, namespace: str) -> None:
    found: Json = {"redirectCode": body.integer("statusCode", 302)}
    scheme = body.text("scheme")
    if scheme:
        found["scheme"] = scheme
    if host := body.text("hostname"):
        found["authority"] = host
    if (port := body.integer("port")) is not None:
        found["port"] = port
    else:  # the request's own port is kept, unless the scheme changes: here Istio's own default differs
        found["derivePort"] = "FROM_PROTOCOL_DEFAULT" if scheme else "FROM_REQUEST_PORT"
    if (path := body.child("path")) is not None:
        with path:
            path.choice("type", {"ReplaceFullPath": None}, None)
            found["uri"] = path.text("replaceFullPath")
    out["redirect"] = found


def _rewrite(body: Fields, out: Json, namespace: str) -> None:
    found: Json = {}
    if host := body.text("hostname"):
        found["authority"] = host
    if (path := body.child("path")) is not None:
        with path:
            if path.choice("type", {"ReplaceFullPath": True, "ReplacePrefixMatch": False}, True):
                found["uriRegexRewrite"] = {"match": "/.*", "rewrite": path.text("replaceFullPath")}
            else:
                found["uri"] = path.text("replacePrefixMatch").rstrip("/") or "/"
    if found:
        out["rewrite"] = found


def _mirror(body: Fields, out: Json, namespace: str) -> None:
    ref = body.child("backendRef")
    if ref is None:
        raise body.wrong("backendRef", "it is missing")
    with ref:
        ref.choice("group", {"": None}, None)
        ref.choice("kind", {"Service": None}, None)
        if ref.text("namespace", namespace) != namespace:
            raise ref.wrong("namespace", "backends of other namespaces are not emulated")
        destination: Json = {"host": f"{ref.text('name')}.{namespace}.svc.{DOMAIN}"}
        if (port := ref.integer("port")) is not None:
            destination["port"] = {"number": port}
    share: float | None = body.integer("percent")
    if (fraction := body.child("fraction")) is not None:
        with fraction:
            share = 100.0 * (fraction.integer("numerator") or 0) / (fraction.integer("denominator") or 100)
    percentage = {} if share is None else {"percentage": {"value": share}}
    out.setdefault("mirrors", []).append({"destination": destination, **percentage})
