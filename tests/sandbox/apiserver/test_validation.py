"""What the server refuses, fills in and counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gitlab_mesh.errors import ConflictError, ObjectMissingError, UsageError
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import ADMIN, config_map, deployment, route

Change = Callable[[dict[str, Any]], None]


def put(path: str, value: Any) -> Change:
    """Set the value at a path like "spec/http/0"; None takes it out."""

    def change(body: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        node: Any = body
        for part in parents:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return change


@pytest.mark.parametrize(
    ("body", "change", "says"),
    [
        (route(), put("spec/hosts", "shop"), "spec.hosts in body must be of type array"),
        (route(), put("spec/hosts", [1]), "spec.hosts[0] in body must be of type string"),
        (
            route(),
            put("spec/http/0/route/0/weight", "90"),
            "spec.http[0].route[0].weight in body must be of type integer",
        ),
        (route(), put("spec/http/0/route/0/weight", 90.5), 'of type int32: "float64"'),
        (route(), put("spec/http/0/route/0/weight", True), 'of type integer: "boolean"'),
        (route(), put("spec/http/0/route/0/weight", -1), "weight -1 < 0"),
        (route(), put("spec/http/0/route/0/weight", 0), "total destination weight = 0"),
        (route(), put("spec/http/0/route/0/destination", {}), "spec.http[0].route[0].destination.host: Required value"),
        (route(), put("spec/hosts", None), "must have at least one host"),
        (route(), put("spec/http", None), "http, tcp or tls must be provided"),
        (route(), put("metadata/name", "Shop_1"), "a lowercase RFC 1123 subdomain"),
        (route(), put("metadata/name", "a" * 254), "must be no more than 253 characters"),
        (route(), put("metadata/name", None), "name or generateName is required"),
        (route(), put("metadata/labels", {"a": "not valid"}), "a valid label must be"),
        (route(), put("metadata/labels", {"a": "x" * 64}), "must be no more than 63 bytes"),
        (route(), put("metadata/labels", {"-a": "x"}), "name part must consist of"),
        (route(), put("metadata/labels", {"a": 1}), "cannot unmarshal number into Go struct field ObjectMeta"),
        (route(), put("metadata/annotations", ["a"]), "cannot unmarshal array"),
        (route(), put("kind", "Gateway"), "does not match the expected API version"),
        (deployment(), put("spec/selector", None), "spec.selector: Required value"),
        (deployment(), put("spec/selector", {"matchLabels": {"app": "x"}}), "does not match template `labels`"),
        (deployment(), put("spec/replicas", -1), "must be greater than or equal to 0"),
        (
            deployment(),
            put("spec/replicas", "2"),
            "cannot unmarshal string into Go struct field Deployment.spec.replicas",
        ),
        (deployment(), put("spec/template/spec/containers", []), "spec.template.spec.containers: Required value"),
        (deployment(), put("spec/template/spec/containers/0/image", None), "containers[0].image: Required value"),
        (deployment(), put("spec/template/spec/containers", "x"), "cannot unmarshal string"),
        (config_map(), put("data/a", 1), "cannot unmarshal number into Go struct field ConfigMap.data.a"),
        (config_map(), put("data", ["a"]), "cannot unmarshal array into Go struct field ConfigMap.data"),
    ],
)
def test_a_body_that_a_real_server_refuses(
    cluster: MemoryCluster, body: dict[str, Any], change: Change, says: str
) -> None:
    kind, namespace = body["kind"], body["metadata"]["namespace"]
    change(body)
    request = Request(
        "POST",
        {"VirtualService": "/apis/networking.istio.io/v1", "Deployment": "/apis/apps/v1", "ConfigMap": "/api/v1"}[kind]
        + f"/namespaces/{namespace}/{kind.lower()}s",
        headers={"authorization": f"Bearer {ADMIN.token}", "content-type": "application/json"},
        body=json.dumps(body).encode(),
    )
    answer = cluster.server.handle(request)
    assert answer.status in (400, 422), answer.body
    assert says in answer.body["message"]
    assert cluster.list(kind, "shop") == []


def test_a_selector_of_a_deployment_never_changes(cluster: MemoryCluster) -> None:
    created = cluster.create(deployment())
    created["spec"]["selector"] = {"matchLabels": {"version": "v1"}}
    with pytest.raises(UsageError, match="field is immutable"):
        cluster.update(created)


def test_a_namespace_must_exist(cluster: MemoryCluster) -> None:
    body = config_map()
    body["metadata"]["namespace"] = "nowhere"
    with pytest.raises(ObjectMissingError, match='namespaces "nowhere" not found'):
        cluster.create(body)


def test_unknown_fields_of_a_route_are_dropped_and_refused_if_asked(cluster: MemoryCluster) -> None:
    body = route()
    body["spec"]["http"][0]["timeOut"] = "1s"
    assert "timeOut" not in cluster.create(body)["spec"]["http"][0]
    body["metadata"]["name"] = "other"
    request = Request(
        "POST",
        "/apis/networking.istio.io/v1/namespaces/shop/virtualservices",
        query={"fieldValidation": "Strict"},
        headers={"authorization": f"Bearer {ADMIN.token}"},
        body=json.dumps(body).encode(),
    )
    answer = cluster.server.handle(request)
    assert answer.status == 400
    assert 'unknown field "spec.http[0].timeOut"' in answer.body["message"]


def test_metadata_is_the_servers(cluster: MemoryCluster) -> None:
    created = cluster.create({**route(), "status": {"made": "up"}})
    metadata = created["metadata"]
    assert metadata["generation"] == 1
    assert metadata["uid"]
    assert metadata["creationTimestamp"].endswith("Z")
    assert "status" not in created
    changed = {**created, "metadata": {**metadata, "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 99}}
    assert cluster.update(changed) == created


def test_generation_counts_changes_of_what_is_wanted(cluster: MemoryCluster) -> None:
    cluster.create(route())

    def generation_after(*operations: dict[str, Any]) -> int:
        return int(cluster.patch("VirtualService", "shop", "shop", operations)["metadata"]["generation"])

    assert generation_after({"op": "add", "path": "/metadata/annotations", "value": {"a": "1"}}) == 1
    assert generation_after({"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 90}) == 2
    live = cluster.get("VirtualService", "shop", "shop")
    assert cluster.update_status({**live, "status": {"a": 1}})["metadata"]["generation"] == 2


def test_versions_are_one_counter_and_stand_still_without_a_change(cluster: MemoryCluster) -> None:
    first = cluster.create(config_map("one"))
    second = cluster.create(config_map("two"))
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1
    same = cluster.patch("ConfigMap", "shop", "one", [{"op": "replace", "path": "/data/a", "value": "1"}])
    assert same["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    dry = cluster.patch("ConfigMap", "shop", "one", [{"op": "replace", "path": "/data/a", "value": "2"}], dry_run=True)
    assert dry["data"] == {"a": "2"}
    assert cluster.get("ConfigMap", "shop", "one") == first
    assert cluster.create(config_map("three"), dry_run=True)["metadata"]["uid"]
    assert [body["metadata"]["name"] for body in cluster.list("ConfigMap", "shop")] == ["one", "two"]


def test_status_and_spec_are_written_apart(cluster: MemoryCluster) -> None:
    created = cluster.create(deployment())
    cluster.update_status({**created, "spec": {"replicas": 9}, "status": {"readyReplicas": 2}})
    live = cluster.get("Deployment", "shop", "shop-v1")
    assert (live["spec"]["replicas"], live["status"]) == (2, {"readyReplicas": 2})
    cluster.update({**live, "spec": {**live["spec"], "replicas": 3}, "status": {"readyReplicas": 9}})
    live = cluster.get("Deployment", "shop", "shop-v1")
    assert (live["spec"]["replicas"], live["status"]) == (3, {"readyReplicas": 2})


def lease(version: str = "", uid: str = "") -> dict[str, Any]:
    metadata = {"name": "lock", "namespace": "shop", "resourceVersion": version, "uid": uid}
    spec = {"holderIdentity": "job-1", "leaseDurationSeconds": 30}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def test_a_lease_is_only_replaced_at_a_known_version(cluster: MemoryCluster) -> None:
    made = cluster.update(lease())
    assert made["metadata"]["generation" if "generation" in made["metadata"] else "uid"]
    with pytest.raises(UsageError, match=r"metadata\.resourceVersion: Invalid value: 0: must be specified"):
        cluster.update(lease())
    made["spec"]["holderIdentity"] = "job-2"
    cluster.update(made)
    with pytest.raises(ConflictError, match="the object has been modified"):
        cluster.update(made)
    cluster.delete("Lease", "shop", "lock")
    with pytest.raises(ConflictError, match="Precondition failed: UID"):
        cluster.update(made)


def test_a_patch_that_carries_a_version_is_conditional(cluster: MemoryCluster) -> None:
    created = cluster.create(config_map())
    cluster.merge_patch("ConfigMap", "shop", "settings", {"data": {"a": "2"}})
    with pytest.raises(ConflictError):
        cluster.merge_patch(
            "ConfigMap",
            "shop",
            "settings",
            {"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}, "data": {"a": "3"}},
        )


def test_generated_names_and_secrets_and_services_are_filled_in(cluster: MemoryCluster) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "shop-", "namespace": "shop"},
        "involvedObject": {"kind": "VirtualService", "name": "shop", "namespace": "shop"},
        "message": "weight 10",
    }
    names = {cluster.create(event)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("shop-") and len(name) == 10 for name in names)
    with pytest.raises(UsageError, match=r"does not match event\.namespace"):
        cluster.create({**event, "involvedObject": {"kind": "Pod", "name": "x"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}
    made = cluster.create({**secret, "stringData": {"a": "b"}})
    assert (made["data"], made["type"]) == ({"a": "Yg=="}, "Opaque")
    assert "stringData" not in made
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]},
    }
    made = cluster.create(service)
    assert made["spec"]["clusterIP"].startswith("10.96.")
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


def test_an_istio_object_is_the_same_in_all_its_versions(cluster: MemoryCluster) -> None:
    cluster.create(route())
    for version in ("v1", "v1beta1", "v1alpha3"):
        answer = cluster.server.handle(
            Request(
                "GET",
                f"/apis/networking.istio.io/{version}/namespaces/shop/virtualservices/shop",
                headers={"authorization": f"Bearer {ADMIN.token}"},
            )
        )
        assert answer.body["apiVersion"] == f"networking.istio.io/{version}"
        assert answer.body["spec"]["hosts"] == ["shop"]
