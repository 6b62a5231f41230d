"""The Gateway API router: a user's own HTTPRoute and the Services of the two sides, through the Cluster port."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gitlab_mesh.adapters.kubernetes.sides import find_existing, read_stable_label
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.mesh.backends import BackendPair
from gitlab_mesh.core.mesh.fencing import plan_fence
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.http_route import plan_http_weight, read_http_state
from gitlab_mesh.core.mesh.http_route_additions import plan_http_prepare, plan_http_restore
from gitlab_mesh.core.mesh.route import ObjectPatch, RouteChange, RouteState
from gitlab_mesh.core.mesh.several import join_changes, join_states
from gitlab_mesh.errors import ObjectMissingError, TransientError
from gitlab_mesh.ports import Clock, Cluster, Object

__all__ = ["GatewayApiRouter"]

ACCEPT_SECONDS = 20.0
"""Until the control plane must have taken up a change that another change depends on.

No longer than a third of the lease, which nobody renews meanwhile: the executor renews it and tries again.
"""

SETTLE_SECONDS = 2.0
"""After the control plane's word, before what builds on it is written.

Between its word and what its proxies do: Istio's debounce is 100 ms, its push some more. And istiod does not look at
backends of weight 0 (pilot/pkg/config/kube/gateway/conversion.go, ``buildHTTPDestination``): that it accepts a route to
a new Service says that it follows the API server, not that it has read the Service already.
"""

_POLL_SECONDS = 0.2


class GatewayApiRouter:
    """Port ``TrafficRouter`` for HTTPRoutes.

    Args:
        cluster: The door to the API.
        service: Whose route.
        clock: For the waits between changes that depend on each other.
    """

    def __init__(self, cluster: Cluster, service: ServiceConfig, clock: Clock) -> None:
        self._cluster = cluster
        self._service = service
        self._clock = clock
        self._base = (service.host or service.name).split(".")[0]

    def read(self) -> RouteState:
        """Read the live routes and what stands beside them; of several routes those that exist."""
        routes, missing = find_existing(self._service.route.names, self._find_route)
        others = self._read_others()
        pair = self._pair(others)
        return replace(join_states([read_http_state(route, others, pair) for route in routes]), missing=missing)

    def plan_prepare(self, state: RouteState, fence: str) -> RouteChange:
        """See ``core.mesh.http_route_additions.plan_http_prepare``."""
        routes, others = _split(state)
        pair = self._pair_of(state)
        return join_changes([plan_http_prepare(route, others, pair, fence) for route in routes])

    def plan_weight(self, state: RouteState, share: float, fence: str) -> RouteChange:
        """See ``core.mesh.http_route.plan_http_weight``."""
        pair = self._pair_of(state)
        routes, others = _split(state)
        return join_changes([plan_http_weight(route, pair, share, fence, others=others) for route in routes])

    def plan_take_over(self, state: RouteState, fence: str) -> RouteChange:
        """See ``core.mesh.fencing.plan_fence``."""
        return join_changes([plan_fence(route, fence) for route in _split(state)[0]])

    def plan_restore(self, state: RouteState | None, originals: Mapping[str, Any], fence: str) -> RouteChange:
        """See ``core.mesh.http_route_additions.plan_http_restore``."""
        if state is None:
            beside = self._read_others()
            return plan_http_restore(None, beside, self._pair(beside), originals, fence)
        routes, others = _split(state)
        pair = self._pair_of(state)
        each = [plan_http_restore(route, others, pair, originals, fence) for route in routes]
        return join_changes(each, restoring=True)

    def apply(self, change: RouteChange, *, dry_run: bool = False) -> RouteState:
        """Write the change in its order, waiting where one write depends on what another one does; then read back.

        A route leads to a new Service only when that has ready endpoints and the control plane knows it; a Service is
        deleted only when the control plane has taken up a route that does not lead to it any more.

        Raises:
            TransientError: The control plane or the endpoints did not follow in time.
        """
        if dry_run:
            return self._rehearse(change)
        until = self._clock.monotonic() + min(ACCEPT_SECONDS, self._service.rollout.lease / 3)
        for body in change.create:
            self._cluster.create(dict(body))
        added, exchanged = _rounds(change.patches)
        if exchanged:
            self._await(self._without_endpoints, until, "the route leads to it only then")
        self._write(added)
        if exchanged:
            self._settle(until, "stable's backend is exchanged only for one that it knows")
            self._write(exchanged)
        if change.delete:
            self._delete(change, until)
        return self.read()

    def _rehearse(self, change: RouteChange) -> RouteState:
        """Let the API server try it; a second patch of one object builds on the first and cannot be tried alone."""
        for body in change.create:
            self._cluster.create(dict(body), dry_run=True)
        self._try(_rounds(change.patches)[0])
        return self.read()

    def _write(self, patches: Sequence[ObjectPatch]) -> None:
        """Where several routes change, all patches are tried before the first is kept: all of them move or none."""
        if len(patches) > 1:
            self._try(patches)
        for patch in patches:
            self._cluster.patch(patch.kind, patch.namespace, patch.name, patch.operations)

    def _try(self, patches: Sequence[ObjectPatch]) -> None:
        for patch in patches:
            self._cluster.patch(patch.kind, patch.namespace, patch.name, patch.operations, dry_run=True)

    def _delete(self, change: RouteChange, until: float) -> None:
        with contextlib.suppress(ObjectMissingError):  # without a route nothing leads there
            self._settle(until, "its former backends are deleted only then")
        for kind, namespace, name in change.delete:
            self._cluster.delete(kind, namespace, name)

    def _settle(self, until: float, why: str) -> None:
        """Wait for the control plane's word, then for what its proxies make of it; no signal cuts that short."""
        self._await(lambda: self.read().pending, until, why)
        settled = self._clock.monotonic() + min(SETTLE_SECONDS, self._service.rollout.lease / 6)
        while (left := settled - self._clock.monotonic()) > 0:
            self._clock.sleep(left)

    def _without_endpoints(self) -> str:
        """One ready endpoint will do: the endpoint controller writes up to 100 of them at once."""
        namespace, name = self._service.namespace, self._stable_name
        slices = self._cluster.list("EndpointSlice", namespace, label_selector=f"kubernetes.io/service-name={name}")
        for item in slices:
            for endpoint in item.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    return ""
        return f"Service {namespace}/{name} has no ready endpoint"

    def _await(self, find_problem: Callable[[], str], until: float, why: str) -> None:
        while problem := find_problem():
            if self._clock.monotonic() >= until:
                raise TransientError(
                    problem,
                    why=why,
                    hint="look at the control plane (istiod), and at the status of the HTTPRoute",
                )
            self._clock.sleep(_POLL_SECONDS)

    def _find_route(self, name: str) -> Object:
        namespace = self._service.namespace
        try:
            return self._cluster.get("HTTPRoute", namespace, name)
        except ObjectMissingError as error:
            raise ObjectMissingError(
                f"HTTPRoute {namespace}/{name} does not exist",
                why=error.why or error.what,
                hint=f"set services.{self._service.name}.route.httpRoute in mesh.yaml to one that does",
            ) from error

    @property
    def _stable_name(self) -> str:
        return f"{self._base}-{self._service.subsets.stable}"

    def _read_others(self) -> dict[str, Object]:
        """Read the Services, and the DestinationRules for the service's host, by "Kind/namespace/name"."""
        namespace, subsets = self._service.namespace, self._service.subsets
        found: dict[str, Object] = {}
        for name in (self._base, self._stable_name, f"{self._base}-{subsets.canary}"):
            try:
                found[f"Service/{namespace}/{name}"] = self._cluster.get("Service", namespace, name)
            except ObjectMissingError:
                continue
        host = resolve_host(self._base, namespace)
        try:
            rules = self._cluster.list("DestinationRule", namespace)
        except ObjectMissingError:  # a cluster without Istio's definitions has none
            rules = []
        for rule in rules:
            if resolve_host(str(rule.get("spec", {}).get("host", "")), namespace) == host:
                found[f"DestinationRule/{namespace}/{rule['metadata']['name']}"] = rule
        return found

    def _pair(self, others: Mapping[str, Mapping[str, Any]]) -> BackendPair:
        """The Services of the release; a service that selects stable's pods alone is its stable side itself."""
        service, subsets = self._service, self._service.subsets
        namespace = service.namespace

        def selected(name: str) -> str | None:
            spec = others.get(f"Service/{namespace}/{name}", {}).get("spec", {})
            return (spec.get("selector") or {}).get(subsets.label)

        own = selected(self._base)
        stable = self._base if own else self._stable_name
        value = own or selected(stable) or read_stable_label(self._cluster, service) or subsets.stable
        return BackendPair(
            namespace=namespace,
            service=self._base,
            stable=stable,
            canary=f"{self._base}-{subsets.canary}",
            rules=service.route.http,
            label=subsets.label,
            labels=(value, subsets.canary),
        )

    def _pair_of(self, state: RouteState) -> BackendPair:
        return BackendPair(
            namespace=self._service.namespace,
            service=self._base,
            stable=state.hosts[0].split(".")[0],
            canary=state.hosts[1].split(".")[0],
            rules=self._service.route.http,
            label=state.label,
            labels=state.label_values,
        )


def _rounds(patches: Sequence[ObjectPatch]) -> tuple[list[ObjectPatch], list[ObjectPatch]]:
    """Return the first patch of each route, and those that build on them (the exchange of stable's backend)."""
    first = {(patch.namespace, patch.name): patch for patch in reversed(patches)}
    added = [patch for patch in patches if first[patch.namespace, patch.name] is patch]
    return added, [patch for patch in patches if first[patch.namespace, patch.name] is not patch]


def _split(state: RouteState) -> tuple[list[Mapping[str, Any]], dict[str, Mapping[str, Any]]]:
    """Return the HTTPRoutes, in their order, and everything else by "Kind/namespace/name"."""
    routes, others = [], {}
    for key, item in state.objects.items():
        if key.startswith("HTTPRoute/"):
            routes.append(item)
        else:
            others[key] = item
    return routes, others
