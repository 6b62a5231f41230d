"""Where the sandbox's API is known to differ from kube-apiserver: both answers, so that neither changes unnoticed.

The table in ``docs/sandbox.md`` names each with its function here.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import MERGE_PATCH, Api, Object
from tests.contract.api_objects import config_map, deployment, pod, route


def service(**spec: Any) -> Object:
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": ports, **spec},
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [("/spec/http/0/route/1/weight", -1), ("/spec/hosts", []), ("/spec", {})],
    ids=["weight", "hosts", "empty"],
)
def test_istios_webhook_is_part_of_the_sandbox(api: Api, path: str, value: Any) -> None:
    # a bare API server knows the CRD only; istiod's webhook stands behind it in a real mesh
    api.admin.create(route())
    answer = api.admin.patch("VirtualService", "shop", [{"op": "replace", "path": path, "value": value}])
    if api.is_real:
        assert answer.status == 200
    else:
        assert answer.refusal == (400, "BadRequest")
        assert answer.message.startswith('admission webhook "validation.istio.io" denied the request')


def test_rules_in_cel_are_not_evaluated(api: Api) -> None:
    api.admin.create(route())
    answer = api.admin.patch("VirtualService", "shop", [{"op": "add", "path": "/spec/http/0/timeout", "value": "soon"}])
    if api.is_real:
        assert answer.refusal == (422, "Invalid")
        assert answer.causes == [("spec.http[0].timeout", "FieldValueInvalid")]
    else:
        assert answer.status == 200


def test_unknown_fields_are_known_for_few_kinds(api: Api) -> None:
    answer = api.admin.create(service(portz=[]), fieldValidation="Strict")
    assert answer.status == (400 if api.is_real else 201)


def test_a_key_that_stands_twice(api: Api) -> None:
    raw = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1","a":"2"}}'
    answer = api.admin.send("POST", api.admin.path("ConfigMap"), raw=raw, fieldValidation="Strict")
    assert answer.status == (400 if api.is_real else 201)


def test_what_only_schedulers_and_networks_look_at_is_not_filled_in(api: Api) -> None:
    made_pod, made_service = api.admin.create(pod()).body, api.admin.create(service()).body
    assert ("tolerations" in made_pod["spec"]) is api.is_real
    assert ("ipFamilies" in made_service["spec"]) is api.is_real
    assert made_service["spec"]["clusterIP"], "what is looked at, is"


def test_a_pods_spec_may_change(api: Api) -> None:
    api.admin.create(pod())
    answer = api.admin.patch("Pod", "shop-1", [{"op": "add", "path": "/spec/nodeSelector", "value": {"a": "b"}}])
    assert answer.status == (422 if api.is_real else 200)


def test_a_status_that_is_put_leaves_annotations(api: Api) -> None:
    api.admin.create(deployment())
    api.admin.patch("Deployment", "shop", {"metadata": {"annotations": {"a": "1"}}}, media=MERGE_PATCH)
    body = api.admin.update({**deployment(), "status": {"observedGeneration": 1}}, "status").body
    assert ("annotations" in body["metadata"]) is not api.is_real, "a real server takes them from the body"


def test_a_foreground_deletion_does_not_wait(api: Api) -> None:
    api.admin.create(deployment())
    api.admin.delete("Deployment", "shop", {"propagationPolicy": "Foreground"})
    found = api.admin.get("Deployment", "shop")
    if api.is_real:  # until the garbage collector has looked
        assert found.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    else:
        assert found.status == 404


def test_names_of_services_begin_with_a_letter(api: Api) -> None:
    # Kubernetes 1.36 takes 1shop, older ones do not: the sandbox is as strict as the older ones
    body = service()
    body["metadata"]["name"] = "1shop"
    assert api.admin.create(body).status == (201 if api.is_real else 422)


def test_empty_fields_of_events_are_left_out(api: Api) -> None:
    about = {"kind": "Pod", "name": "shop-1", "namespace": api.namespace}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": about}
    assert ("eventTime" in api.admin.create(event).body) is api.is_real


def test_a_generation_in_a_new_object(api: Api) -> None:
    made = api.admin.create(config_map(generation=7)).body
    assert ("generation" in made["metadata"]) is api.is_real
