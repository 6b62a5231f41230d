"""The two Services between which an HTTPRoute's traffic moves, and how to find them in its backendRefs.

Gateway API has no subsets: a backend is a Service. So each side has a Service of its own, selecting the service's pods
by the version label; the canary's pods keep all other labels of stable, and every policy that selects pods holds for
them as well. Facts about fields: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRoute v1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gitlab_mesh.core.mesh.choosing import choose_routes
from gitlab_mesh.core.mesh.pair import Json, label_of
from gitlab_mesh.errors import UsageError

__all__ = ["BackendPair", "Backends", "backends_of", "find_backends", "find_rules", "leads_to", "weight_of_backend"]


@dataclass(frozen=True, slots=True)
class BackendPair:
    """The Services of a release.

    Attributes:
        namespace: Of the HTTPRoute and of all three Services.
        service: To which the route leads before and after; it selects the pods of both sides.
        stable: The stable side's own.
        canary: The canary's own.
        rules: Names of the rules to move; empty: the only one.
        label: Pod label that tells the sides apart.
        labels: Its values (stable, canary).
    """

    namespace: str
    service: str
    stable: str
    canary: str
    rules: tuple[str, ...] = ()
    label: str = "version"
    labels: tuple[str, str] = ("stable", "canary")

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """(Service, label value) of stable and of the canary."""
        return (self.stable, self.labels[0]), (self.canary, self.labels[1])

    def is_named(self, ref: Json, name: str) -> bool:
        """Whether a backendRef means this Service of ours."""
        if (ref.get("group") or "", ref.get("kind") or "Service") != ("", "Service"):
            return False
        return ref.get("name") == name and ref.get("namespace", self.namespace) == self.namespace


@dataclass(frozen=True, slots=True)
class Backends:
    """Positions in a rule's backendRefs; None where there is no such backend."""

    service: int | None
    stable: int | None
    canary: int | None

    @property
    def current(self) -> int | None:
        """Where stable's traffic goes: the service itself, or once it was exchanged, the stable side's own Service."""
        return self.stable if self.service is None else self.service


def find_backends(refs: Sequence[Json], pair: BackendPair) -> Backends:
    """Find the Services of a release.

    Raises:
        UsageError: One of them is there more than once.
    """
    found = []
    for name in (pair.service, pair.stable, pair.canary):
        hits = [at for at, ref in enumerate(refs) if pair.is_named(ref, name)]
        if len(hits) > 1:
            raise UsageError(
                f"a rule has {len(hits)} backendRefs to Service {pair.namespace}/{name}",
                why="one of each is what weights can be moved between",
            )
        found.append(hits[0] if hits else None)
    return Backends(*found)


def weight_of_backend(ref: Json) -> int:
    """Return the weight of a backendRef; 1 where none is given (Gateway API's default)."""
    weight = ref.get("weight")
    return 1 if weight is None else int(weight)


def backends_of(rule: Json) -> Sequence[Json]:
    """Return a rule's backendRefs."""
    refs: Sequence[Json] = rule.get("backendRefs") or ()
    return refs


def leads_to(route: Json, namespace: str, service: str) -> bool:
    """Whether any rule of the HTTPRoute leads to the Service."""
    own = route["metadata"]["namespace"]
    return any(
        ref.get("name") == service
        and ref.get("namespace", own) == namespace
        and (ref.get("kind") or "Service") == "Service"
        for ref in _all_backends(route)
    )


def find_rules(route: Json, pair: BackendPair) -> tuple[int, ...]:
    """Return the indexes of the rules to move; never guesses.

    Raises:
        UsageError: None leads to the service, several do and none is named, or a named one is missing or twice there.
    """
    rules: Sequence[Json] = route.get("spec", {}).get("rules") or ()
    candidates = [
        index for index, rule in enumerate(rules) if find_backends(backends_of(rule), pair).current is not None
    ]
    where = f"Service {pair.namespace}/{pair.service}"
    if not candidates:
        found = sorted({str(ref.get("name")) for ref in _all_backends(route)})
        raise UsageError(
            f"{label_of(route)}: no rule leads to {where}",
            why=f"its backends are {', '.join(found) or 'none'}",
            hint="set services.<name>.host in mesh.yaml to the Service that the route uses",
        )
    return choose_routes(label_of(route), rules, candidates, pair.rules, host=where, word="rule")


def _all_backends(route: Json) -> Iterator[Json]:
    for rule in route.get("spec", {}).get("rules") or ():
        yield from backends_of(rule)
