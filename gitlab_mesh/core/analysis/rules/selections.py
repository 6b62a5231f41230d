"""Sidecar and Telemetry: selectors that pick nothing, twice the same pod, or what they cannot govern."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from gitlab_mesh.core.analysis.examples import example, pod_example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Path, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import rule
from gitlab_mesh.core.analysis.rules.references import NOT_READ, missing
from gitlab_mesh.core.analysis.workloads import selector_of

__all__: list[str] = []


class _Selecting(NamedTuple):
    """A kind of which one object at most holds for a pod.

    Attributes:
        kind: The kind.
        at: Where its selector is.
        labels: The selector's form in YAML, up to its labels.
        rest: What an object of it says, for the examples.
        codes: Codes for one that selects no pod, two for one pod, two for a whole namespace.
    """

    kind: str
    at: Path
    labels: str
    rest: str
    codes: tuple[str, str, str]

    def example(self, app: str = "", name: str = "shop") -> str:
        """Return an object that selects pods with this label; empty: all of the namespace."""
        selector = f"{self.at[-1]}: {{{self.labels}: {{app: {app}}}}}, " if app else ""
        return example(self.kind, selector + self.rest, name=name)


_SIDECAR = _Selecting(
    "Sidecar", ("spec", "workloadSelector"), "labels", "egress: [{hosts: [./*]}]", ("GM0185", "GM0110", "GM0111")
)
_TELEMETRY = _Selecting(
    "Telemetry", ("spec", "selector"), "matchLabels", "accessLogging: []", ("GM0186", "GM0159", "GM0160")
)


def _without_pods(mesh: Mesh, selecting: _Selecting) -> Iterator[Problem]:
    for document in mesh.of(selecting.kind):
        selector = selector_of(document)
        everywhere = document.namespace == mesh.options.root_namespace and selecting is _TELEMETRY
        if selector and not everywhere and not mesh.select(document.namespace, selector):
            shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
            surely = bool(mesh.workloads_by_namespace.get(document.namespace))
            message = f"no pod of namespace {document.namespace or '(none)'} has the labels {shown}"
            yield missing(mesh, document, selecting.at, message, surely=surely)


def _for_one_pod(mesh: Mesh, selecting: _Selecting) -> Iterator[Problem]:
    picked: dict[int, list[Document]] = defaultdict(list)
    names: dict[int, str] = {}
    for document in mesh.of(selecting.kind):
        selector = selector_of(document)
        for workload in mesh.select(document.namespace, selector) if selector else ():
            picked[id(workload)].append(document)
            names[id(workload)] = f"{workload.namespace}/{workload.name}".lstrip("/")
    for pod, documents in picked.items():
        whole = ", ".join(sorted(item.name for item in documents))
        for document in documents if len(documents) > 1 else ():
            yield Problem(document, selecting.at, f"{whole} all select pod {names[pod]}; only one of them holds")


def _for_one_namespace(mesh: Mesh, selecting: _Selecting) -> Iterator[Problem]:
    found: dict[str, list[Document]] = defaultdict(list)
    for document in mesh.of(selecting.kind):
        attached = document.spec.get("targetRef") or document.spec.get("targetRefs")
        if not selector_of(document) and not attached:
            found[document.namespace].append(document)
    for documents in found.values():
        whole = ", ".join(sorted(item.name for item in documents))
        for document in documents if len(documents) > 1 else ():
            yield Problem(document, ("spec",), f"{whole} all hold for the whole namespace; only one of them is used")


def _register(selecting: _Selecting) -> None:
    kind, (empty, same_pod, same_namespace) = selecting.kind, selecting.codes
    good = selecting.example("shop") + pod_example()

    @rule(
        empty,
        f"{kind} that selects no pod",
        Level.ERROR,
        istio="IST0101",
        reads=(kind, "Pod", "Deployment"),
        also=(NOT_READ,),
        why="it configures nothing; the pods it is meant for keep the defaults",
        mend=f"correct the labels; a {kind} selects in its own namespace only",
        bad=selecting.example("shpo") + pod_example(),
        good=good,
    )
    def check_selector(mesh: Mesh) -> Iterator[Problem]:
        return _without_pods(mesh, selecting)

    twice = {
        same_pod: ("several {} for one pod", "let each pod be selected by one", _for_one_pod, "shop"),
        same_namespace: ("several {} for one namespace", "merge them into one", _for_one_namespace, ""),
    }
    for code, (title, mend, find, app) in twice.items():
        bad = selecting.example(app) + selecting.example(app, "two")
        rule(
            code,
            title.format("Sidecars" if kind == "Sidecar" else "Telemetries"),
            Level.ERROR,
            istio=f"IST{code[2:]}",
            reads=(kind, "Pod", "Deployment") if app else (kind,),
            why="only one of them is used; which one is not defined",
            mend=f"{mend} {kind}",
            bad=bad + pod_example() if app else bad,
            good=good if app else selecting.example(),
        )(partial(find, selecting=selecting))


_register(_SIDECAR)
_register(_TELEMETRY)


@rule(
    "GM0167",
    "Sidecar for pods without a sidecar",
    Level.WARNING,
    istio="IST0167",
    reads=("Sidecar", "Namespace", "Pod", "Deployment"),
    why="in ambient mode there is no sidecar that would read it: it has no effect",
    mend="remove it; scope what waypoints see by exportTo and policies",
    bad=example("Namespace", None, namespace="", labels="istio.io/dataplane-mode: ambient") + _SIDECAR.example(),
    good=example("Namespace", None, namespace="", labels="istio-injection: enabled") + _SIDECAR.example(),
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
    "GM0157",
    "access logging without a provider",
    Level.WARNING,
    istio="IST0157",
    reads=("Telemetry", "MeshConfig", "IstioOperator"),
    why="neither this Telemetry nor the mesh names a log provider: nothing is logged",
    mend="name a provider: accessLogging: [{providers: [{name: envoy}]}]",
    bad=example("Telemetry", "accessLogging: [{filter: {expression: response.code >= 500}}]"),
    good=example("Telemetry", "accessLogging: [{providers: [{name: envoy}]}]"),
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
