"""What we rely on: objects that a server does not store, and the sizes that it does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.api import Api, Object
from tests.contract.api_objects import config_map, deployment, destination_rule, lease, route

KIBIBYTE = 1024


def put(path: str, value: Any) -> Callable[[Any], Any]:
    """Set the value at a path like "spec/http/0"; None takes it out."""

    def change(body: Any) -> Any:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        node: Any = body
        for part in parents:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value
        return body

    return change


INVALID = [
    (config_map(), put("metadata/name", ""), "metadata.name", "Required"),
    (config_map(), put("metadata/name", "Not_A_Name"), "metadata.name", "Invalid"),
    (config_map(), put("metadata/name", "a" * 254), "metadata.name", "Invalid"),
    (config_map(), put("metadata/labels", {"a b": "c"}), "metadata.labels", "Invalid"),
    (config_map(), put("metadata/labels", {"a": "c d"}), "metadata.labels", "Invalid"),
    (config_map(), put("metadata/labels", {"a": "c" * 64}), "metadata.labels", "Invalid"),
    (config_map(), put("metadata/annotations", {"a b": "c"}), "metadata.annotations", "Invalid"),
    (config_map(), put("metadata/annotations", {"a": "c" * 256 * KIBIBYTE}), "metadata.annotations", "TooLong"),
    (config_map(), put("metadata/finalizers", ["plain"]), "metadata.finalizers[0]", "Invalid"),
    (config_map(), put("data", {"a b": "c"}), "data[a b]", "Invalid"),
    (config_map(), put("data", {"a": "c" * (KIBIBYTE**2 + 1)}), "[]", "TooLong"),
    (deployment(), put("spec/replicas", -1), "spec.replicas", "Invalid"),
    (deployment(), put("spec/selector", {"matchLabels": {"a": "b"}}), "spec.template.metadata.labels", "Invalid"),
    (deployment(), put("spec/template/spec/containers", []), "spec.template.spec.containers", "Required"),
    (
        deployment(),
        put("spec/template/spec/containers/0/image", None),
        "spec.template.spec.containers[0].image",
        "Required",
    ),
    (
        deployment(),
        put("spec/template/spec/containers/0/name", "A_"),
        "spec.template.spec.containers[0].name",
        "Invalid",
    ),
    (lease(), put("spec/leaseDurationSeconds", 0), "spec.leaseDurationSeconds", "Invalid"),
    (lease(), put("spec/leaseTransitions", -1), "spec.leaseTransitions", "Invalid"),
    (route(), put("spec/hosts", "shop"), "spec.hosts", "TypeInvalid"),
    (route(), put("spec/hosts", [None]), "spec.hosts[0]", "TypeInvalid"),
    (route(), put("spec/http/0/route/1/weight", "10"), "spec.http[0].route[1].weight", "TypeInvalid"),
    (route(), put("spec/http/0/route/1/weight", 10.5), "spec.http[0].route[1].weight", "TypeInvalid"),
    (route(), put("spec/http/0/route/1/weight", 2**31), "<nil>", "Invalid"),
    (route(), put("spec/http/0/route/0/destination/host", None), "spec.http[0].route[0].destination.host", "Required"),
    (destination_rule(), put("spec/host", None), "spec.host", "Required"),
    (destination_rule(), put("spec/subsets/0/name", None), "spec.subsets[0].name", "Required"),
]


@pytest.mark.parametrize(
    "number",
    range(len(INVALID)),
    ids=[f"{body['kind']}-{field[-24:]}-{number}" for number, (body, _, field, _) in enumerate(INVALID)],
)
def test_an_invalid_object_is_refused_with_the_field(api: Api, number: int) -> None:
    body, change, field, reason = INVALID[number]
    changed = change(copy.deepcopy(body))
    answer = api.admin.create(changed)
    assert answer.refusal == (422, "Invalid")
    kind, group = body["kind"], body["apiVersion"].rpartition("/")[0]
    name = changed["metadata"].get("name", "")
    assert answer.message.startswith(f'{kind}{"." if group else ""}{group} "{name}" is invalid: ')
    assert (field, f"FieldValue{reason}") in answer.causes
    if name:
        assert answer.body["details"]["name"] == name
    assert answer.body["details"]["kind"] == kind
    assert api.admin.list(kind).body["items"] == [] or kind == "ConfigMap"


@pytest.mark.parametrize(
    ("body", "change", "says"),
    [
        (config_map(), put("data/a", 1), "json: cannot unmarshal number into Go struct field ConfigMap.data"),
        (config_map(), put("metadata/labels", ["a"]), "json: cannot unmarshal array into Go struct field ObjectMeta"),
        (deployment(), put("spec/replicas", "2"), "json: cannot unmarshal string into Go struct field Deployment"),
        (lease(), put("spec/renewTime", "2026-01-01T00:00:00Z"), "parsing time"),
        (lease(), put("spec/renewTime", "2026-01-01T00:00:00.5Z"), "parsing time"),
    ],
    ids=["data", "labels", "replicas", "time-without-fraction", "time-with-one-digit"],
)
def test_a_wrong_type_does_not_decode(api: Api, body: Object, change: Callable[[Any], Any], says: str) -> None:
    answer = api.admin.create(change(copy.deepcopy(body)))
    assert answer.refusal == (400, "BadRequest")
    assert says in answer.message


def test_null_is_as_good_as_absent(api: Api) -> None:
    found = api.admin.create({**config_map(), "data": {"a": None}, "immutable": None}).body
    assert found["data"] == {"a": ""}
    assert "immutable" not in found
    spec = route()["spec"]
    body = api.admin.create({**route(), "spec": {**spec, "gateways": None}}).body
    assert "gateways" not in body["spec"]


def test_the_largest_objects_that_fit(api: Api) -> None:
    assert api.admin.create(config_map("a", data={"x": "c" * KIBIBYTE**2})).status == 201
    annotations = {"a": "c" * (256 * KIBIBYTE - 1)}
    assert api.admin.create(config_map("b", annotations=annotations)).status == 201
    assert api.admin.create(config_map("a" * 253)).status == 201
    too_large = api.admin.create(config_map("c", data={"x": "c" * 3 * KIBIBYTE**2}))
    assert too_large.refusal == (413, "RequestEntityTooLarge")
    assert too_large.message == "Request entity too large: limit is 3145728"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"'], ids=["nothing", "half", "list", "text"])
def test_a_body_that_is_no_object(api: Api, raw: bytes) -> None:
    answer = api.admin.send("POST", api.admin.path("ConfigMap"), raw=raw)
    assert answer.refusal == (400, "BadRequest")


def test_a_body_of_an_unknown_media_type(api: Api) -> None:
    answer = api.admin.send("POST", api.admin.path("ConfigMap"), config_map(), media="text/plain")
    assert answer.refusal == (415, "UnsupportedMediaType")


def test_a_selector_never_changes(api: Api) -> None:
    body = api.admin.create(deployment()).body
    body["spec"]["selector"] = {"matchLabels": {"version": "stable"}}
    answer = api.admin.update(body)
    assert answer.refusal == (422, "Invalid")
    assert answer.message.endswith(
        'spec.selector: Invalid value: {"matchLabels":{"version":"stable"}}: field is immutable'
    )


def test_an_autoscaler_has_room(api: Api) -> None:
    spec = {
        "minReplicas": 2,
        "maxReplicas": 5,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
    }
    body: Object = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    assert api.admin.create(body).status == 201
    lower = [
        {"op": "test", "path": "/spec/minReplicas", "value": 2},
        {"op": "replace", "path": "/spec/minReplicas", "value": 4},
    ]
    assert api.admin.patch("HorizontalPodAutoscaler", "shop", lower).body["spec"]["minReplicas"] == 4
    beyond = [{"op": "replace", "path": "/spec/minReplicas", "value": 6}]
    answer = api.admin.patch("HorizontalPodAutoscaler", "shop", beyond)
    assert answer.refusal == (422, "Invalid")
    assert answer.causes == [("spec.maxReplicas", "FieldValueInvalid")]
