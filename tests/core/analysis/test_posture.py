"""Which protection holds for a workload, by Istio's precedence."""

from __future__ import annotations

import pytest

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.mesh import Mesh
from gitlab_mesh.core.analysis.posture import (
    effective_mtls,
    has_default_deny,
    is_strict,
    requires_token,
    summarize_posture,
)

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop, namespace: shop, labels: {app: shop}}
"""


def mesh(*documents: str, pod: str = POD) -> Mesh:
    text = "---\n".join([pod, *(document.strip() + "\n" for document in documents)])
    found = FileManifests(text.encode()).read(["-"])
    assert not found.problems
    return Mesh(found.documents)


def peer(spec: str, namespace: str = "shop", name: str = "p", **metadata: str) -> str:
    more = "".join(f", {key}: {value!r}" for key, value in metadata.items())
    head = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
    return f"{head}metadata: {{name: {name}, namespace: {namespace}{more}}}\nspec: {{{spec}}}"


def policy(spec: str, namespace: str = "shop", notes: str = "") -> str:
    head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
    return f"{head}metadata: {{name: a, namespace: {namespace}, annotations: {{{notes}}}}}\nspec: {{{spec}}}"


STRICT, OFF, OPEN = "mtls: {mode: STRICT}", "mtls: {mode: DISABLE}", "mtls: {mode: PERMISSIVE}"
APP = "selector: {matchLabels: {app: shop}}, "


@pytest.mark.parametrize(
    ("policies", "mode"),
    [
        ([], "PERMISSIVE"),
        ([peer(STRICT, "istio-system")], "STRICT"),
        ([peer(STRICT, "istio-system"), peer(OPEN)], "PERMISSIVE"),
        ([peer(STRICT, "istio-system"), peer(OPEN), peer(APP + STRICT, name="q")], "STRICT"),
        ([peer(STRICT, "istio-system"), peer("mtls: {mode: UNSET}")], "STRICT"),
        ([peer(OFF, "istio-system"), peer(APP + STRICT, "istio-system", "q")], "DISABLE"),
        ([peer(STRICT, "other")], "PERMISSIVE"),
        ([peer(STRICT), peer(OFF, name="q")], "STRICT"),
        (
            [
                peer(STRICT, creationTimestamp="2026-02-01T00:00:00Z"),
                peer(OFF, name="q", creationTimestamp="2026-01-01T00:00:00Z"),
            ],
            "DISABLE",
        ),
    ],
)
def test_the_nearest_policy_says_the_mode(policies: list[str], mode: str) -> None:
    found = mesh(*policies)
    assert effective_mtls(found, found.workloads[0])[0] == mode


def test_one_open_port_is_not_strict() -> None:
    ports = APP + STRICT + ", portLevelMtls: {8080: {mode: PERMISSIVE}}"
    found = mesh(peer(ports))
    (pod,) = found.workloads
    assert effective_mtls(found, pod)[0] == "STRICT"
    assert effective_mtls(found, pod, 8080)[0] == "PERMISSIVE"
    assert not is_strict(found, pod)
    assert is_strict(mesh(peer(APP + STRICT)), pod)


@pytest.mark.parametrize(
    "pod", [POD.replace("app: shop", "sidecar.istio.io/inject: 'false'"), POD + "spec: {hostNetwork: true}\n"]
)
def test_no_policy_protects_a_pod_without_a_proxy(pod: str) -> None:
    found = mesh(peer(STRICT), policy(""), pod=pod)
    assert not is_strict(found, found.workloads[0])
    assert not has_default_deny(found, found.workloads[0])


SHOP = "from: [{source: {namespaces: [web]}}]"


@pytest.mark.parametrize(
    ("policies", "denied"),
    [
        ([], False),
        ([policy("")], True),
        ([policy("", "istio-system")], True),
        ([policy("", "other")], False),
        ([policy(f"rules: [{{{SHOP}}}]")], True),
        ([policy("rules: [{}]")], False),
        ([policy(""), policy("rules: [{}]")], False),
        ([policy(f"action: DENY, rules: [{{{SHOP}}}]")], False),
        ([policy("", notes="istio.io/dry-run: 'true'")], False),
        ([policy("selector: {matchLabels: {app: other}}")], False),
    ],
)
def test_default_deny(policies: list[str], denied: bool) -> None:
    found = mesh(*policies)
    assert has_default_deny(found, found.workloads[0]) is denied


TOKEN = "from: [{source: {requestPrincipals: ['*']}}]"
ANONYMOUS = "from: [{source: {notRequestPrincipals: ['*']}}]"


@pytest.mark.parametrize(
    ("rules", "required"),
    [
        (f"rules: [{{{TOKEN}}}]", True),
        (f"rules: [{{{TOKEN}}}, {{{SHOP}}}]", False),
        ("rules: [{when: [{key: 'request.auth.claims[group]', values: [a]}]}]", True),
        (f"action: DENY, rules: [{{{ANONYMOUS}}}]", True),
        (f"action: DENY, rules: [{{{ANONYMOUS}, to: [{{operation: {{notPaths: [/healthz]}}}}]}}]", True),
        (f"action: DENY, rules: [{{{ANONYMOUS}, to: [{{operation: {{paths: [/admin]}}}}]}}]", False),
        ("", False),
    ],
)
def test_a_token_is_required_when_nothing_passes_without(rules: str, required: bool) -> None:
    found = mesh(policy(rules))
    assert requires_token(found, found.workloads[0]) is required


def test_no_workloads_no_posture() -> None:
    assert summarize_posture(mesh(pod=policy(""))) == {}


def test_a_pod_in_a_namespace_that_was_not_read_may_be_in_the_mesh() -> None:
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: %s}}"
    assert summarize_posture(mesh())["workloads in the mesh"] == "0 of 1 (0 %); 1 in namespaces that were not read"
    assert summarize_posture(mesh(space % "enabled"))["workloads in the mesh"] == "1 of 1 (100 %)"
    assert summarize_posture(mesh(space % "disabled"))["workloads in the mesh"] == "0 of 1 (0 %)"
