"""Services of ``mesh.yaml`` against the objects of the repository: would a release find what it needs?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.mesh_file import RELEASED
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.mesh.hosts import resolve_host
from gitlab_mesh.core.mesh.pair import Pair, positions
from gitlab_mesh.core.mesh.routing import find_moved
from gitlab_mesh.errors import GitlabMeshError

__all__: list[str] = []

_MESH = "version: 1\nservices:\n  shop:\n    namespace: shop\n    route: {virtualService: shop}\n"
_WEB = "  web:\n    namespace: shop\n    route: {httpRoute: web}\n"
_TO = "route: [{destination: {host: shop}}]"
_ROUTE = example("VirtualService", f"hosts: [shop], http: [{{{_TO}}}]")
_DEPLOYMENT = example("Deployment", "template: {metadata: {labels: {app: shop, version: v1}}}")


def _routes(mesh: Mesh, service: Document) -> Iterator[tuple[str, Document | None]]:
    """Yield the name of each route that mesh.yaml names, with the object."""
    route = mapping(service.spec.get("route"))
    known = {item.name: item for item in mesh.within(str(route.get("kind")), service.namespace)}
    yield from ((str(name), known.get(str(name))) for name in route.get("names") or ())


@rule(
    "GM1801",
    "release without its route",
    Level.ERROR,
    reads=(RELEASED, "VirtualService", "HTTPRoute"),
    also=(NOT_READ,),
    why="the canary job stops before it deploys anything: it has no weights to move",
    mend="correct route.virtualService (or route.httpRoute) in mesh.yaml, or add the object",
    bad=_MESH + _ROUTE.replace("name: shop,", "name: store,"),
    good=_MESH + _WEB + _ROUTE + example("HTTPRoute", "rules: [{backendRefs: [{name: web, port: 80}]}]", name="web"),
)
def check_routes(mesh: Mesh) -> Iterator[Problem]:
    """Routes that mesh.yaml names and nobody defines."""
    for service in mesh.of(RELEASED):
        kind = str(mapping(service.spec.get("route")).get("kind"))
        for name, found in _routes(mesh, service):
            if found is None:
                surely = bool(mesh.within(kind, service.namespace))
                key = "httpRoute" if kind == "HTTPRoute" else "virtualService"
                message = f"namespace {service.namespace} has no {kind} {name}"
                yield missing(mesh, service, ("route", key), message, surely=surely)


@rule(
    "GM1802",
    "release of a workload that does not exist",
    Level.ERROR,
    reads=(RELEASED, "Deployment"),
    also=(NOT_READ,),
    why="the canary is made from the stable Deployment: without it the job stops",
    mend="correct workload.name in mesh.yaml, or add the Deployment",
    bad=_MESH + _DEPLOYMENT.replace("name: shop,", "name: store,"),
    good=_MESH + _DEPLOYMENT,
)
def check_workloads(mesh: Mesh) -> Iterator[Problem]:
    """Deployments of services."""
    for service in mesh.of(RELEASED):
        name, known = service.spec.get("workload"), mesh.within("Deployment", service.namespace)
        if all(item.name != name for item in known):
            message = f"namespace {service.namespace} has no Deployment {name}"
            yield missing(mesh, service, ("workload", "name"), message, surely=bool(known))


def _pair(service: Document) -> Pair:
    subsets: dict[str, Any] = mapping(service.spec.get("subsets"))
    return Pair(
        service.namespace,
        resolve_host(str(service.spec.get("host")), service.namespace),
        stable=str(subsets.get("stable")),
        canary=str(subsets.get("canary")),
        routes=tuple(str(name) for name in mapping(service.spec.get("route")).get("http") or ()),
    )


def _plain(route: Document) -> dict[str, Any]:
    """Return what of a VirtualService decides which weights are moved, in the form that a cluster's object has."""
    https = [
        {
            "name": str(http.get("name", f"#{i}")),
            "route": [{"destination": mapping(item.get("destination"))} for _, item in dicts(http.get("route"))],
        }
        for i, http in dicts(route.spec.get("http"))
    ]
    metadata = {"name": route.name, "namespace": route.namespace}
    return {"kind": route.kind, "apiVersion": route.api_version, "metadata": metadata, "spec": {"http": https}}


@rule(
    "GM1803",
    "route that a release cannot move",
    Level.ERROR,
    reads=(RELEASED, "VirtualService"),
    why="the canary job's own check refuses it before anything is deployed",
    mend="do what the job says: gitlab-mesh job canary names the same",
    bad=_MESH + example("VirtualService", f"hosts: [shop], http: [{{name: a, {_TO}}}, {{name: b, {_TO}}}]"),
    good=_MESH + _ROUTE,
)
def check_movable(mesh: Mesh) -> Iterator[Problem]:
    """VirtualServices, read with the code that moves the weights."""
    for service in mesh.of(RELEASED):
        if mapping(service.spec.get("route")).get("kind") != "VirtualService":
            continue
        pair = _pair(service)
        for _, route in _routes(mesh, service):
            if route is None:
                continue
            plain = _plain(route)
            try:
                for index in find_moved(plain, pair):
                    positions(plain["spec"]["http"][index]["route"], pair)
            except GitlabMeshError as error:
                path: Path = ("spec", "http")
                yield Problem(
                    route, path, f"for {service.resource}: {error.what}", error.hint or error.why, at_key=True
                )
