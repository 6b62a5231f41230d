"""What an HTTPRoute needs before weights can move, added, recorded, and taken back exactly.

Make before break: the sides' Services, then backendRefs to them with weight 0, and only when the control plane has
taken those up does stable's backendRef lead to the stable side's own Service. At the end the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitlab_mesh.core.mesh.backends import BackendPair, Backends, backends_of, find_backends, find_rules
from gitlab_mesh.core.mesh.backends import weight_of_backend as weight_of
from gitlab_mesh.core.mesh.choosing import find_again
from gitlab_mesh.core.mesh.fencing import fence_of, has_others, put_on, take_off, unchanged
from gitlab_mesh.core.mesh.pair import FENCE_PATH, Json, key_of, label_of, patch_of, require_fence
from gitlab_mesh.core.mesh.route import ObjectPatch, Operation, RouteChange
from gitlab_mesh.core.mesh.side_services import is_ours, plan_services
from gitlab_mesh.errors import ConflictError, UsageError

__all__ = ["originals_unrecorded", "plan_http_prepare", "plan_http_restore"]

_LEAST_SUM = 20
"""Weights of a pair beside other backends: with a smaller sum not even 5 % can be told."""


def plan_http_prepare(route: Json, others: Mapping[str, Json], pair: BackendPair, fence: str) -> RouteChange:
    """Put the fence on and lead the route to the sides' own Services, the canary's with weight 0.

    Two patches of the route: the first adds, the second exchanges stable's backendRef; between them the control plane
    must have taken the first one up (``RouteState.pending``).

    Raises:
        ConflictError: The route carries the fence of another rollout, or the canary already gets traffic.
        UsageError: The route or its Service has a form in which weights cannot be moved safely.
    """
    services, originals = plan_services(others, pair)
    first, second = put_on(route, fence), list[Operation]()
    kept: dict[str, Any] = {}
    for index in find_rules(route, pair):
        rule = route["spec"]["rules"][index]
        refs = backends_of(rule)
        _check_rule(rule, refs, pair, f"{label_of(route)}, rule {index}", begun=fence_of(route) is not None)
        kept[str(index)] = {"name": rule.get("name"), "refs": refs}
        base = f"/spec/rules/{index}/backendRefs"
        added = _added(refs, pair)
        first.append({"op": "test", "path": base, "value": refs})
        first += [{"op": "add", "path": f"{base}/-", "value": ref} for ref in added]
        second += _exchange(base, [*refs, *added], pair)
    mine = {"http": kept, "had_annotations": route["metadata"].get("annotations") is not None}
    patches: tuple[ObjectPatch, ...] = (patch_of(route, first),)
    if second:
        patches += (patch_of(route, [{"op": "test", "path": FENCE_PATH, "value": fence}, *second]),)
    return RouteChange(
        patches=patches,
        summary=f"prepare {label_of(route)}: fence, Services {pair.stable}/{pair.canary}, canary at weight 0",
        originals={key_of(route): mine, **originals},
        create=services,
    )


def plan_http_restore(
    route: Json | None, others: Mapping[str, Json], pair: BackendPair, originals: Json, fence: str
) -> RouteChange:
    """Take back exactly what was added: the backendRefs with the fence, then the Services.

    Rules are found anew by name, or by the canary's backend, so that rules that others inserted meanwhile do no harm.
    What is already gone is left alone.
    """
    patches: tuple[ObjectPatch, ...] = ()
    if route is not None and key_of(route) in originals:
        operations = _restore_route(route, pair, originals[key_of(route)], fence)
        if any(operation["op"] != "test" for operation in operations):
            patches = (patch_of(route, operations),)
    delete = [
        (kind, namespace, name)
        for kind, namespace, name in (key.split("/") for key, was in originals.items() if was.get("created"))
        if kind == "Service" and is_ours(others.get(f"{kind}/{namespace}/{name}", {"metadata": {}}))
    ]
    label = label_of(route) if route is not None else f"what was added for {pair.service}"
    return RouteChange(patches, f"{label}: as it was before", delete=tuple(delete))


def originals_unrecorded(route: Json, others: Mapping[str, Json], pair: BackendPair) -> dict[str, Any]:
    """Return what can be known of the originals where the record is lost: Services of ours, and whom they stand for.

    The canary's backend goes, and a stable backend that is ours leads to the service again; whether it had a weight
    of its own before, nobody knows: it keeps the one it has.
    """
    ours = {name for name, _ in pair.sides if is_ours(others.get(f"Service/{pair.namespace}/{name}", {"metadata": {}}))}
    kept: dict[str, Any] = {}
    for index in find_rules(route, pair):
        rule = route["spec"]["rules"][index]
        refs = [
            {**ref, "name": pair.service} if pair.stable in ours and pair.is_named(ref, pair.stable) else ref
            for ref in backends_of(rule)
            if not (pair.canary in ours and pair.is_named(ref, pair.canary))
        ]
        seen: list[Json] = []
        for ref in refs:  # the exchange was half done: the service itself is still there
            if not any(pair.is_named(one, pair.service) and pair.is_named(ref, pair.service) for one in seen):
                seen.append(ref)
        kept[str(index)] = {"name": rule.get("name"), "refs": seen}
    services = {f"Service/{pair.namespace}/{name}": {"created": True} for name in ours}
    return {key_of(route): {"http": kept, "had_annotations": has_others(route)}, **services}


def _check_rule(rule: Json, refs: Sequence[Json], pair: BackendPair, label: str, *, begun: bool) -> None:
    at = find_backends(refs, pair)
    if None not in (at.service, at.stable) and at.service != at.stable and not begun:
        raise UsageError(
            f"{label} leads to both {pair.service} and {pair.stable}",
            why="which of them is stable's is not ours to guess",
            hint=f"let it lead to {pair.service} alone, or name other sides in mesh.yaml: subsets: {{stable: …}}",
        )
    if rule.get("sessionPersistence"):
        raise UsageError(
            f"{label} has sessionPersistence",
            why="users stay with the Service that they began with, whatever the weights say, also at weight 0",
            hint="take it off, or release through a VirtualService",
        )
    if at.canary is not None and weight_of(refs[at.canary]) > 0:
        raise ConflictError(
            f"{label}: the canary already gets weight {weight_of(refs[at.canary])}",
            why="no rollout of ours is recorded for it",
            hint="set its weight to 0, then run the job again",
        )
    if at.current is None:
        return
    total = weight_of(refs[at.current])
    others = [ref for position, ref in enumerate(refs) if position not in (at.service, at.stable, at.canary)]
    if others and total < _LEAST_SUM:
        raise UsageError(
            f"{label}: {pair.service} has weight {total} beside other backends",
            why="the canary's share must be told in whole numbers of this sum, so that the others keep theirs",
            hint="multiply all weights of the rule by 100: their shares stay the same",
        )


def _added(refs: Sequence[Json], pair: BackendPair) -> list[dict[str, Any]]:
    """The missing backendRefs, all as the one that stable's traffic goes through (port, filters), with weight 0."""
    at = find_backends(refs, pair)
    if at.current is None:
        return []
    missing = [name for name, _ in pair.sides if not any(pair.is_named(ref, name) for ref in refs)]
    return [{**refs[at.current], "name": name, "weight": 0} for name in missing]


