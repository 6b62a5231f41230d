"""Whether anybody would see an attack: access logs."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, dicts, mapping
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []

_LOGGING = ("NSA-CISA Kubernetes Hardening: logging", "OWASP K05:2022", "CWE-778")
_ON = "accessLogging: [{providers: [{name: envoy}]}]"


def _telemetry(spec: str, namespace: str = "shop") -> str:
    return example("Telemetry", spec, name="default", namespace=namespace)


@object_rule(
    "GM2904",
    "access log switched off",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("Telemetry",),
    references=_LOGGING,
    why="afterwards nobody can say who called what",
    mend="keep the log, and filter what is noise",
    bad=_telemetry("accessLogging: [{disabled: true}]"),
    good=_telemetry(_ON),
)
def check_disabled(document: Document) -> Iterator[Problem]:
    """AccessLogging with disabled: true."""
    for i, item in dicts(document.spec.get("accessLogging")):
        if item.get("disabled") is True:
            yield Problem(document, ("spec", "accessLogging", i, "disabled"), "requests are not logged here")


@rule(
    "GM2906",
    "mesh without access log",
    Level.INFO,
    suite="security",
    profile="strict",
    reads=("MeshConfig", "IstioOperator", "Telemetry"),
    references=_LOGGING,
    why="afterwards nobody can say who called what",
    mend="set accessLogFile: /dev/stdout, or a Telemetry with accessLogging in the root namespace",
    bad="enableTracing: true\n",
    good="enableTracing: true\n" + _telemetry(_ON, "istio-system"),
)
def check_missing(mesh: Mesh) -> Iterator[Problem]:
    """Neither the mesh config nor a Telemetry of the root namespace logs."""
    if any(item.spec.get("accessLogging") for item in mesh.within("Telemetry", mesh.options.root_namespace)):
        return
    for kind in ("MeshConfig", "IstioOperator"):
        for document in mesh.of(kind):
            settings = document.body if kind == "MeshConfig" else mapping(document.spec.get("meshConfig"))
            if not settings.get("accessLogFile") and not mapping(settings.get("defaultProviders")).get("accessLogging"):
                path = ("spec", "meshConfig") if kind == "IstioOperator" else ()
                yield Problem(document, path, "no access log is configured for the mesh")
