"""The status of an HTTPRoute that is in force: what istiod writes for each of its parents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitlab_mesh.sandbox.envoy.http_routes import parent_of
from gitlab_mesh.sandbox.envoy.model import Json

__all__ = ["route_statuses"]

_CONTROLLER = "istio.io/gateway-controller"


def route_statuses(objects: Sequence[Mapping[str, Any]], now: str) -> Iterator[tuple[Mapping[str, Any], Json]]:
    """Yield each HTTPRoute with the status that it should have.

    Args:
        objects: What Envoy has in force.
        now: Time of conditions that change, RFC 3339.
    """
    there = {
        (f"{body['kind']}.{str(body.get('apiVersion', '')).rpartition('/')[0]}".rstrip("."), *_key(body))
        for body in objects
    }
    for body in objects:
        if body["kind"] == "HTTPRoute":
            yield body, {"parents": list(_parents(body, there, now))}


def _parents(route: Mapping[str, Any], there: set[tuple[str, str, str]], now: str) -> Iterator[Json]:
    namespace = route["metadata"]["namespace"]
    before = (route.get("status") or {}).get("parents") or ()
    missing = _missing_backends(route, there)
    generation = route["metadata"].get("generation", 1)
    for ref in route["spec"].get("parentRefs") or ():
        if parent_of(ref, namespace) not in there:
            continue  # nobody serves it, so nobody answers for it
        old = next((one.get("conditions") for one in before if one.get("parentRef") == ref), None) or ()
        resolved = ("False", "BackendNotFound", f"backend({missing}) not found") if missing else ("True", *_RESOLVED)
        conditions = [("Accepted", "True", *_ACCEPTED), ("ResolvedRefs", *resolved)]
        yield {
            "parentRef": ref,
            "controllerName": _CONTROLLER,
            "conditions": [_condition(*one, generation, old, now) for one in conditions],
        }


_ACCEPTED = ("Accepted", "Route was valid")
_RESOLVED = ("ResolvedRefs", "All references resolved")


def _missing_backends(route: Mapping[str, Any], there: set[tuple[str, str, str]]) -> str:
    """As istiod: a backend of weight 0 is not looked at."""
    namespace = route["metadata"]["namespace"]
    for rule in route["spec"].get("rules") or ():
        for ref in rule.get("backendRefs") or ():
            if ref.get("weight", 1) and ("Service", ref.get("namespace", namespace), ref["name"]) not in there:
                return f"{ref['name']}.{namespace}.svc.cluster.local"
    return ""


def _condition(
    kind: str, status: str, reason: str, message: str, generation: int, old: Sequence[Mapping[str, Any]], now: str
) -> Json:
    said = {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }
    before = next((one for one in old if one.get("type") == kind), {})
    return {**said, "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == status else now}


def _key(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body["metadata"].get("namespace", "")), str(body["metadata"]["name"])
