"""Several routes of one service (a gateway's and the mesh's) read and changed as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gitlab_mesh.core.mesh.route import ROUTE_KINDS, ObjectPatch, RouteChange, RouteState

__all__ = ["join_changes", "join_states"]


def join_states(states: Sequence[RouteState]) -> RouteState:
    """Read several routes as one: the largest share, uniform only if all agree, one fence.

    The fence is None if any of them lost it; if two carry different ones, both are named, so that it is nobody's.
    """
    first = states[0]
    if len(states) == 1:
        return first
    fences = {state.fence for state in states}
    held = sorted(fence for fence in fences if fence is not None)
    fence = " and ".join(held) if len(held) > 1 else (None if None in fences else held[0])
    shares = [state.share for state in states]
    known = [share for share in shares if share is not None]
    odd = next((state for state in states if state.share != first.share), first)
    return replace(
        first,
        objects={key: item for state in states for key, item in state.objects.items()},
        share=max(known) if known else None,
        fence=fence,
        uniform=len(set(shares)) == 1 and all(state.uniform for state in states),
        writer=odd.writer or first.writer,
        gateways=tuple(dict.fromkeys(gateway for state in states for gateway in state.gateways)),
        pending=next((state.pending for state in states if state.pending), ""),
        lagging=next((state.lagging for state in states if state.lagging), ""),
        common=any(state.common for state in states),
        unrecorded={key: was for state in states for key, was in state.unrecorded.items()},
    )


def join_changes(changes: Sequence[RouteChange], *, restoring: bool = False) -> RouteChange:
    """Join the changes of several routes; what they share (DestinationRule, Services) is written once.

    Make before break: the subsets come before every route that names them, and go after the last one is restored.

    Args:
        changes: One a route, each with the same change of what they share.
        restoring: Whether additions are taken back.
    """
    first = changes[0]
    routes = tuple(patch for change in changes for patch in change.patches if patch.kind in ROUTE_KINDS)
    shared = _once(patch for change in changes for patch in change.patches if patch.kind not in ROUTE_KINDS)
    return RouteChange(
        patches=(*routes, *shared) if restoring else (*shared, *routes),
        summary="; ".join(dict.fromkeys(change.summary for change in changes)),
        originals={key: value for change in reversed(changes) for key, value in change.originals.items()},
        create=first.create,
        delete=first.delete,
    )


def _once(patches: Iterable[ObjectPatch]) -> tuple[ObjectPatch, ...]:
    found: dict[tuple[str, str, str], ObjectPatch] = {}
    for patch in patches:
        found.setdefault((patch.kind, patch.namespace, patch.name), patch)
    return tuple(found.values())
