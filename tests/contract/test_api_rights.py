"""What we rely on: rights, in the words that a refusal has, and in the answers before anything is done."""

from __future__ import annotations

from tests.contract.api import Api
from tests.contract.api_objects import config_map, route

ISTIO = "networking.istio.io"
RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
    {
        "apiGroups": [ISTIO],
        "resources": ["virtualservices"],
        "verbs": ["get", "list", "patch"],
        "resourceNames": ["shop"],
    },
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
]
WEIGHT = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 10}]


def test_a_role_grants_what_it_names(api: Api) -> None:
    api.admin.create(config_map())
    api.admin.create(route())
    caller = api.caller(RULES)
    assert caller.get("ConfigMap", "settings").status == 200
    assert caller.list("ConfigMap").status == 200
    assert caller.patch("VirtualService", "shop", WEIGHT).status == 200


def test_a_refusal_names_user_verb_resource_group_and_namespace(api: Api) -> None:
    api.admin.create(config_map())
    caller = api.caller(RULES)
    delete = caller.delete("ConfigMap", "settings")
    assert delete.refusal == (403, "Forbidden")
    assert delete.message == (
        f'configmaps "settings" is forbidden: User "{caller.name}" cannot delete resource "configmaps" '
        f'in API group "" in the namespace "{api.namespace}"'
    )
    assert delete.body["details"] == {"name": "settings", "kind": "configmaps"}
    create = caller.create(route())
    assert create.message == (
        f'virtualservices.networking.istio.io is forbidden: User "{caller.name}" cannot create resource '
        f'"virtualservices" in API group "networking.istio.io" in the namespace "{api.namespace}"'
    )
    assert create.body["details"] == {"group": ISTIO, "kind": "virtualservices"}
    other = caller.patch("VirtualService", "other", WEIGHT)
    assert 'cannot patch resource "virtualservices"' in other.message
    everywhere = caller.send("GET", caller.path("ConfigMap", namespace=""))
    assert everywhere.message.endswith('cannot list resource "configmaps" in API group "" at the cluster scope')
    logs = caller.get("Pod", "shop-1", "log")
    assert 'cannot get resource "pods/log"' in logs.message


def test_rights_are_asked_before_existence(api: Api) -> None:
    caller = api.caller(RULES)
    assert caller.get("Secret", "none").refusal == (403, "Forbidden")
    assert caller.get("ConfigMap", "none").refusal == (404, "NotFound")
    assert caller.send("GET", caller.path("ConfigMap", namespace="nowhere")).refusal == (403, "Forbidden")
    assert caller.patch("Secret", "none", [{"op": "nonsense"}]).refusal == (403, "Forbidden")


def test_a_list_needs_a_right_without_name(api: Api) -> None:
    caller = api.caller(RULES)
    assert caller.list("VirtualService").refusal == (403, "Forbidden")
    assert caller.list("VirtualService", fieldSelector="metadata.name=shop").status == 200


def test_subresources_are_rights_of_their_own(api: Api) -> None:
    api.admin.create(route())
    caller = api.caller(RULES)
    status = caller.patch("VirtualService", "shop", [], subresource="status")
    assert 'cannot patch resource "virtualservices/status"' in status.message
    assert caller.get("Deployment", "shop", "scale").refusal == (403, "Forbidden")
    assert caller.send("GET", caller.path("Pod", "none:8080", "proxy") + "/x").refusal == (404, "NotFound")
    assert caller.get("Pod", "none").refusal == (403, "Forbidden")


def test_asking_before_doing(api: Api) -> None:
    caller = api.caller(RULES)
    assert caller.may("get", "configmaps")
    assert not caller.may("patch", "configmaps")
    assert not caller.may("get", "configmaps", namespace="other")
    assert not caller.may("get", "configmaps", namespace=""), "in every namespace"
    assert caller.may("patch", "virtualservices", group=ISTIO, name="shop")
    assert not caller.may("patch", "virtualservices", group=ISTIO, name="other")
    assert not caller.may("patch", "virtualservices", group=ISTIO), "of every name"
    assert not caller.may("patch", "virtualservices", name="shop"), "of the core group"
    assert caller.may("get", "pods/proxy")
    assert not caller.may("get", "pods")
    assert caller.may("invented", "deployments", group="apps")
    assert not caller.may("get", "deployments/scale", group="apps")
    assert api.admin.may("delete", "namespaces", namespace="")


def test_a_review_is_of_a_resource_or_of_a_path(api: Api) -> None:
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}
    answer = api.admin.send("POST", api.admin.path("SelfSubjectAccessReview"), review)
    assert answer.refusal == (422, "Invalid")
    assert answer.causes == [("spec.resourceAttributes", "FieldValueInvalid")]


def test_an_apply_that_creates_needs_both_rights(api: Api) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]
    caller = api.caller(rules)
    media = "application/apply-patch+yaml"
    answer = caller.patch("ConfigMap", "settings", config_map(), media=media, fieldManager="helm")
    assert 'cannot create resource "configmaps"' in answer.message
    api.admin.create(config_map())
    assert caller.patch("ConfigMap", "settings", config_map(), media=media, fieldManager="helm").status == 200


def test_who_is_not_known(api: Api) -> None:
    anonymous = api.anonymous().list("ConfigMap")
    assert anonymous.refusal == (403, "Forbidden")
    assert anonymous.message.startswith('configmaps is forbidden: User "system:anonymous" cannot list')
    caller = api.caller(RULES)
    caller.forget_token()
    unknown = caller.list("ConfigMap")
    assert unknown.refusal == (401, "Unauthorized")
    assert unknown.message == "Unauthorized"
