"""What we rely on: leases, status and scale, deletion, events, pods."""

from __future__ import annotations

from typing import Any

from tests.contract.api import MERGE_PATCH, Api, Object
from tests.contract.api_objects import config_map, deployment, lease, pod, route


def renew(holder: str, fence: int, time: str) -> list[Object]:
    return [
        {"op": "test", "path": "/spec/holderIdentity", "value": holder},
        {"op": "test", "path": "/spec/leaseTransitions", "value": fence},
        {"op": "add", "path": "/spec/renewTime", "value": time},
    ]


def test_a_lease_is_renewed_by_its_holder_only(api: Api) -> None:
    made = api.admin.create(lease()).body
    time = "2026-01-01T00:00:10.120000Z"
    renewed = api.admin.patch("Lease", "lock", renew("77/1001", 1, time))
    assert renewed.status == 200
    assert renewed.body["spec"] == {**made["spec"], "renewTime": time}, "six digits come back as they were sent"
    for holder, fence in (("78/1002", 1), ("77/1001", 2)):
        refused = api.admin.patch("Lease", "lock", renew(holder, fence, "2026-01-01T00:00:20.000000Z"))
        assert refused.refusal == (422, "Invalid")
    assert api.admin.get("Lease", "lock").body == renewed.body


def test_of_two_who_take_a_lease_one_gets_it(api: Api) -> None:
    seen = api.admin.create(lease()).body["metadata"]["resourceVersion"]

    def take(holder: str) -> list[Object]:
        spec = {**lease(holder=holder)["spec"], "leaseTransitions": 2}
        return [
            {"op": "test", "path": "/metadata/resourceVersion", "value": seen},
            {"op": "add", "path": "/spec", "value": spec},
        ]

    assert api.admin.patch("Lease", "lock", take("78/1")).body["spec"]["holderIdentity"] == "78/1"
    assert api.admin.patch("Lease", "lock", take("79/1")).refusal == (422, "Invalid")
    stale = {**lease(holder="79/1"), "metadata": {"name": "lock", "resourceVersion": seen}}
    assert api.admin.update(stale).refusal == (409, "Conflict")


def test_a_lease_without_holder_is_one_that_was_released(api: Api) -> None:
    api.admin.create(lease())
    release = [{"op": "replace", "path": "/spec/holderIdentity", "value": ""}]
    answer = api.admin.patch("Lease", "lock", release)
    assert answer.status == 200
    assert answer.body["spec"].get("holderIdentity", "") == ""
    assert answer.body["spec"]["leaseTransitions"] == 1


def test_status_and_spec_are_written_apart(api: Api) -> None:
    api.admin.create(deployment())
    wrong_place = api.admin.patch("Deployment", "shop", {"status": {"replicas": 77}}, media=MERGE_PATCH)
    assert "replicas" not in wrong_place.body.get("status", {})
    both = {"spec": {"replicas": 9}, "status": {"observedGeneration": 1, "readyReplicas": 2, "replicas": 2}}
    written = api.admin.patch("Deployment", "shop", both, media=MERGE_PATCH, subresource="status").body
    assert written["spec"]["replicas"] == 2
    assert (written["status"]["observedGeneration"], written["status"]["readyReplicas"]) == (1, 2)
    assert written["metadata"]["generation"] == 1
    assert api.admin.get("ConfigMap", "none", "status").refusal == (404, "NotFound")


def test_the_status_of_a_custom_resource_moves_no_generation(api: Api) -> None:
    api.admin.create(route())
    status = {"status": {"conditions": [{"type": "Reconciled", "status": "True"}]}, "spec": {"hosts": ["other"]}}
    body = api.admin.patch("VirtualService", "shop", status, media=MERGE_PATCH, subresource="status").body
    assert (body["metadata"]["generation"], body["spec"]["hosts"]) == (1, ["shop"])
    assert body["status"]["conditions"][0]["type"] == "Reconciled"
    spec = api.admin.patch("VirtualService", "shop", {"spec": {"hosts": ["b"]}, "status": None}, media=MERGE_PATCH).body
    assert (spec["metadata"]["generation"], spec["status"]) == (2, body["status"])


def test_scale(api: Api) -> None:
    made = api.admin.create(deployment()).body
    scale = api.admin.get("Deployment", "shop", "scale").body
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"]["selector"] == "app=shop"
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]
    up = [{"op": "test", "path": "/spec/replicas", "value": 2}, {"op": "replace", "path": "/spec/replicas", "value": 5}]
    assert api.admin.patch("Deployment", "shop", up, subresource="scale").body["spec"] == {"replicas": 5}
    assert api.admin.patch("Deployment", "shop", up, subresource="scale").refusal == (422, "Invalid")
    body = api.admin.get("Deployment", "shop").body
    assert (body["spec"]["replicas"], body["metadata"]["generation"]) == (5, 2)
    stale = api.admin.send("PUT", api.admin.path("Deployment", "shop", "scale"), {**scale, "spec": {"replicas": 1}})
    assert stale.refusal == (409, "Conflict")
    below = [{"op": "replace", "path": "/spec/replicas", "value": -1}]
    refused = api.admin.patch("Deployment", "shop", below, subresource="scale")
    assert refused.message.startswith('Scale.autoscaling "shop" is invalid: spec.replicas')
    assert api.admin.get("Deployment", "none", "scale").refusal == (404, "NotFound")


BACKGROUND: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}


