"""The Istio router: a user's own VirtualService and DestinationRule, through the Cluster port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gitlab_mesh.adapters.kubernetes.sides import find_existing, read_stable_label
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.additions import plan_prepare, plan_restore
from gitlab_mesh.core.mesh.fencing import plan_fence
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.pair import Pair
from gitlab_mesh.core.mesh.route import RouteChange, RouteState
from gitlab_mesh.core.mesh.routing import plan_weight, read_state, routes_to
from gitlab_mesh.core.mesh.several import join_changes, join_states
from gitlab_mesh.errors import ObjectMissingError, UsageError
from gitlab_mesh.ports import Cluster, Object

__all__ = ["IstioRouter"]


class IstioRouter:
    """Port ``TrafficRouter`` for VirtualServices.

    Args:
        cluster: The door to the API.
        service: Whose route.
    """

    def __init__(self, cluster: Cluster, service: ServiceConfig) -> None:
        self._cluster = cluster
        self._service = service
        self._host = resolve_host(service.host or service.name, service.namespace)
        self._name = service.route.virtual_service

    def read(self) -> RouteState:
        """Read the live routes and their DestinationRule.

        Of several routes those that exist: the others' weights still have to be taken back when one was deleted.
        """
        virtual_services, missing = self._find_virtual_services()
        rule = self._find_rule()
        pair = self._pair(rule)
        return replace(join_states([read_state(item, rule, pair) for item in virtual_services]), missing=missing)

    def plan_prepare(self, state: RouteState, fence: str) -> RouteChange:
        """See ``core.mesh.additions.plan_prepare``."""
        routes, rule = _split(state)
        pair = self._pair(rule)
        return join_changes([plan_prepare(item, rule, pair, fence) for item in routes])

    def plan_weight(self, state: RouteState, share: float, fence: str) -> RouteChange:
        """See ``core.mesh.routing.plan_weight``."""
        routes, rule = _split(state)
        pair = self._pair(rule)
        return join_changes([plan_weight(item, pair, share, fence) for item in routes])

    def plan_take_over(self, state: RouteState, fence: str) -> RouteChange:
        """See ``core.mesh.routing.plan_fence``."""
        return join_changes([plan_fence(item, fence) for item in _split(state)[0]])

    def plan_restore(self, state: RouteState | None, originals: Mapping[str, Any], fence: str) -> RouteChange:
        """See ``core.mesh.additions.plan_restore``."""
        routes, rule = _split(state) if state is not None else ([], self._find_rule())
        pair = self._pair(rule)
        items: list[Mapping[str, Any] | None] = [*routes] or [None]
        each = [plan_restore(item, rule, pair, originals, fence) for item in items]
        return join_changes(each, restoring=True)

    def apply(self, change: RouteChange, *, dry_run: bool = False) -> RouteState:
        """Write the change in its order, then read everything back.

        Where several objects change, the API server first tries all patches without keeping them: a precondition that
        fails is found before the first write, so that all of them move or none.
        """
        if len(change.patches) > 1 and not dry_run and not change.create:
            for patch in change.patches:
                self._cluster.patch(patch.kind, patch.namespace, patch.name, patch.operations, dry_run=True)
        for body in change.create:
            self._cluster.create(dict(body), dry_run=dry_run)
        for patch in change.patches:
            self._cluster.patch(patch.kind, patch.namespace, patch.name, patch.operations, dry_run=dry_run)
        for kind, namespace, name in change.delete:
            if not dry_run:
                self._cluster.delete(kind, namespace, name)
        return self.read()

    def _find_virtual_services(self) -> tuple[list[Object], tuple[str, ...]]:
        namespace, also = self._service.namespace, self._service.route.also
        if not also:
            return [self._find_virtual_service()], ()

        def find(name: str) -> Object:
            return (
                self._cluster.get("VirtualService", namespace, name) if name in also else self._find_virtual_service()
            )

        return find_existing((self._name or "", *also), find)

    def _find_virtual_service(self) -> Object:
        namespace, route = self._service.namespace, self._service.route
        if self._name is not None:
            try:
                return self._cluster.get("VirtualService", namespace, self._name)
            except ObjectMissingError as error:
                known = [item["metadata"]["name"] for item in self._cluster.list("VirtualService", namespace)]
                raise ObjectMissingError(
                    f"VirtualService {namespace}/{self._name} does not exist",
                    why=f"the namespace has {', '.join(known) or 'none'}",
                    hint=f"set services.{self._service.name}.route.virtualService in mesh.yaml to one of them",
                ) from error
        found = self._cluster.list("VirtualService", namespace)
        if route.host is not None:
            found = [item for item in found if route.host in item.get("spec", {}).get("hosts", ())]
            what = f"with the host {route.host}"
        else:
            found = [item for item in found if routes_to(item, self._host)]
            what = f"that leads to {self._host}"
        if len(found) != 1:
            names = ", ".join(item["metadata"]["name"] for item in found) or "none"
            raise UsageError(
                f"there must be one VirtualService {what} in namespace {namespace}; found: {names}",
                why="which route the release may move is not ours to guess",
                hint=f"name it: services.{self._service.name}.route: {{virtualService: …}}",
            )
        self._name = found[0]["metadata"]["name"]
        return found[0]

    def _find_rule(self) -> Object | None:
        namespace = self._service.namespace
        rules = [
            item
            for item in self._cluster.list("DestinationRule", namespace)
            if resolve_host(str(item.get("spec", {}).get("host", "")), namespace) == self._host
        ]
        if len(rules) > 1:
            names = ", ".join(sorted(item["metadata"]["name"] for item in rules))
            raise UsageError(
                f"{len(rules)} DestinationRules are for {self._host}: {names}",
                why="Istio merges them in an order that is not defined; a subset could be lost",
                hint="put them into one",
            )
        return rules[0] if rules else None

    def _pair(self, rule: Mapping[str, Any] | None) -> Pair:
        """The pair of destinations, with the label values that the DestinationRule's subsets already use."""
        service, subsets = self._service, self._service.subsets
        values = {
            subset.get("name"): (subset.get("labels") or {}).get(subsets.label)
            for subset in (rule or {}).get("spec", {}).get("subsets") or ()
        }
        stable = values.get(subsets.stable) or read_stable_label(self._cluster, service) or subsets.stable
        canary = values.get(subsets.canary) or subsets.canary
        return Pair(
            namespace=service.namespace,
            host=self._host,
            stable=subsets.stable,
            canary=subsets.canary,
            routes=service.route.http,
            label=subsets.label,
            labels=(stable, canary),
        )


def _split(state: RouteState) -> tuple[list[Mapping[str, Any]], Mapping[str, Any] | None]:
    """Return the VirtualServices, in their order, and the DestinationRule."""
    routes: list[Mapping[str, Any]] = []
    rule = None
    for key, item in state.objects.items():
        if key.startswith("VirtualService/"):
            routes.append(item)
        elif key.startswith("DestinationRule/"):
            rule = item
    return routes, rule
