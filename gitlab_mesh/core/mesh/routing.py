"""Reading a user's own VirtualService and moving the two weights in it.

We touch two weights and the fence annotation; everything else stays byte-equal (S5). Patches are RFC 6902 with
``test``: an edit by somebody else between read and write makes the write fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitlab_mesh.core.mesh.choosing import choose_routes
from gitlab_mesh.core.mesh.fencing import fence_of, has_others
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.pair import (
    FENCE_PATH,
    Json,
    Pair,
    key_of,
    label_of,
    patch_of,
    positions,
    require_fence,
    target_of,
    weight_of,
)
from gitlab_mesh.core.mesh.route import Operation, RouteChange, RouteState
from gitlab_mesh.core.mesh.weights import plan_pair
from gitlab_mesh.errors import ConflictError, UsageError

__all__ = ["find_moved", "find_writer", "plan_weight", "read_state", "routes_to"]


def routes_to(virtual_service: Json, host: str) -> bool:
    """Whether any HTTP route of the VirtualService leads to the host (fully qualified)."""
    namespace = virtual_service["metadata"]["namespace"]
    return any(
        resolve_host(str(route.get("destination", {}).get("host", "")), namespace) == host
        for http in virtual_service.get("spec", {}).get("http", ())
        for route in http.get("route", ())
    )


def find_moved(virtual_service: Json, pair: Pair) -> tuple[int, ...]:
    """Return the indexes of the HTTP routes to move; never guesses.

    Raises:
        UsageError: None leads to stable, several do and none is named, or a named one is missing or twice there.
    """
    label = label_of(virtual_service)
    https: Sequence[Json] = virtual_service.get("spec", {}).get("http", ())
    candidates = [
        index
        for index, http in enumerate(https)
        if any(pair.is_stable(target_of(route)) for route in http.get("route", ()))
    ]
    if not candidates:
        found = sorted({str(target_of(route).get("host")) for http in https for route in http.get("route", ())})
        raise UsageError(
            f"{label}: no HTTP route leads to {pair.host} (subset {pair.stable})",
            why=f"its destinations are {', '.join(found) or 'none'}",
            hint="set services.<name>.host or subsets.stable in mesh.yaml to what the route uses",
        )
    return choose_routes(label, https, candidates, pair.routes, host=pair.host, word="HTTP route")


def read_state(virtual_service: Json, destination_rule: Json | None, pair: Pair) -> RouteState:
    """Read the live objects as a ``RouteState``."""
    shares, pairs = [], []
    for index in find_moved(virtual_service, pair):
        routes = virtual_service["spec"]["http"][index]["route"]
        stable, canary = weights_of(routes, pair)
        pairs.append((stable, canary or 0))
        if canary is not None:
            shares.append(canary / (stable + canary) if stable + canary else 0.0)
    objects = {key_of(virtual_service): virtual_service}
    if destination_rule is not None:
        objects[key_of(destination_rule)] = destination_rule
    return RouteState(
        objects=objects,
        share=max(shares) if shares else None,
        pair=pairs[0],
        fence=fence_of(virtual_service),
        uniform=len(set(shares)) < 2,
        writer=find_writer(virtual_service, "f:http"),
        gateways=tuple(virtual_service.get("spec", {}).get("gateways") or ("mesh",)),
        label=pair.label,
        label_values=pair.labels,
        unrecorded={key_of(virtual_service): {"http": {}, "had_annotations": has_others(virtual_service)}},
    )


def plan_weight(virtual_service: Json, pair: Pair, share: float, fence: str) -> RouteChange:
    """Give the canary ``share`` of each moved route's pair.

    Raises:
        ConflictError: The fence is not ours, or a destination of the pair is gone.
    """
    require_fence(virtual_service, fence)
    operations: list[Operation] = [{"op": "test", "path": FENCE_PATH, "value": fence}]
    told = []
    for index in find_moved(virtual_service, pair):
        routes = virtual_service["spec"]["http"][index]["route"]
        stable_at, canary_at = positions(routes, pair)
        if canary_at is None:
            raise ConflictError(
                f"{label_of(virtual_service)}: the canary's destination is gone from HTTP route {index}",
                why="somebody else changed the route",
            )
        total = weight_of(routes[stable_at], routes) + weight_of(routes[canary_at], routes)
        stable, canary = plan_pair(total or 100, share, whole_route=len(routes) == 2)
        base = f"/spec/http/{index}/route"
        operations.append({"op": "test", "path": base, "value": routes})
        for position, weight in ((stable_at, stable), (canary_at, canary)):
            operations.append({"op": "add", "path": f"{base}/{position}/weight", "value": weight})
        told.append(f"{stable}:{canary}")
    return RouteChange(
        patches=(patch_of(virtual_service, operations),),
        summary=f"{label_of(virtual_service)}: weights stable:canary {', '.join(told)}",
    )


def weights_of(routes: Sequence[Json], pair: Pair) -> tuple[int, int | None]:
    stable_at, canary_at = positions(routes, pair)
    return weight_of(routes[stable_at], routes), None if canary_at is None else weight_of(routes[canary_at], routes)


def find_writer(obj: Json, field: str) -> str:
    """Return the field manager that last wrote this field of the object's spec, or ""."""
    writers = [
        (str(entry.get("time", "")), str(entry.get("manager", "")))
        for entry in obj["metadata"].get("managedFields") or ()
        if field in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return max(writers)[1] if writers else ""
