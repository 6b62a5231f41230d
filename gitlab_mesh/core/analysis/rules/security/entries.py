"""ServiceEntries that open more than they should, or take the name of somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from gitlab_mesh.core.analysis.examples import example
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.model import Document, Level, Problem, texts
from gitlab_mesh.core.analysis.registry import object_rule, rule

__all__: list[str] = []

_ENTIRE = ("0.0.0.0/0", "::/0")


def _entry(host: str, *, resolution: str = "NONE", namespace: str = "shop") -> str:
    spec = f"hosts: ['{host}'], ports: [{{number: 443, name: tls, protocol: TLS}}], resolution: {resolution}"
    return example("ServiceEntry", spec, name="pay", namespace=namespace)


@object_rule(
    "GM2403",
    "ServiceEntry that opens everything",
    Level.WARNING,
    suite="security",
    reads=("ServiceEntry",),
    references=("OWASP API7:2023",),
    why="REGISTRY_ONLY means nothing any more: these hosts or addresses are the whole internet",
    mend="name the hosts that are needed",
    bad=_entry("*.com"),
    good=_entry("pay.example.com", resolution="DNS"),
)
def check_entries(document: Document) -> Iterator[Problem]:
    """Wildcards over a top-level domain, and 0.0.0.0/0."""
    for i, host in texts(document.spec.get("hosts")):
        if host.startswith("*.") and host.count(".") == 1:
            yield Problem(document, ("spec", "hosts", i), f"{host} is a whole top-level domain")
    for i, address in texts(document.spec.get("addresses")):
        if address in _ENTIRE:
            yield Problem(document, ("spec", "addresses", i), f"{address} is every address")


def _wildcards(document: Document, resolution: str) -> Iterator[tuple[int, str]]:
    if document.spec.get("resolution", "NONE") == resolution and not document.spec.get("addresses"):
        for i, host in texts(document.spec.get("hosts")):
            if host.startswith("*."):
                yield i, host


@object_rule(
    "GM2405",
    "host that is checked, address that is not",
    Level.WARNING,
    suite="security",
    profile="strict",
    reads=("ServiceEntry",),
    references=("OWASP API7:2023", "CWE-346"),
    why="with resolution NONE the proxy goes to the address that the caller chose, whatever name it writes into the SNI",
    mend="name the hosts with resolution DNS, or lead them through an egress gateway",
    bad=_entry("*.example.com"),
    good=_entry("pay.example.com", resolution="DNS"),
)
def check_unresolved(document: Document) -> Iterator[Problem]:
    """Wildcards with resolution NONE and without addresses."""
    for i, host in _wildcards(document, "NONE"):
        yield Problem(document, ("spec", "hosts", i), f"a caller reaches any address by naming something under {host}")


@object_rule(
    "GM2408",
    "names that the caller chooses are resolved",
    Level.WARNING,
    suite="security",
    reads=("ServiceEntry",),
    references=("OWASP API7:2023", "CWE-918"),
    why="whoever can add a name to that domain can point it to an address inside of your network",
    mend="name the hosts, or limit who may use the entry: exportTo: [.]",
    bad=_entry("*.example.com", resolution="DYNAMIC_DNS"),
    good=_entry("pay.example.com", resolution="DNS"),
)
def check_dynamic(document: Document) -> Iterator[Problem]:
    """DYNAMIC_DNS for wildcards that everybody sees."""
    scopes = [scope for _, scope in texts(document.spec.get("exportTo"))]
    if scopes and "*" not in scopes:
        return
    for i, host in _wildcards(document, "DYNAMIC_DNS"):
        yield Problem(document, ("spec", "hosts", i), f"any name under {host} is resolved for any caller")


@rule(
    "GM2409",
    "ServiceEntry with the name of a service",
    Level.ERROR,
    suite="security",
    reads=("ServiceEntry", "Service"),
    references=("CWE-923",),
    why="requests for the service may go to the addresses of this entry: whoever can write it can take them over",
    mend="remove it, or give it a name of its own",
    bad=_entry("pay.bank.svc.cluster.local", resolution="DNS"),
    good=_entry("pay.example.com", resolution="DNS"),
)
def check_shadows(mesh: Mesh) -> Iterator[Problem]:
    """Hosts of the cluster's own domain, of another namespace or of a Service that was read."""
    suffix = f".svc.{mesh.options.cluster_domain}"
    for document in mesh.of("ServiceEntry"):
        for i, host in texts(document.spec.get("hosts")):
            key = mesh.service_key(host, document.namespace) if host.endswith(suffix) else None
            if key is not None and (key in mesh.services or key[0] != document.namespace):
                yield Problem(document, ("spec", "hosts", i), f"{host} is the name of a service of namespace {key[0]}")
