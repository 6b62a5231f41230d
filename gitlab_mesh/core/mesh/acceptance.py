"""Whether the control plane has taken an HTTPRoute up as it is written: what its status says of each parent."""

from __future__ import annotations

from gitlab_mesh.core.mesh.pair import Json, label_of

__all__ = ["find_lagging", "find_pending"]

_CONDITIONS = ("Accepted", "ResolvedRefs")


def find_lagging(route: Json) -> str:
    """Return why the weights that are written may not be followed; "" if every parent took this generation up.

    A reference that does not resolve gets errors for its part of the requests, and nobody gets another one's part.
    """
    return find_pending(route, resolved=False)


def find_pending(route: Json, *, resolved: bool = True) -> str:
    """Return why the route is not in force as it is written; "" if every parent accepted this generation.

    Each controller that serves a parent writes an entry with the generation that it has seen (``RouteParentStatus``,
    condition field ``observedGeneration``). One that stands for another generation, or none, is no acceptance.

    Args:
        route: The HTTPRoute.
        resolved: Whether each of its references must lead somewhere, too.
    """
    generation = int(route["metadata"].get("generation", 0))
    entries = (route.get("status") or {}).get("parents") or ()
    for parent in route.get("spec", {}).get("parentRefs") or ():
        own = _reference(parent, route)
        mine = [entry for entry in entries if _reference(entry.get("parentRef") or {}, route) == own]
        if not mine:
            return f"no controller has answered for {own[1]} {own[2]}/{own[3]}, a parent of {label_of(route)}"
        for entry in mine:
            problem = _problem(entry, generation, resolved)
            if problem:
                return f"{label_of(route)} at {own[1]} {own[2]}/{own[3]}: {problem}"
    return ""


def _problem(entry: Json, generation: int, resolved: bool) -> str:
    who = entry.get("controllerName", "the controller")
    conditions = {condition.get("type"): condition for condition in entry.get("conditions") or ()}
    for kind in _CONDITIONS:
        condition = conditions.get(kind)
        if condition is None:
            return f"{who} has not said {kind}"
        seen = int(condition.get("observedGeneration") or 0)
        if seen < generation:
            return f"{who} has seen generation {seen} of {generation}"
        if condition.get("status") != "True" and (resolved or kind == "Accepted"):
            text = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
            return f"{who} says {kind} {condition.get('status')}" + (f" ({text})" if text else "")
    return ""


def _reference(ref: Json, route: Json) -> tuple[str, str, str, str, str, str]:
    """A ParentReference with its defaults: group, kind, namespace, name, sectionName, port."""
    group = ref.get("group")
    return (
        "gateway.networking.k8s.io" if group is None else str(group),
        str(ref.get("kind") or "Gateway"),
        str(ref.get("namespace") or route["metadata"]["namespace"]),
        str(ref.get("name", "")),
        str(ref.get("sectionName") or ""),
        str(ref.get("port") or ""),
    )
