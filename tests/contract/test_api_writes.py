"""What we rely on: create, replace, versions, generations, dry runs, unknown fields, and who wrote what."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.contract.api import MERGE_PATCH, Api, Object
from tests.contract.api_objects import config_map, deployment, destination_rule, lease, route


def managers(body: Object) -> dict[str, set[str]]:
    """Managers with the top-level fields that they own, as "f:spec"."""
    found: dict[str, set[str]] = {}
    for entry in body["metadata"]["managedFields"]:
        assert entry["fieldsType"] == "FieldsV1"
        found.setdefault(f"{entry['manager']}/{entry['operation']}", set()).update(entry["fieldsV1"])
    return found


def test_create_fills_in_what_the_server_decides(api: Api) -> None:
    answer = api.admin.create(config_map(resourceVersion="", uid="mine"))
    assert answer.status == 201
    metadata = answer.body["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("settings", api.namespace)
    assert len(metadata["uid"]) == 36
    assert metadata["resourceVersion"].isdigit()
    assert metadata["creationTimestamp"].endswith("Z")
    assert "generation" not in metadata, "a ConfigMap has none"
    generated = api.admin.create({**config_map(), "metadata": {"generateName": "made-"}})
    assert len(generated.body["metadata"]["name"]) == len("made-") + 5


@pytest.mark.parametrize("body", [config_map("a"), route("a"), lease("a"), deployment("a")], ids=lambda b: b["kind"])
def test_what_exists_is_a_conflict(api: Api, body: Object) -> None:
    assert api.admin.create(body).status == 201
    again = api.admin.create(body)
    assert again.refusal == (409, "AlreadyExists")
    assert again.message.endswith(' "a" already exists')
    assert again.body["details"]["name"] == "a"
    wrong = {**body, "metadata": {"name": "a", "labels": {"a b": "c"}}}
    assert api.admin.create(wrong).refusal == (422, "Invalid"), "what is invalid is refused for that first"


def test_nothing_is_created_in_a_namespace_that_does_not_exist(api: Api) -> None:
    answer = api.admin.send("POST", api.admin.path("ConfigMap", namespace="nowhere"), config_map())
    assert answer.refusal == (404, "NotFound")
    assert answer.message == 'namespaces "nowhere" not found'


@pytest.mark.parametrize("body", [config_map("a"), route("a"), lease("a"), deployment("a")], ids=lambda b: b["kind"])
def test_replace_is_conditional_on_the_version(api: Api, body: Object) -> None:
    first = api.admin.create(body).body
    changed = copy.deepcopy(first)
    changed["metadata"]["labels"] = {"x": "1"}
    second = api.admin.update(changed)
    assert second.status == 200
    assert int(second.body["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    changed["metadata"]["labels"] = {"x": "2"}
    stale = api.admin.update(changed)
    assert stale.refusal == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in stale.message
    assert api.admin.get(body["kind"], "a").body == second.body


def test_which_kinds_may_be_replaced_without_a_version(api: Api) -> None:
    for body, may in ((config_map(), True), (deployment(), True), (lease(), False), (route(), False)):
        api.admin.create(body)
        answer = api.admin.update(body)
        if may:
            assert answer.status == 200
        else:
            assert answer.refusal == (422, "Invalid")
            assert answer.message.endswith(
                "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            )


def test_replace_of_what_is_missing(api: Api) -> None:
    assert api.admin.update(config_map("none")).refusal == (404, "NotFound")
    assert api.admin.update(config_map("none", uid="x")).refusal == (404, "NotFound")
    assert api.admin.update(lease("new")).status == 201, "a Lease is created by a PUT"


def test_a_uid_is_a_precondition(api: Api) -> None:
    api.admin.create(config_map())
    answer = api.admin.update(config_map(uid="of-another"))
    assert answer.refusal == (409, "Conflict")
    assert "Precondition failed: UID in precondition: of-another" in answer.message


def test_the_body_must_be_of_the_place_that_it_is_sent_to(api: Api) -> None:
    api.admin.create(config_map())
    place, name = api.admin.path("ConfigMap"), api.admin.path("ConfigMap", "settings")
    wrong: list[tuple[str, str, Object]] = [
        ("POST", place, {**config_map(), "kind": "Secret"}),
        ("POST", place, {**config_map(), "apiVersion": "v2"}),
        ("POST", place, config_map(namespace="other")),
        ("PUT", name, config_map("other")),
    ]
    for method, path, body in wrong:
        assert api.admin.send(method, path, body).refusal == (400, "BadRequest")


def test_generation_counts_changes_of_what_is_wanted(api: Api) -> None:
    def generation(kind: str, patch: Object) -> int:
        body = api.admin.patch(kind, "shop", patch, media=MERGE_PATCH).body
        return int(body["metadata"]["generation"])

    assert api.admin.create(route()).body["metadata"]["generation"] == 1
    assert generation("VirtualService", {"metadata": {"annotations": {"a": "1"}}}) == 1
    assert generation("VirtualService", {"spec": {"hosts": ["a"]}}) == 2
    assert api.admin.create(deployment()).body["metadata"]["generation"] == 1
    assert generation("Deployment", {"metadata": {"labels": {"a": "1"}}}) == 1
    assert generation("Deployment", {"metadata": {"annotations": {"a": "1"}}}) == 2, "they reach the ReplicaSets"
    assert generation("Deployment", {"spec": {"replicas": 3}}) == 3


def test_a_dry_run_answers_and_stores_nothing(api: Api) -> None:
    shown = api.admin.create(config_map("dry"), dryRun="All")
    assert (shown.status, shown.body["data"]) == (201, {"a": "1"})
    assert api.admin.get("ConfigMap", "dry").refusal == (404, "NotFound")
    before = api.admin.create(route()).body
    weight = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 7}]
    patched = api.admin.patch("VirtualService", "shop", weight, dryRun="All")
    assert patched.body["spec"]["http"][0]["route"][1]["weight"] == 7
    wrong = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": "7"}]
    assert api.admin.patch("VirtualService", "shop", wrong, dryRun="All").refusal == (422, "Invalid")
    untrue = [{"op": "test", "path": "/spec/http/0/route/1/weight", "value": 9}]
    assert api.admin.patch("VirtualService", "shop", untrue, dryRun="All").refusal == (422, "Invalid")
    assert api.admin.delete("VirtualService", "shop", dryRun="All").status == 200
    assert api.admin.get("VirtualService", "shop").body == before


def typo(kind: str) -> tuple[Object, str]:
    if kind == "Deployment":
        body: Any = deployment()
        body["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
        return body, "spec.template.spec.containers[0].imagee"
    if kind == "ConfigMap":
        return {**config_map(), "dataa": {}}, "dataa"
    body = route()
    body["spec"]["http"][0]["routee"] = []
    return body, "spec.http[0].routee"


@pytest.mark.parametrize("kind", ["Deployment", "ConfigMap", "VirtualService"])
def test_unknown_fields_are_dropped_with_a_warning_or_refused(api: Api, kind: str) -> None:
    body, path = typo(kind)
    strict = api.admin.create(body, fieldValidation="Strict")
    assert strict.refusal == (400, "BadRequest")
    said = f'{kind} in version "v1" cannot be handled as a {kind}: strict decoding error: unknown field "{path}"'
    assert strict.message == said
    ignored = api.admin.create(body, fieldValidation="Ignore", dryRun="All")
    assert "Warning" not in ignored.headers
    warned = api.admin.create(body)
    assert warned.status == 201
    assert warned.headers["Warning"] == f'299 - "unknown field \\"{path}\\""'
    for found in (ignored, warned):
        assert path.rpartition(".")[2] not in str(found.body)


def test_a_writer_is_named_by_field_manager_or_user_agent(api: Api) -> None:
    api.admin.create(route(), fieldManager="helm")
    weight = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 7}]
    found = api.admin.patch("VirtualService", "shop", weight, fieldManager="gitlab-mesh").body
    assert managers(found) == {"helm/Update": {"f:spec"}, "gitlab-mesh/Update": {"f:spec"}}
    owned = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in found["metadata"]["managedFields"]}
    assert owned["helm"] == {".": {}, "f:hosts": {}}
    assert owned["gitlab-mesh"] == {"f:http": {}}, "a list of a custom resource has one owner"
    assert all(entry["time"].endswith("Z") for entry in found["metadata"]["managedFields"])
    unnamed = api.admin.create(config_map()).body
    assert set(managers(unnamed)) == {"contract-test/Update"}


def test_each_part_has_its_owner(api: Api) -> None:
    api.admin.create(deployment(), fieldManager="helm")
    scale = [{"op": "replace", "path": "/spec/replicas", "value": 5}]
    api.admin.patch("Deployment", "shop", scale, subresource="scale", fieldManager="gitlab-mesh")
    status = {"status": {"observedGeneration": 1}}
    kind, name = "Deployment", "shop"
    body = api.admin.patch(kind, name, status, media=MERGE_PATCH, subresource="status", fieldManager="kcm").body
    owners = {
        (entry["manager"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in body["metadata"]["managedFields"]
    }
    assert owners["gitlab-mesh", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert owners["kcm", "status"] == {"f:status": {"f:observedGeneration": {}}}
    assert "f:replicas" not in owners["helm", ""]["f:spec"]
    assert "f:status" not in owners["helm", ""]
    keyed = owners["helm", ""]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert list(keyed) == ['k:{"name":"app"}']


def test_managers_can_be_taken_out(api: Api) -> None:
    body = api.admin.create(destination_rule(), fieldManager="helm").body
    body["metadata"]["managedFields"] = [{}]
    assert "managedFields" not in api.admin.update(body, fieldManager="gitlab-mesh").body["metadata"]
