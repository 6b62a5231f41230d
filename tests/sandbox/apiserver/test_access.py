"""Tokens, Role-shaped rules and the reviews that answer from them."""

from __future__ import annotations

import pytest

from gitlab_mesh.errors import AccessDeniedError
from gitlab_mesh.ports import AccessRule
from gitlab_mesh.sandbox.apiserver.access import Attributes, User, allows
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import ADMIN, VIEWER, VIEWER_ROLE, route

ISTIO = "networking.istio.io"


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (Attributes("get", "", "pods", "shop"), True),
        (Attributes("get", "", "pods", "shop", "any"), True),
        (Attributes("get", "", "pods/proxy", "shop", "any"), False),
        (Attributes("get", "", "pods", "other"), False),
        (Attributes("get", "", "pods", ""), False),
        (Attributes("delete", "", "pods", "shop"), False),
        (Attributes("get", "apps", "pods", "shop"), False),
        (Attributes("patch", ISTIO, "virtualservices", "shop", "shop"), True),
        (Attributes("patch", ISTIO, "virtualservices", "shop", "other"), False),
        (Attributes("list", ISTIO, "virtualservices", "shop"), False),
    ],
)
def test_a_role_counts_in_its_namespace_and_for_its_names(asked: Attributes, granted: bool) -> None:
    assert allows(VIEWER, asked) is granted


@pytest.mark.parametrize(
    ("rule", "granted"),
    [
        ({"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]}, True),
        ({"apiGroups": [""], "resources": ["*/proxy"], "verbs": ["get"]}, True),
        ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, True),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}, False),
        ({"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"], "namespaces": ["shop"]}, True),
        ({"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"], "namespaces": ["x"]}, False),
        (
            {**VIEWER_ROLE, "kind": "ClusterRole", "rules": [{"apiGroups": [""], "resources": ["*"], "verbs": ["*"]}]},
            True,
        ),
    ],
)
def test_bare_rules_and_cluster_roles(rule: dict[str, object], granted: bool) -> None:
    user = User("u", "t", rules=(rule,))
    assert allows(user, Attributes("get", "", "pods/proxy", "shop", "p")) is granted


def test_a_refusal_has_the_words_of_a_real_server(cluster: MemoryCluster, viewer: MemoryCluster) -> None:
    cluster.create(route("other"))
    with pytest.raises(AccessDeniedError) as caught:
        viewer.patch("VirtualService", "shop", "other", [])
    assert caught.value.why == (
        'virtualservices.networking.istio.io "other" is forbidden: User "system:serviceaccount:shop:viewer" cannot '
        'patch resource "virtualservices" in API group "networking.istio.io" in the namespace "shop"'
    )
    with pytest.raises(AccessDeniedError, match=r'cannot list resource "pods" in API group "" at the cluster scope'):
        viewer.list("Pod", "")


def test_rights_come_before_existence(viewer: MemoryCluster) -> None:
    with pytest.raises(AccessDeniedError):
        viewer.get("ConfigMap", "shop", "missing")


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic YTpi", "Bearer"])
def test_unknown_tokens_are_401_and_health_needs_none(api: ApiServer, header: str) -> None:
    headers = {"authorization": header}
    answer = api.handle(Request("GET", "/api/v1/pods", headers=headers))
    assert (answer.status, answer.body["reason"]) == (401, "Unauthorized")
    for path in ("/healthz", "/livez", "/readyz"):
        assert api.handle(Request("GET", path, headers=headers)).raw == b"ok"


def test_the_access_review_says_what_a_call_would_meet(viewer: MemoryCluster) -> None:
    may = AccessRule("patch", ISTIO, "virtualservices", "shop", "shop")
    rules = [
        may,
        AccessRule("patch", ISTIO, "virtualservices", "shop"),
        AccessRule("get", "", "pods/proxy", "shop"),
        AccessRule("get", "", "pods", "shop"),
    ]
    assert viewer.denied(rules) == rules[1:3]


def test_the_rules_review_lists_the_rules_of_the_namespace(viewer: MemoryCluster) -> None:
    def resources(namespace: str) -> list[list[str]]:
        answer = viewer.server.handle(
            Request(
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                headers={"authorization": f"Bearer {VIEWER.token}"},
                body=f'{{"spec": {{"namespace": "{namespace}"}}}}'.encode(),
            )
        )
        assert answer.status == 201
        return [rule["resources"] for rule in answer.body["status"]["resourceRules"]]

    assert resources("shop") == [["pods"], ["virtualservices"]]
    assert resources("other") == []


def test_a_list_by_name_is_granted_by_resource_names(api: ApiServer, cluster: MemoryCluster) -> None:
    rule = {"apiGroups": [ISTIO], "resources": ["virtualservices"], "verbs": ["list"], "resourceNames": ["shop"]}
    one = cluster.as_actor("x", user=User("one", "one-token", rules=(rule,)))
    cluster.load([route(), route("other")])
    found = one.list("VirtualService", "shop", field_selector="metadata.name=shop")
    assert [body["metadata"]["name"] for body in found] == ["shop"]
    with pytest.raises(AccessDeniedError):
        one.list("VirtualService", "shop")


def test_an_apply_that_creates_needs_the_right_to_create(cluster: MemoryCluster) -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["patch"]}
    patcher = cluster.as_actor("x", user=User("patcher", "p-token", rules=(rule,)))
    with pytest.raises(AccessDeniedError, match="cannot create"):
        patcher.apply(route())
    cluster.as_actor("setup", user=ADMIN).create(route())
    patcher.apply(route())
