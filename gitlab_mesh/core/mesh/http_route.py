"""Reading a user's own HTTPRoute and moving the two weights in it; everything else stays byte-equal (S5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitlab_mesh.core.mesh.acceptance import find_lagging, find_pending
from gitlab_mesh.core.mesh.backends import BackendPair, backends_of, find_backends, find_rules
from gitlab_mesh.core.mesh.backends import weight_of_backend as weight_of
from gitlab_mesh.core.mesh.fencing import fence_of
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.http_route_additions import originals_unrecorded
from gitlab_mesh.core.mesh.pair import FENCE_PATH, Json, key_of, label_of, patch_of, require_fence
from gitlab_mesh.core.mesh.route import Operation, RouteChange, RouteState
from gitlab_mesh.core.mesh.routing import find_writer
from gitlab_mesh.core.mesh.weights import plan_pair
from gitlab_mesh.errors import ConflictError

__all__ = ["plan_http_weight", "read_http_state"]


def read_http_state(route: Json, others: Mapping[str, Json], pair: BackendPair) -> RouteState:
    """Read the live objects as a ``RouteState``.

    Args:
        route: The HTTPRoute.
        others: What plans need beside it (Services, DestinationRules), by "Kind/namespace/name".
        pair: The Services of the release.
    """
    shares, pairs, common = [], [], False
    for index in find_rules(route, pair):
        refs = backends_of(route["spec"]["rules"][index])
        stable, canary = _weights(refs, pair)
        common = common or _is_common(refs, pair)
        pairs.append((stable, canary or 0))
        if canary is not None:
            shares.append(canary / (stable + canary) if stable + canary else 0.0)
    spec = route.get("spec", {})
    stable_host, canary_host = (resolve_host(name, pair.namespace) for name, _ in pair.sides)
    return RouteState(
        objects={key_of(route): route, **others},
        share=max(shares) if shares else None,
        pair=pairs[0],
        fence=fence_of(route),
        uniform=len(set(shares)) < 2,
        writer=find_writer(route, "f:rules"),
        gateways=tuple(_parent_name(parent, pair.namespace) for parent in spec.get("parentRefs") or ()),
        label=pair.label,
        label_values=pair.labels,
        hosts=(stable_host, canary_host),
        pending=find_pending(route),
        lagging=find_lagging(route),
        common=common,
        unrecorded=originals_unrecorded(route, others, pair),
    )


def plan_http_weight(
    route: Json, pair: BackendPair, share: float, fence: str, *, others: Mapping[str, Json] | None = None
) -> RouteChange:
    """Give the canary ``share`` of each moved rule's pair.

    Where somebody deleted the stable side's Service, all requests at weight 0 would fail: they go to the service again.

    Args:
        route: The HTTPRoute.
        pair: The Services of the release.
        share: The canary's part, 0–1.
        fence: Ours.
        others: Live Services by "Kind/namespace/name"; None: all of them are there.

    Raises:
        ConflictError: The fence is not ours, or a backend of the pair is gone.
    """
    require_fence(route, fence)
    operations: list[Operation] = [{"op": "test", "path": FENCE_PATH, "value": fence}]
    told = []
    for index in find_rules(route, pair):
        refs = backends_of(route["spec"]["rules"][index])
        at = find_backends(refs, pair)
        if at.canary is None or at.current is None:
            raise ConflictError(
                f"{label_of(route)}: the canary's backend is gone from rule {index}",
                why="somebody else changed the route",
            )
        total = weight_of(refs[at.current]) + weight_of(refs[at.canary])
        stable, canary = plan_pair(total or 1, share, whole_route=len(refs) == 2)
        base = f"/spec/rules/{index}/backendRefs"
        operations.append({"op": "test", "path": base, "value": refs})
        for position, weight in ((at.current, stable), (at.canary, canary)):
            operations.append({"op": "add", "path": f"{base}/{position}/weight", "value": weight})
        there = others is None or f"Service/{pair.namespace}/{pair.stable}" in others
        if share == 0 and not there and at.service is None:
            operations.append({"op": "replace", "path": f"{base}/{at.current}/name", "value": pair.service})
        told.append(f"{stable}:{canary}")
    return RouteChange(
        patches=(patch_of(route, operations),),
        summary=f"{label_of(route)}: weights stable:canary {', '.join(told)}",
    )


def _weights(refs: Sequence[Json], pair: BackendPair) -> tuple[int, int | None]:
    """Return the weights of (stable, canary); canary None where the pair is not complete."""
    at = find_backends(refs, pair)
    stable = sum(weight_of(refs[position]) for position in {at.service, at.stable} if position is not None)
    canary = None if at.canary is None else weight_of(refs[at.canary])
    if not canary and at.service is not None and pair.service != pair.stable:
        return stable, None  # stable's traffic still goes to the pods of both sides
    return stable, canary


def _is_common(refs: Sequence[Json], pair: BackendPair) -> bool:
    at = find_backends(refs, pair)
    return at.service is not None and pair.service != pair.stable and weight_of(refs[at.service]) > 0


def _parent_name(parent: Json, namespace: str) -> str:
    """A Service as parent binds the route to the mesh (GAMMA), a Gateway to a gateway."""
    if parent.get("kind") == "Service":
        return "mesh"
    return f"{parent.get('namespace', namespace)}/{parent.get('name')}"
