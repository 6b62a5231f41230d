"""Sidecar, Telemetry and others: selectors that pick nothing, twice the same pod, or what they cannot govern."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []

_SIDECAR = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: shop, namespace: shop}\nspec:\n  egress: [{hosts: [./*]}]\n"
_TELEMETRY = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: shop, namespace: shop}\nspec:\n"
_POD = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: shop, labels: {app: shop}}\n"


def _attached(document: Document) -> bool:
    return bool(document.spec.get("targetRef") or document.spec.get("targetRefs"))


def _empty(mesh: Mesh, kind: str) -> Iterator[Problem]:
    for document in mesh.of(kind):
        selector = selector_of(document)
        if not selector or (document.namespace == mesh.options.root_namespace and kind == "Telemetry"):
            continue
        if not mesh.select(document.namespace, selector):
            shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
            surely = bool(mesh.workloads_by_namespace.get(document.namespace))
            message = f"no pod of namespace {document.namespace or '(none)'} has the labels {shown}"
            path = ("spec", "workloadSelector") if kind == "Sidecar" else ("spec", "selector")
            yield missing(mesh, document, path, message, surely=surely)


def _same_pod(mesh: Mesh, kind: str) -> Iterator[Problem]:
    picked: dict[int, list[Document]] = defaultdict(list)
    names: dict[int, str] = {}
    for document in mesh.of(kind):
        selector = selector_of(document)
        if selector:
            for workload in mesh.select(document.namespace, selector):
                picked[id(workload)].append(document)
                names[id(workload)] = f"{workload.namespace}/{workload.name}".lstrip("/")
    for pod, documents in picked.items():
        if len(documents) > 1:
            whole = ", ".join(sorted(item.name for item in documents))
            for document in documents:
                path = ("spec", "workloadSelector") if kind == "Sidecar" else ("spec", "selector")
                yield Problem(document, path, f"{whole} all select pod {names[pod]}; only one of them holds")


def _no_selector(mesh: Mesh, kind: str) -> Iterator[Problem]:
    found: dict[str, list[Document]] = defaultdict(list)
    for document in mesh.of(kind):
        if not selector_of(document) and not _attached(document):
            found[document.namespace].append(document)
    for documents in found.values():
        if len(documents) > 1:
            whole = ", ".join(sorted(item.name for item in documents))
            for document in documents:
                yield Problem(
                    document, ("spec",), f"{whole} all hold for the whole namespace; only one of them is used"
                )


@rule(
    "GM0185",
    "Sidecar that selects no pod",
    Level.ERROR,
    istio="IST0101",
    reads=("Sidecar", "Pod", "Deployment"),
    also=(NOT_READ,),
    why="it configures nothing; the pods it is meant for keep the defaults",
    mend="correct the labels; a Sidecar selects in its own namespace only",
    bad=_SIDECAR + "  workloadSelector: {labels: {app: shpo}}\n" + _POD,
    good=_SIDECAR + "  workloadSelector: {labels: {app: shop}}\n" + _POD,
)
def check_sidecar_selector(mesh: Mesh) -> Iterator[Problem]:
    """The selector of each Sidecar."""
    return _empty(mesh, "Sidecar")


@rule(
    "GM0110",
    "several Sidecars for one pod",
    Level.ERROR,
    istio="IST0110",
    reads=("Sidecar", "Pod", "Deployment"),
    why="only one of them is used; which one is not defined",
    mend="let each pod be selected by one Sidecar",
    bad=_SIDECAR
    + "  workloadSelector: {labels: {app: shop}}\n---\n"
    + _SIDECAR.replace("name: shop,", "name: two,")
    + "  workloadSelector: {labels: {app: shop}}\n"
    + _POD,
    good=_SIDECAR + "  workloadSelector: {labels: {app: shop}}\n" + _POD,
)
def check_sidecar_conflict(mesh: Mesh) -> Iterator[Problem]:
    """Pods that two Sidecars select."""
    return _same_pod(mesh, "Sidecar")


@rule(
    "GM0111",
    "several Sidecars for one namespace",
    Level.ERROR,
    istio="IST0111",
    reads=("Sidecar",),
    why="only one Sidecar without a selector is used; which one is not defined",
    mend="merge them",
    bad=_SIDECAR + "---\n" + _SIDECAR.replace("name: shop,", "name: two,"),
    good=_SIDECAR,
)
def check_default_sidecars(mesh: Mesh) -> Iterator[Problem]:
    """Sidecars without selector."""
    return _no_selector(mesh, "Sidecar")


@rule(
    "GM0167",
    "Sidecar for pods without a sidecar",
    Level.WARNING,
    istio="IST0167",
    reads=("Sidecar", "Namespace", "Pod", "Deployment"),
    why="in ambient mode there is no sidecar that would read it: it has no effect",
    mend="remove it; scope what waypoints see by exportTo and policies",
    bad="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n---\n"
    + _SIDECAR,
    good="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n"
    + _SIDECAR,
)
def check_ambient_sidecars(mesh: Mesh) -> Iterator[Problem]:
    """Sidecars of ambient pods and namespaces."""
    ambient = mesh.ambient_namespaces - mesh.injected_namespaces
    for document in mesh.of("Sidecar"):
        selector = selector_of(document)
        if not selector:
            if document.namespace in ambient:
                yield Problem(
                    document, ("spec",), f"namespace {document.namespace} is in ambient mode: no sidecar reads this"
                )
            continue
        for workload in mesh.select(document.namespace, selector):
            redirected = workload.annotations.get("ambient.istio.io/redirection") == "enabled"
            if redirected or (workload.namespace in ambient and not workload.has_proxy):
                yield Problem(
                    document,
                    ("spec", "workloadSelector"),
                    f"pod {workload.name} is in ambient mode: no sidecar reads this",
                )
                break


@rule(
    "GM0186",
    "Telemetry that selects no pod",
    Level.ERROR,
    istio="IST0101",
    reads=("Telemetry", "Pod", "Deployment"),
    also=(NOT_READ,),
    why="it configures nothing",
    mend="correct the labels; a Telemetry selects in its own namespace only",
    bad=_TELEMETRY + "  selector: {matchLabels: {app: shpo}}\n" + _POD,
    good=_TELEMETRY + "  selector: {matchLabels: {app: shop}}\n" + _POD,
)
def check_telemetry_selector(mesh: Mesh) -> Iterator[Problem]:
    """The selector of each Telemetry."""
    return _empty(mesh, "Telemetry")


@rule(
    "GM0159",
    "several Telemetries for one pod",
    Level.ERROR,
    istio="IST0159",
    reads=("Telemetry", "Pod", "Deployment"),
    why="only one of them is used; which one is not defined",
    mend="let each pod be selected by one Telemetry",
    bad=_TELEMETRY
    + "  selector: {matchLabels: {app: shop}}\n---\n"
    + _TELEMETRY.replace("name: shop,", "name: two,")
    + "  selector: {matchLabels: {app: shop}}\n"
    + _POD,
    good=_TELEMETRY + "  selector: {matchLabels: {app: shop}}\n" + _POD,
)
def check_telemetry_conflict(mesh: Mesh) -> Iterator[Problem]:
    """Pods that two Telemetries select."""
    return _same_pod(mesh, "Telemetry")


@rule(
    "GM0160",
    "several Telemetries for one namespace",
    Level.ERROR,
    istio="IST0160",
    reads=("Telemetry",),
    why="only one Telemetry without a selector is used; which one is not defined",
    mend="merge them",
    bad=_TELEMETRY
    + "  accessLogging: []\n---\n"
    + _TELEMETRY.replace("name: shop,", "name: two,")
    + "  accessLogging: []\n",
    good=_TELEMETRY + "  accessLogging: []\n",
)
def check_default_telemetries(mesh: Mesh) -> Iterator[Problem]:
    """Telemetries without selector."""
    return _no_selector(mesh, "Telemetry")


@rule(
    "GM0157",
    "access logging without a provider",
    Level.WARNING,
    istio="IST0157",
    reads=("Telemetry", "MeshConfig", "IstioOperator"),
    why="neither this Telemetry nor the mesh names a log provider: nothing is logged",
    mend="name a provider: accessLogging: [{providers: [{name: envoy}]}]",
    bad=_TELEMETRY + "  accessLogging: [{filter: {expression: response.code >= 500}}]\n",
    good=_TELEMETRY + "  accessLogging: [{providers: [{name: envoy}]}]\n",
)
def check_log_provider(mesh: Mesh) -> Iterator[Problem]:
    """AccessLogging entries without provider, where the mesh has no default."""
    if mapping(mesh.settings.get("defaultProviders")).get("accessLogging"):
        return
    for document in mesh.of("Telemetry"):
        entries = dicts(document.spec.get("accessLogging"))
        for i, item in entries:
            if not item.get("providers") and item.get("disabled") is None:
                yield Problem(document, ("spec", "accessLogging", i), "access logging has no provider and is ignored")
                break
