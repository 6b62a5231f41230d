"""What we rely on: patches. JSON Patch with ``test`` is how every weight is written."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.core.kube_status import JSON_PATCH_REFUSED
from tests.contract.api import APPLY, MERGE_PATCH, STRATEGIC, Api, Operation
from tests.contract.api_objects import config_map, deployment, route

WEIGHT = "/spec/http/0/route/1/weight"
FENCE = "/metadata/annotations/gitlab-mesh.dev~1rollout"


def op(name: str, path: str, value: Any = None) -> Operation:
    return {"op": name, "path": path} | ({} if name == "remove" else {"value": value})


def test_a_weight_is_written_where_the_tests_hold(api: Api) -> None:
    made = api.admin.create(route()).body
    answer = api.admin.patch(
        "VirtualService", "shop", [op("test", WEIGHT, 0), op("replace", WEIGHT, 10)], fieldManager="gitlab-mesh"
    )
    assert answer.status == 200
    assert answer.body["spec"]["http"][0]["route"][1]["weight"] == 10
    assert answer.body["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert answer.body["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert api.admin.get("VirtualService", "shop").body == answer.body


@pytest.mark.parametrize(
    "operations",
    [
        [op("test", WEIGHT, 5)],
        [op("replace", WEIGHT, 10), op("test", WEIGHT, 0)],
        [op("test", "/spec/http/0/route", [])],
        [op("test", FENCE, "r1/1")],
        [op("test", "/metadata/resourceVersion", "1")],
        [op("replace", "/spec/http/7/route/1/weight", 10)],
        [op("remove", FENCE)],
        [op("add", FENCE, "r1/1")],
        [op("remove", "/spec/http/0/timeout")],
        [op("invented", WEIGHT, 1)],
    ],
    ids=lambda operations: f"{operations[-1]['op']}-{operations[-1]['path'].rpartition('/')[2]}",
)
def test_a_patch_that_does_not_apply_is_refused_whole_and_without_saying_why(
    api: Api, operations: list[Operation]
) -> None:
    before = api.admin.create(route()).body
    answer = api.admin.patch("VirtualService", "shop", operations)
    assert answer.refusal == (422, "Invalid")
    assert answer.message == JSON_PATCH_REFUSED
    assert answer.body["details"] == {}
    assert api.admin.get("VirtualService", "shop").body == before


def test_the_fence_is_taken_tested_and_given_back(api: Api) -> None:
    before = api.admin.create(route()).body
    take = [op("test", "/metadata/annotations", None), op("add", "/metadata/annotations", {})]
    assert api.admin.patch("VirtualService", "shop", [*take, op("add", FENCE, "r1/1")]).status == 200
    assert api.admin.patch("VirtualService", "shop", [op("test", FENCE, "r1/2")]).refusal == (422, "Invalid")
    given_back = api.admin.patch("VirtualService", "shop", [op("test", FENCE, "r1/1"), op("remove", FENCE)])
    assert given_back.status == 200
    assert "annotations" not in given_back.body["metadata"]
    assert given_back.body["spec"] == before["spec"]
    assert given_back.body["metadata"]["generation"] == before["metadata"]["generation"], "annotations are no spec"


def test_a_patch_that_changes_nothing_moves_no_version(api: Api) -> None:
    # why a resourceVersion alone is no fence: a driver that wakes up would find it unchanged
    before = api.admin.create(route()).body
    same = api.admin.patch("VirtualService", "shop", [op("replace", WEIGHT, 0)], fieldManager="somebody")
    assert same.status == 200
    assert same.body["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_test_for_null_holds_where_the_member_is_missing(api: Api) -> None:
    api.admin.create(config_map())
    for path, status in (("/data/b", 200), ("/data/a", 422), ("/metadata/annotations/x", 422)):
        assert api.admin.patch("ConfigMap", "settings", [op("test", path, None)]).status == status, path


def test_replace_of_a_missing_member_adds_it(api: Api) -> None:
    # so a plan that depends on a member's presence has to test it
    api.admin.create(config_map())
    assert api.admin.patch("ConfigMap", "settings", [op("replace", "/data/b", "2")]).body["data"] == {
        "a": "1",
        "b": "2",
    }


def test_numbers_are_compared_as_written(api: Api) -> None:
    api.admin.create(route())
    for raw, status in ((b"100", 200), (b"100.0", 422), (b'"100"', 422)):
        body = b'[{"op": "test", "path": "/spec/http/0/route/0/weight", "value": %s}]' % raw
        answer = api.admin.send(
            "PATCH", api.admin.path("VirtualService", "shop"), raw=body, media="application/json-patch+json"
        )
        assert answer.status == status, raw


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"op": "test"}, "error decoding patch: json: cannot unmarshal object"),
        (["x"], "error decoding patch: json: cannot unmarshal string"),
    ],
)
def test_what_is_no_json_patch_is_a_bad_request(api: Api, body: Any, says: str) -> None:
    api.admin.create(config_map())
    answer = api.admin.patch("ConfigMap", "settings", body)
    assert answer.refusal == (400, "BadRequest")
    assert answer.message.startswith(says)


def test_a_patch_of_what_is_missing(api: Api) -> None:
    answer = api.admin.patch("ConfigMap", "none", [op("add", "/data/a", "1")])
    assert answer.refusal == (404, "NotFound")
    assert answer.message == 'configmaps "none" not found'
    assert answer.body["details"] == {"name": "none", "kind": "configmaps"}


def test_a_patch_may_not_make_another_object_of_it(api: Api) -> None:
    api.admin.create(config_map())
    cases = [
        ("/metadata/name", "b", 400, "BadRequest"),
        ("/metadata/namespace", "b", 400, "BadRequest"),
        ("/metadata/uid", "b", 422, "Invalid"),
        ("/kind", "Secret", 422, "Invalid"),
        ("/metadata/resourceVersion", "1", 409, "Conflict"),
    ]
    for path, value, status, reason in cases:
        answer = api.admin.patch("ConfigMap", "settings", [op("replace", path, value)])
        assert answer.refusal == (status, reason), path


def test_a_result_that_does_not_decode_is_invalid_and_quoted(api: Api) -> None:
    api.admin.create(config_map())
    answer = api.admin.patch("ConfigMap", "settings", [op("add", "/data/b", 1)])
    assert answer.refusal == (422, "Invalid")
    assert answer.causes == [("patch", "FieldValueInvalid")]
    assert answer.message.startswith(' "" is invalid: patch: Invalid value: "{')
    assert "cannot unmarshal number into Go struct field ConfigMap.data" in answer.message


def test_merge_patch(api: Api) -> None:
    api.admin.create(config_map(data={"a": "1", "b": "2"}))
    answer = api.admin.patch("ConfigMap", "settings", {"data": {"a": None, "c": "3"}}, media=MERGE_PATCH)
    assert (answer.status, answer.body["data"]) == (200, {"b": "2", "c": "3"})
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"c": "4"}}
    assert api.admin.patch("ConfigMap", "settings", stale, media=MERGE_PATCH).refusal == (409, "Conflict")


def test_strategic_merge_patch_is_for_built_in_kinds(api: Api) -> None:
    api.admin.create(deployment())
    api.admin.create(route())
    containers = [{"name": "app", "image": "registry.example/shop:2"}, {"name": "side", "image": "side:1"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    found = api.admin.patch("Deployment", "shop", patch, media=STRATEGIC).body
    merged = {one["name"]: one["image"] for one in found["spec"]["template"]["spec"]["containers"]}
    assert merged == {"app": "registry.example/shop:2", "side": "side:1"}
    refused = api.admin.patch("VirtualService", "shop", {"spec": {"hosts": ["x"]}}, media=STRATEGIC)
    assert refused.refusal == (415, "UnsupportedMediaType")
    assert refused.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    assert api.admin.patch("Deployment", "shop", {}, media="application/json").refusal == (415, "UnsupportedMediaType")


def test_server_side_apply(api: Api) -> None:
    def apply(body: Any, manager: str, **query: str) -> Any:
        return api.admin.patch("Deployment", "shop", body, media=APPLY, fieldManager=manager, **query)

    assert apply(deployment(), "helm").status == 201
    assert apply(deployment(), "helm").status == 200
    refused = apply(deployment(replicas=4), "other")
    assert refused.refusal == (409, "Conflict")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "helm": .spec.replicas'
    assert refused.causes == [(".spec.replicas", "FieldManagerConflict")]
    assert apply(deployment(replicas=4), "other", force="true").body["spec"]["replicas"] == 4
    api.admin.patch("Deployment", "shop", [op("replace", "/spec/replicas", 5)], fieldManager="kubectl-scale")
    after_update = apply(deployment(replicas=6), "other")
    assert after_update.message.endswith('conflict with "kubectl-scale" using apps/v1: .spec.replicas')


def test_options_that_do_not_exist_are_refused_by_name(api: Api) -> None:
    api.admin.create(config_map())
    cases: list[tuple[dict[str, str], str]] = [
        ({"dryRun": "some"}, "dryRun"),
        ({"fieldValidation": "some"}, "fieldValidation"),
        ({"fieldManager": "x" * 129}, "fieldManager"),
        ({"force": "true"}, "force"),
    ]
    for query, field in cases:
        answer = api.admin.patch("ConfigMap", "settings", [], **query)
        assert answer.refusal == (422, "Invalid"), field
        assert answer.message.startswith('PatchOptions.meta.k8s.io "" is invalid: ' + field)
    no_manager = api.admin.patch("ConfigMap", "settings", config_map(), media=APPLY)
    assert no_manager.causes == [("fieldManager", "FieldValueRequired")]
