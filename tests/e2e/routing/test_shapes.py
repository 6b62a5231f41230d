"""The same requests through the sandbox's Envoy and through istiod's: where they go, what they and answers carry."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from tests.e2e.routing.shapes import SHAPES, Shape
from tests.e2e.routing.worlds import VERSIONS, Emulated, Raw, Real, Request, World

_numbers = itertools.count(1)

_CHANGING = {"date", "x-envoy-upstream-service-time", "content-length"}
"""Headers of an answer that differ from request to request."""

_SETTLE_SECONDS = 60.0
"""Until the real proxies must behave as the sandbox: a push takes a tenth of a second, on a busy machine more."""


_NOBODY = "GET nobody.example/ at the mesh"
KNOWN = {
    "a host that nobody has": [
        f"{_NOBODY}: headers.content-type: sandbox None, real 'text/plain'",
        f"{_NOBODY}: status: sandbox 502, real 503",
        f"{_NOBODY}: text: sandbox '', real 'no healthy upstream'",
    ]
}
"""Where the sandbox differs on purpose (docs/sandbox.md); anything else that differs is a failure."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one request did.

    Attributes:
        status: Of the answer.
        version: Which pod answered; "": a proxy did.
        headers: Of the answer.
        text: A proxy's body.
        request: Method, path and headers as the application saw them.
        hits: Requests that reached each version, where they are compared.
        slow: Whether it took longer than a quarter of a second.
    """

    status: int
    version: str
    headers: Mapping[str, str]
    text: str
    request: Mapping[str, Any]
    hits: Mapping[str, int]
    slow: bool


def observe(world: World, request: Request, door: str) -> Seen:
    """Send a request and say what it did."""
    test = f"t{next(_numbers)}"
    raw = world.send(request, door, test)
    version = raw.headers.get("x-version", "")
    hits = {}
    if request.hits:
        time.sleep(0.2)  # a mirror's request is nobody's to wait for
        hits = {one: world.hits(one, test) for one in VERSIONS}
    return Seen(
        raw.status,
        version,
        {name: value for name, value in raw.headers.items() if name not in _CHANGING},
        "" if version else raw.body.decode(),
        _request(raw, test) if version else {},
        hits,
        raw.seconds > 0.25,
    )


_HOP = ("x-request-id", "x-forwarded-client-cert", "traceparent", "x-envoy-peer-metadata")


def _request(raw: Raw, test: str) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(raw.body) if raw.body else {}
    headers = {name: value for name, value in seen.get("headers", {}).items() if not name.startswith(_HOP)}
    if headers.get("x-test") == test:
        headers["x-test"] = "the same"
    for name in ("x-forwarded-for", "x-envoy-external-address"):
        if name in headers:  # each world has its own addresses
            headers[name] = "the client"
    return {**seen, "headers": headers}


def doors(request: Request) -> tuple[str, ...]:
    return ("gateway", "mesh") if request.door == "both" else (request.door,)


def look(world: World, shape: Shape) -> list[tuple[str, Seen]]:
    return [
        (f"{request.method} {request.host or ''}{request.path} at the {door}", observe(world, request, door))
        for request in shape.requests
        for door in doors(request)
    ]


def weights(world: World, shape: Shape) -> dict[str, list[dict[str, int]]]:
    """Weighted clusters of all routes to the application, by door: what no handful of requests can tell."""
    found: dict[str, list[dict[str, int]]] = {}
    for door in ("gateway", "mesh"):
        found[door] = [
            {one["name"]: one["weight"] for one in clusters}
            for host in world.routes(door)
            for route in host.get("routes", ())
            if (clusters := route.get("route", {}).get("weighted_clusters", {}).get("clusters"))
        ]
        found[door] = [one for at, one in enumerate(found[door]) if one not in found[door][:at]]
    return found


def differences(emulated: Emulated, real: Real, shape: Shape) -> list[str]:
    """Say what differs, a line each: where, what, the sandbox's, the real one's."""
    told = []
    for (where, expected), (_, found) in zip(look(emulated, shape), look(real, shape), strict=True):
        ours, theirs = _flat(asdict(expected)), _flat(asdict(found))
        told += [
            f"{where}: {key}: sandbox {ours.get(key)!r}, real {theirs.get(key)!r}"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        ]
    ours, theirs = weights(emulated, shape), weights(real, shape)
    return told + [
        f"{door}: weights: sandbox {ours[door]}, real {theirs[door]}" for door in ours if ours[door] != theirs[door]
    ]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    return {key: one for name, item in value.items() for key, one in _flat(item, f"{path}.{name}".strip(".")).items()}


@pytest.mark.parametrize("name", SHAPES)
def test_requests_go_where_they_go_on_a_real_istio(emulated: Emulated, real: Real, name: str) -> None:
    shape = SHAPES[name]
    emulated.put(list(shape.objects))
    real.put(list(shape.objects))
    end = time.monotonic() + _SETTLE_SECONDS
    while (found := differences(emulated, real, shape)) != KNOWN.get(name, []) and time.monotonic() < end:
        time.sleep(0.1)
    assert found == KNOWN.get(name, []), "\n".join(found)
