"""How far a configuration reaches: visibility, takeover of hosts."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import SYSTEM_NAMESPACES, Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, texts
from gitlab_mesh.core.analysis.places import places
from gitlab_mesh.core.analysis.registry import object_rule, rule
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []


def _route(host: str, more: str = "", *, namespace: str = "team") -> str:
    spec = f"hosts: ['{host}'], {more}http: [{{route: [{{destination: {{host: proxy}}}}]}}]"
    return example("VirtualService", spec, name="x", namespace=namespace)


@rule(
    "GM2704",
    "route that takes over another namespace's host",
    Level.ERROR,
    suite="security",
    reads=("VirtualService",),
    why="sidecars everywhere follow this VirtualService: it can read and redirect requests for a service of others",
    mend="let the owner's namespace hold the route, or limit it: exportTo: [.]",
    bad=_route("pay.bank.svc.cluster.local"),
    good=_route("pay.bank.svc.cluster.local", "exportTo: [.], "),
)
def check_hijack(mesh: Mesh) -> Iterator[Problem]:
    """Mesh routes for hosts of other namespaces that everybody sees."""
    suffix = f".svc.{mesh.options.cluster_domain}"
    for document in mesh.of("VirtualService"):
        gateways = document.spec.get("gateways")
        scopes = [scope for _, scope in texts(document.spec.get("exportTo"))]
        if (gateways and "mesh" not in gateways) or (scopes and "*" not in scopes) or not document.namespace:
            continue
        for i, host in texts(document.spec.get("hosts")):
            owner = host.removesuffix(suffix).rpartition(".")[2] if host.endswith(suffix) else document.namespace
            if owner != document.namespace:
                yield Problem(
                    document, ("spec", "hosts", i), f"{host} belongs to namespace {owner}, not to {document.namespace}"
                )


@object_rule(
    "GM2801",
    "configuration that every namespace sees",
    Level.INFO,
    suite="security",
    profile="strict",
    reads=("VirtualService", "DestinationRule", "ServiceEntry"),
    why="a change here reaches proxies of every team; what others should not call is told to them",
    mend="set exportTo: [.], or name the namespaces that need it",
    bad=_route("shop"),
    good=_route("shop", "exportTo: [.], "),
)
def check_exports(document: Document) -> Iterator[Problem]:
    """ExportTo * or none."""
    scopes = [scope for _, scope in texts(document.spec.get("exportTo"))]
    if not scopes or "*" in scopes:
        path = ("spec", "exportTo") if scopes else ("spec",)
        yield Problem(document, path, "it is exported to every namespace")


_SPACE = example("Namespace", None, namespace="", labels="istio-injection: enabled")


@rule(
    "GM2802",
    "namespace that sees the whole mesh",
    Level.INFO,
    suite="security",
    profile="strict",
    reads=("Namespace", "Sidecar"),
    references=("OWASP K07:2022",),
    why="its proxies know every service: what was never meant to be called can be, and each change reaches them",
    mend="apply a Sidecar without selector whose egress names what the namespace needs",
    bad=_SPACE,
    good=_SPACE + example("Sidecar", "egress: [{hosts: ['./*', 'istio-system/*']}]", name="default"),
)
def check_sidecars(mesh: Mesh) -> Iterator[Problem]:
    """Namespaces with injection and without a default Sidecar; egress hosts */*."""
    root = mesh.options.root_namespace
    scoped = {item.namespace for item in mesh.of("Sidecar") if not selector_of(item)}
    for document in mesh.of("Sidecar"):
        for path, host in places(document.body, "spec.egress[].hosts[]"):
            if host in ("*/*", "*"):
                yield Problem(document, path, "every service of the mesh is visible")
    for namespace in mesh.of("Namespace"):
        name = namespace.name
        known = {name, root} & scoped or name in SYSTEM_NAMESPACES or name == root
        if name in mesh.injected_namespaces and not known:
            yield Problem(namespace, ("metadata", "name"), "no Sidecar limits what its proxies see")


@object_rule(
    "GM2803",
    "route for every host of a gateway",
    Level.WARNING,
    suite="security",
    reads=("VirtualService",),
    references=("OWASP API9:2023",),
    why="it answers for hosts that others publish later, and for any name that an attacker lets point to the gateway",
    mend="name the hosts",
    bad=_route("*", "gateways: [edge], "),
    good=_route("shop.example.com", "gateways: [edge], "),
)
def check_catch_all(document: Document) -> Iterator[Problem]:
    """Host * at a gateway."""
    if any(name != "mesh" for _, name in texts(document.spec.get("gateways"))):
        for i, host in texts(document.spec.get("hosts")):
            if host == "*":
                yield Problem(document, ("spec", "hosts", i), "it answers for every host")
