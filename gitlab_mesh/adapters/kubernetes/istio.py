"""The Istio router: a user's own VirtualService and DestinationRule, through the Cluster port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.additions import plan_prepare, plan_restore
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.pair import Pair
from gitlab_mesh.core.mesh.route import RouteChange, RouteState
from gitlab_mesh.core.mesh.routing import plan_fence, plan_weight, read_state, routes_to
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
        """Read the live route and its DestinationRule."""
        virtual_service = self._find_virtual_service()
        rule = self._find_rule()
        return read_state(virtual_service, rule, self._pair(rule))

    def plan_prepare(self, state: RouteState, fence: str) -> RouteChange:
        """See ``core.mesh.additions.plan_prepare``."""
        virtual_service, rule = _split(state)
        return plan_prepare(virtual_service, rule, self._pair(rule), fence)

    def plan_weight(self, state: RouteState, share: float, fence: str) -> RouteChange:
        """See ``core.mesh.routing.plan_weight``."""
        virtual_service, rule = _split(state)
        return plan_weight(virtual_service, self._pair(rule), share, fence)

    def plan_take_over(self, state: RouteState, fence: str) -> RouteChange:
        """See ``core.mesh.routing.plan_fence``."""
        return plan_fence(_split(state)[0], fence)

    def plan_restore(self, state: RouteState | None, originals: Mapping[str, Any], fence: str) -> RouteChange:
        """See ``core.mesh.additions.plan_restore``."""
        virtual_service, rule = _split(state) if state is not None else (None, self._find_rule())
        return plan_restore(virtual_service, rule, self._pair(rule), originals, fence)

    def apply(self, change: RouteChange, *, dry_run: bool = False) -> RouteState:
        """Write the change in its order, then read everything back."""
        for body in change.create:
            self._cluster.create(dict(body), dry_run=dry_run)
        for patch in change.patches:
            self._cluster.patch(patch.kind, patch.namespace, patch.name, patch.operations, dry_run=dry_run)
        for kind, namespace, name in change.delete:
            if not dry_run:
                self._cluster.delete(kind, namespace, name)
        return self.read()

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
        stable = values.get(subsets.stable) or self._stable_label() or subsets.stable
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

    def _stable_label(self) -> str | None:
        """Label value of the stable Deployment's pods, for a subset that we must add ourselves."""
        try:
            deployment = self._cluster.get("Deployment", self._service.namespace, self._service.stable_workload)
        except ObjectMissingError:
            return None
        labels = deployment["spec"]["template"].get("metadata", {}).get("labels") or {}
        value = labels.get(self._service.subsets.label)
        return str(value) if value is not None else None


def _split(state: RouteState) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    by_kind = {key.split("/")[0]: value for key, value in state.objects.items()}
    return by_kind["VirtualService"], by_kind.get("DestinationRule")
