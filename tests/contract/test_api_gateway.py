"""What we rely on: HTTPRoutes of the Gateway API, whose defaults a server writes into what it stores."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.contract.api import MERGE_PATCH, Api, Object


def http_route(**spec: Any) -> Object:
    rules = [{"backendRefs": [{"name": "shop", "port": 80}]}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop"},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["shop.example"], "rules": rules, **spec},
    }


def test_what_is_left_out_is_filled_in(api: Api) -> None:
    made = api.admin.create(http_route(), fieldManager="helm")
    assert made.status == 201
    assert made.body["spec"] == {
        "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}],
        "hostnames": ["shop.example"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "shop", "port": 80, "weight": 1}],
            }
        ],
    }
    assert made.body["metadata"]["generation"] == 1
    [entry] = made.body["metadata"]["managedFields"]
    assert entry["manager"] == "helm"
    assert set(entry["fieldsV1"]["f:spec"]) == {".", "f:parentRefs", "f:hostnames", "f:rules"}


def test_weights_are_written_where_the_test_holds(api: Api) -> None:
    made = api.admin.create(http_route()).body
    refs = made["spec"]["rules"][0]["backendRefs"]
    moved = [{**refs[0], "weight": 90}, {**refs[0], "name": "shop-canary", "weight": 10}]
    path = "/spec/rules/0/backendRefs"
    operations = [{"op": "test", "path": path, "value": refs}, {"op": "add", "path": path, "value": moved}]
    written = api.admin.patch("HTTPRoute", "shop", operations, fieldManager="gitlab-mesh")
    assert written.body["spec"]["rules"][0]["backendRefs"] == moved
    assert written.body["metadata"]["generation"] == 2
    assert api.admin.patch("HTTPRoute", "shop", operations).refusal == (422, "Invalid")
    owners = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in written.body["metadata"]["managedFields"]}
    assert owners["gitlab-mesh"] == {"f:rules": {}}


def test_the_status_is_its_controllers(api: Api) -> None:
    api.admin.create(http_route())
    condition = {
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
    }  # fmt: skip
    parent = {"parentRef": {"name": "public"}, "controllerName": "example.com/gateway", "conditions": [condition]}
    status = {"status": {"parents": [parent]}, "spec": {"hostnames": ["other.example"]}}
    body = api.admin.patch("HTTPRoute", "shop", status, media=MERGE_PATCH, subresource="status").body
    assert body["status"]["parents"][0]["conditions"] == [condition]
    assert (body["metadata"]["generation"], body["spec"]["hostnames"]) == (1, ["shop.example"])


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        (("rules", 0, "backendRefs", 0, "weight"), "1", "spec.rules[0].backendRefs[0].weight", "FieldValueTypeInvalid"),
        (("rules", 0, "backendRefs", 0, "name"), None, "spec.rules[0].backendRefs[0].name", "FieldValueRequired"),
        (("hostnames",), "shop.example", "spec.hostnames", "FieldValueTypeInvalid"),
    ],
    ids=["weight", "name", "hostnames"],
)
def test_an_invalid_route_is_refused_with_the_field(
    api: Api, path: tuple[Any, ...], value: Any, field: str, reason: str
) -> None:
    body = copy.deepcopy(http_route())
    node: Any = body["spec"]
    for part in path[:-1]:
        node = node[part]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    answer = api.admin.create(body)
    assert answer.refusal == (422, "Invalid")
    assert (field, reason) in answer.causes
    assert answer.body["details"]["kind"] == "HTTPRoute"


def test_an_unknown_field_is_dropped_with_a_warning(api: Api) -> None:
    body = http_route()
    body["spec"]["rules"][0]["backendRefz"] = []
    answer = api.admin.create(body)
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.rules[0].backendRefz\\""'
    assert "backendRefz" not in str(answer.body)
    assert api.admin.create(body, fieldValidation="Strict").refusal == (400, "BadRequest")