def test_a_deletion_in_the_background_is_done_at_once(api: Api) -> None:
    made = api.admin.create(deployment()).body
    answer = api.admin.delete("Deployment", "shop", BACKGROUND)
    assert answer.status == 200
    assert (answer.body["kind"], answer.body["status"]) == ("Status", "Success")
    assert answer.body["details"] == {
        "name": "shop",
        "group": "apps",
        "kind": "deployments",
        "uid": made["metadata"]["uid"],
    }
    assert api.admin.get("Deployment", "shop").status == 404
    assert api.admin.delete("Deployment", "shop", BACKGROUND).refusal == (404, "NotFound")


def test_preconditions_of_a_deletion(api: Api) -> None:
    made = api.admin.create(config_map()).body["metadata"]
    for field, value in (("uid", "of-another"), ("resourceVersion", "1")):
        refused = api.admin.delete("ConfigMap", "settings", {**BACKGROUND, "preconditions": {field: value}})
        assert refused.refusal == (409, "Conflict")
        assert f"in the precondition ({value}) does not match" in refused.message
        assert refused.body["details"] == {"name": "settings", "kind": "ConfigMap"}
    assert api.admin.get("ConfigMap", "settings").status == 200
    fits = {**BACKGROUND, "preconditions": {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}}
    assert api.admin.delete("ConfigMap", "settings", fits).status == 200


def test_a_policy_that_does_not_exist(api: Api) -> None:
    api.admin.create(config_map())
    answer = api.admin.delete("ConfigMap", "settings", {**BACKGROUND, "propagationPolicy": "Sometimes"})
    assert answer.refusal == (422, "Invalid")
    assert answer.causes == [("propagationPolicy", "FieldValueNotSupported")]


def test_finalizers_keep_an_object_that_is_being_deleted(api: Api) -> None:
    api.admin.create(config_map(finalizers=["example.com/one"]))
    answer = api.admin.delete("ConfigMap", "settings", BACKGROUND)
    assert answer.status == 200
    assert answer.body["kind"] == "ConfigMap", "the object as it is, not a Status: it is still there"
    assert answer.body["metadata"]["deletionTimestamp"]
    again = api.admin.create(config_map())
    assert again.refusal == (409, "AlreadyExists")
    assert again.message == 'object is being deleted: configmaps "settings" already exists'
    more = {"metadata": {"finalizers": ["example.com/one", "example.com/two"]}}
    assert api.admin.patch("ConfigMap", "settings", more, media=MERGE_PATCH).refusal == (422, "Invalid")
    assert api.admin.patch("ConfigMap", "settings", {"data": {"b": "2"}}, media=MERGE_PATCH).status == 200
    free = [{"op": "remove", "path": "/metadata/finalizers"}]
    assert api.admin.patch("ConfigMap", "settings", free).status == 200
    assert api.admin.get("ConfigMap", "settings").status == 404


def test_many_are_deleted_by_selector(api: Api) -> None:
    for name in ("a", "b"):
        api.admin.create(config_map(name, labels={"set": name}))
    gone = api.admin.send("DELETE", api.admin.path("ConfigMap"), labelSelector="set=a")
    assert (gone.status, gone.body["kind"]) == (200, "ConfigMapList")
    assert api.admin.get("ConfigMap", "a").status == 404
    assert api.admin.get("ConfigMap", "b").status == 200


def event(api: Api, name: str = "promoted", **about: str) -> Object:
    involved = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "name": "shop"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "involvedObject": {**involved, "namespace": api.namespace, **about},
        "reason": "Promoted",
        "message": "registry.example/shop:1.5.0",
        "type": "Normal",
        "source": {"component": "gitlab-mesh"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }


def test_events_are_written_in_one_group_and_read_in_both(api: Api) -> None:
    made = api.admin.create(event(api))
    assert made.status == 201
    assert {key: made.body[key] for key in event(api) if key != "metadata"} == {
        key: value for key, value in event(api).items() if key != "metadata"
    }
    path = f"/apis/events.k8s.io/v1/namespaces/{api.namespace}/events/promoted"
    found = api.admin.send("GET", path).body
    assert (found["note"], found["regarding"]["name"]) == ("registry.example/shop:1.5.0", "shop")
    by_object = api.admin.list("Event", fieldSelector="involvedObject.name=shop,involvedObject.kind=VirtualService")
    assert [item["reason"] for item in by_object.body["items"]] == ["Promoted"]
    elsewhere = api.admin.create(event(api, "other", namespace="other"))
    assert elsewhere.refusal == (422, "Invalid")
    assert elsewhere.causes == [("involvedObject.namespace", "FieldValueInvalid")]


def test_a_pod_that_is_new_or_missing(api: Api) -> None:
    made = api.admin.create(pod())
    assert made.status == 201
    assert made.body["status"]["phase"] == "Pending"
    spec: Any = made.body["spec"]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 30)
    proxied = api.admin.send("GET", api.admin.path("Pod", "none:8080", "proxy") + "/health")
    assert proxied.refusal == (404, "NotFound")
    assert proxied.message == 'pods "none" not found'
    assert api.admin.get("Pod", "none", "log").refusal == (404, "NotFound")
    running = {"status": {"phase": "Running", "podIP": "10.1.1.1"}}
    body = api.admin.patch("Pod", "shop-1", running, media=MERGE_PATCH, subresource="status").body
    assert body["status"]["podIP"] == "10.1.1.1"
    deleted = api.admin.delete("Pod", "shop-1", {**BACKGROUND, "gracePeriodSeconds": 0})
    assert deleted.body["kind"] == "Pod", "its last state, not a Status"
    assert api.admin.get("Pod", "shop-1").status == 404


def test_a_pod_without_an_address_cannot_be_asked(api: Api) -> None:
    api.admin.create(pod())
    answer = api.admin.send("GET", api.admin.path("Pod", "shop-1:8080", "proxy") + "/health")
    assert answer.refusal == (400, "BadRequest")
    assert answer.message == "address not allowed"
