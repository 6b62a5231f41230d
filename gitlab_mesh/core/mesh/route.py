"""What a router reads, and the changes that it plans, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FENCE_ANNOTATION", "ROUTE_KINDS", "ObjectPatch", "Operation", "RouteChange", "RouteState"]

FENCE_ANNOTATION = "gitlab-mesh.dev/rollout"

ROUTE_KINDS = ("VirtualService", "HTTPRoute")

Operation = Mapping[str, Any]
"""One RFC 6902 operation: ``{"op", "path", "value"}``."""


@dataclass(frozen=True, slots=True)
class ObjectPatch:
    """A JSON Patch of one object; ``test`` operations carry its preconditions."""

    kind: str
    namespace: str
    name: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class RouteChange:
    """What to write: first ``create``, then ``patches`` in their order, then ``delete`` (make before break).

    ``summary`` says it for the log and for ``--dry-run``; ``originals`` holds what the restoration needs and goes
    into the record before the change is applied.
    """

    patches: tuple[ObjectPatch, ...]
    summary: str
    originals: Mapping[str, Any] = field(default_factory=dict)
    create: tuple[Mapping[str, Any], ...] = ()
    delete: tuple[tuple[str, str, str], ...] = ()

    @property
    def empty(self) -> bool:
        """True if there is nothing to write."""
        return not (self.patches or self.create or self.delete)


@dataclass(frozen=True, slots=True)
class RouteState:
    """The live route.

    Attributes:
        objects: The live objects by "Kind/namespace/name".
        share: Canary's share of the pair, 0–1, as written, the largest of the moved HTTP routes; None where no
            destination for the canary exists.
        pair: The written integer weights (stable, canary) of the first moved HTTP route.
        uniform: Whether all moved HTTP routes have the same share.
        fence: Value of the fence annotation, or None.
        writer: Field manager that last wrote the weights, or empty.
        gateways: Names of the gateways that the route is bound to ("mesh" for sidecars).
        label: Pod label that tells the sides apart.
        label_values: Its values (stable, canary), as the subsets have them.
        hosts: Hosts of Services of the sides' own (stable, canary), under which telemetry counts their requests, too;
            empty where both sides share the service's host.
        pending: Why it is known that the control plane has not taken the route up as it is written; empty where it
            has, or where the kind of route cannot tell.
        lagging: The same, but for references that lead nowhere: the weights of the others are followed.
        common: Whether stable's traffic goes to a Service that selects the pods of both sides (before and after a
            release through an HTTPRoute, or when somebody led it back): the canary gets requests through it, whatever
            its weight.
        missing: Names of routes of this service that do not exist, while others do: theirs nobody can move.
        unrecorded: What to put back (as ``RouteChange.originals``) where the record of a rollout is lost and nobody
            knows how the route was before.
    """

    objects: Mapping[str, Mapping[str, Any]]
    share: float | None
    pair: tuple[int, int]
    fence: str | None
    uniform: bool = True
    writer: str = ""
    gateways: tuple[str, ...] = ("mesh",)
    label: str = "version"
    label_values: tuple[str, str] = ("stable", "canary")
    hosts: tuple[str, str] = ("", "")
    pending: str = ""
    lagging: str = ""
    common: bool = False
    missing: tuple[str, ...] = ()
    unrecorded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the routes, in their order."""
        keys = (key.split("/") for key in self.objects)
        return tuple(name for kind, _, name in keys if kind in ROUTE_KINDS)

    @property
    def version(self) -> str:
        """Changes when anybody writes one of the objects; what a controller says in a status is no such write."""
        return ",".join(str(_version_of(item)) for item in self.objects.values())


def _version_of(obj: Mapping[str, Any]) -> Any:
    # The controller writes an HTTPRoute's status after every change of ours; the fence is compared by itself.
    key = "generation" if obj.get("kind") == "HTTPRoute" else "resourceVersion"
    return obj["metadata"].get(key, "")