def _exchange(base: str, refs: Sequence[Json], pair: BackendPair) -> list[Operation]:
    at = find_backends(refs, pair)
    if at.service is None or at.stable is None or at.service == at.stable:
        return []
    return [
        {"op": "test", "path": base, "value": refs},
        {"op": "replace", "path": f"{base}/{at.service}/name", "value": pair.stable},
        {"op": "remove", "path": f"{base}/{at.stable}"},
    ]


def _restore_route(route: Json, pair: BackendPair, mine: Json, fence: str) -> list[Operation]:
    held = fence_of(route)
    operations: list[Operation]
    if held is not None:
        require_fence(route, fence)
        operations = [{"op": "test", "path": FENCE_PATH, "value": fence}]
    else:  # somebody took the fence off; what we added beside it is still ours to take back
        operations = unchanged(route)

    def fits(rule: Json) -> bool:
        at = find_backends(backends_of(rule), pair)
        return at.canary is not None or (at.stable is not None and at.stable != at.service)

    rules: Sequence[Json] = route.get("spec", {}).get("rules") or ()
    for key, was in mine["http"].items():
        index = find_again(rules, int(key), was.get("name"), fits)
        if index is not None:
            operations += _restore_refs(
                f"/spec/rules/{index}/backendRefs", backends_of(rules[index]), was["refs"], pair
            )
    if held is not None:
        operations += take_off(route, had_annotations=bool(mine["had_annotations"]))
    return operations


def _restore_refs(base: str, refs: Sequence[Json], was: Sequence[Json], pair: BackendPair) -> list[Operation]:
    now, before = find_backends(refs, pair), find_backends(was, pair)
    operations: list[Operation] = []
    removed: list[int] = []
    if before.service is not None and now.service is None and now.stable is not None:
        operations.append({"op": "replace", "path": f"{base}/{now.stable}/name", "value": pair.service})
        operations += _restore_weight(base, now.stable, refs, was[before.service])
    else:
        operations += _restore_one(base, now, "service", refs, was, before, removed)
        if now.stable != now.service:
            operations += _restore_one(base, now, "stable", refs, was, before, removed)
    operations += _restore_one(base, now, "canary", refs, was, before, removed)
    operations += [{"op": "remove", "path": f"{base}/{position}"} for position in sorted(removed, reverse=True)]
    return [{"op": "test", "path": base, "value": refs}, *operations] if operations else []


def _restore_one(
    base: str, now: Backends, side: str, refs: Sequence[Json], was: Sequence[Json], before: Backends, removed: list[int]
) -> list[Operation]:
    position, original = getattr(now, side), getattr(before, side)
    if position is None:
        return []
    if original is None:
        removed.append(position)
        return []
    return _restore_weight(base, position, refs, was[original])


def _restore_weight(base: str, position: int, refs: Sequence[Json], was: Json) -> list[Operation]:
    path = f"{base}/{position}/weight"
    if refs[position].get("weight") == was.get("weight"):
        return []
    if "weight" in was:
        return [{"op": "add", "path": path, "value": was["weight"]}]
    return [{"op": "remove", "path": path}]
