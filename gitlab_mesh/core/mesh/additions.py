"""What the weights need to exist, added to the user's objects, recorded, and taken back exactly.

A subset on the destination, the second destination with weight 0, the two subsets in the DestinationRule, the fence
annotation. Make before break: subsets before the route that names them, and the reverse at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitlab_mesh.core.mesh.choosing import find_again
from gitlab_mesh.core.mesh.fencing import fence_of, put_on, take_off, unchanged
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
from gitlab_mesh.core.mesh.route import ObjectPatch, Operation, RouteChange
from gitlab_mesh.core.mesh.routing import find_moved
from gitlab_mesh.errors import ConflictError

__all__ = ["plan_prepare", "plan_restore"]


def plan_prepare(virtual_service: Json, destination_rule: Json | None, pair: Pair, fence: str) -> RouteChange:
    """Put the fence on and add what the weights need: subsets first, then destinations (make before break).

    Raises:
        ConflictError: The route carries the fence of another rollout, or the canary already gets traffic.
    """
    operations = put_on(virtual_service, fence)
    original_routes: dict[str, Any] = {}
    for index in find_moved(virtual_service, pair):
        http = virtual_service["spec"]["http"][index]
        original_routes[str(index)] = {"name": http.get("name"), "route": http["route"]}
        operations += _prepare_route(index, http["route"], pair, label_of(virtual_service))
    rule_patches, rule_creates, rule_original = _prepare_rule(destination_rule, virtual_service, pair)
    return RouteChange(
        patches=(*rule_patches, patch_of(virtual_service, operations)),
        summary=f"prepare {label_of(virtual_service)}: fence, subsets {pair.stable}/{pair.canary}, canary at weight 0",
        originals={
            key_of(virtual_service): {
                "http": original_routes,
                "had_annotations": virtual_service["metadata"].get("annotations") is not None,
            },
            **rule_original,
        },
        create=rule_creates,
    )


def plan_restore(
    virtual_service: Json | None, destination_rule: Json | None, pair: Pair, originals: Json, fence: str
) -> RouteChange:
    """Take back exactly what was added, in reverse order: route first, then subsets, the fence with the route.

    Routes are found anew by name, or by the canary's destination, so that routes that others inserted meanwhile
    do no harm. What is already gone is left alone; without a VirtualService there is only the DestinationRule left.
    """
    patches, delete = [], []
    if virtual_service is not None and key_of(virtual_service) in originals:
        operations = _restore_virtual_service(virtual_service, pair, originals[key_of(virtual_service)], fence)
        if any(operation["op"] != "test" for operation in operations):
            patches.append(patch_of(virtual_service, operations))
    for key, was in originals.items():
        kind, namespace, name = key.split("/")
        if kind != "DestinationRule":
            continue
        if was.get("created"):
            delete.append((kind, namespace, name))
        elif destination_rule is not None and key_of(destination_rule) == key:
            operations = _restore_rule(destination_rule, was)
            if operations:
                patches.append(patch_of(destination_rule, operations))
    label = label_of(virtual_service) if virtual_service is not None else f"what was added for {pair.host}"
    return RouteChange(tuple(patches), f"{label}: as it was before", delete=tuple(delete))


def _restore_virtual_service(virtual_service: Json, pair: Pair, mine: Json, fence: str) -> list[Operation]:
    metadata = virtual_service["metadata"]
    held = fence_of(virtual_service)
    operations: list[Operation]
    if held is not None:
        require_fence(virtual_service, fence)
        operations = [{"op": "test", "path": FENCE_PATH, "value": fence}]
    else:  # somebody took the fence off; what we added beside it is still ours to take back
        operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")}]
    for key, was in mine["http"].items():
        index = _find_again(virtual_service, int(key), was, pair)
        if index is not None:
            routes = virtual_service["spec"]["http"][index]["route"]
            operations += _restore_route(index, routes, was["route"], pair)
    if held is not None:
        operations += take_off(virtual_service, had_annotations=bool(mine["had_annotations"]))
    return operations


def _prepare_route(index: int, routes: Sequence[Json], pair: Pair, label: str) -> list[Operation]:
    base = f"/spec/http/{index}/route"
    stable_at, canary_at = positions(routes, pair)
    stable = routes[stable_at]
    operations: list[Operation] = [{"op": "test", "path": base, "value": routes}]
    if canary_at is not None and weight_of(routes[canary_at], routes) > 0:
        raise ConflictError(
            f"{label}: the canary already gets weight {weight_of(routes[canary_at], routes)} on HTTP route {index}",
            why="no rollout of ours is recorded for it",
            hint="set its weight to 0, then run the job again",
        )
    if "subset" not in stable["destination"]:
        operations.append({"op": "add", "path": f"{base}/{stable_at}/destination/subset", "value": pair.stable})
    if "weight" not in stable:
        operations.append({"op": "add", "path": f"{base}/{stable_at}/weight", "value": weight_of(stable, routes)})
    if canary_at is None:
        destination = {key: value for key, value in stable["destination"].items() if key != "subset"}
        destination["subset"] = pair.canary
        # Per-destination header rules of stable hold for the canary too: users must not see a difference.
        added = {
            **{key: value for key, value in stable.items() if key == "headers"},
            "destination": destination,
            "weight": 0,
        }
        operations.append({"op": "add", "path": f"{base}/-", "value": added})
    return operations


def _restore_route(index: int, routes: Sequence[Json], was: Sequence[Json], pair: Pair) -> list[Operation]:
    base = f"/spec/http/{index}/route"
    stable_at, canary_at = positions(routes, pair)
    was_stable, was_canary = positions(was, pair)
    operations: list[Operation] = [{"op": "test", "path": base, "value": routes}]
    operations += _restore_weight(f"{base}/{stable_at}", routes[stable_at], was[was_stable])
    if "subset" not in was[was_stable]["destination"] and "subset" in routes[stable_at]["destination"]:
        operations.append({"op": "remove", "path": f"{base}/{stable_at}/destination/subset"})
    if canary_at is not None:
        if was_canary is None:
            operations.append({"op": "remove", "path": f"{base}/{canary_at}"})
        else:
            operations += _restore_weight(f"{base}/{canary_at}", routes[canary_at], was[was_canary])
    return operations if len(operations) > 1 else []


def _restore_weight(path: str, route: Json, was: Json) -> list[Operation]:
    if route.get("weight") == was.get("weight"):
        return []
    if "weight" in was:
        return [{"op": "add", "path": f"{path}/weight", "value": was["weight"]}]
    return [{"op": "remove", "path": f"{path}/weight"}]


def _prepare_rule(
    rule: Json | None, virtual_service: Json, pair: Pair
) -> tuple[tuple[ObjectPatch, ...], tuple[Json, ...], dict[str, Any]]:
    wanted = [
        {"name": name, "labels": {pair.label: value}}
        for name, value in zip((pair.stable, pair.canary), pair.labels, strict=True)
    ]
    if rule is None:
        name = pair.host.split(".")[0]
        created = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {
                "name": f"{name}-gitlab-mesh",
                "namespace": virtual_service["metadata"]["namespace"],
                "labels": {"app.kubernetes.io/managed-by": "gitlab-mesh"},
            },
            "spec": {"host": pair.host, "subsets": wanted},
        }
        return (), (created,), {key_of(created): {"created": True}}
    subsets = rule.get("spec", {}).get("subsets")
    known = {subset["name"]: subset for subset in subsets or ()}
    missing = [subset for subset in wanted if subset["name"] not in known]
    if not missing:
        return (), (), {}
    policy = known.get(pair.stable, {}).get("trafficPolicy")
    if policy is not None:
        # The canary must be reached as stable is (TLS, pools), or the comparison would compare policies.
        missing = [
            {**subset, "trafficPolicy": policy} if subset["name"] == pair.canary else subset for subset in missing
        ]
    operations: list[Operation]
    if subsets is None:
        operations = [*unchanged(rule), {"op": "add", "path": "/spec/subsets", "value": missing}]
    else:
        operations = [*unchanged(rule), {"op": "test", "path": "/spec/subsets", "value": subsets}]
        operations += [{"op": "add", "path": "/spec/subsets/-", "value": subset} for subset in missing]
    original = {"added": [subset["name"] for subset in missing], "had_subsets": subsets is not None}
    return (patch_of(rule, operations),), (), {key_of(rule): original}


def _restore_rule(rule: Json, was: Json) -> list[Operation]:
    subsets = rule.get("spec", {}).get("subsets") or []
    ours = [index for index, subset in enumerate(subsets) if subset.get("name") in was.get("added", ())]
    if not ours:
        return []
    operations: list[Operation] = [{"op": "test", "path": "/spec/subsets", "value": subsets}]
    if len(ours) == len(subsets) and not was.get("had_subsets"):
        return [*operations, {"op": "remove", "path": "/spec/subsets"}]
    return [*operations, *({"op": "remove", "path": f"/spec/subsets/{index}"} for index in reversed(ours))]


def _find_again(virtual_service: Json, index: int, was: Json, pair: Pair) -> int | None:
    def has_pair(http: Json) -> bool:
        targets = [target_of(route) for route in http.get("route", ())]
        return any(map(pair.is_canary, targets)) and any(map(pair.is_stable, targets))

    return find_again(virtual_service.get("spec", {}).get("http", ()), index, was.get("name"), has_pair)
