"""The unmodified official Python client against the server, over HTTPS and by its kubeconfig."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes import config as kubernetes_config
from kubernetes.client.exceptions import ApiException

from gitlab_mesh.sandbox.apiserver.http_server import HttpServer
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import VIEWER, config_map, pod, route, running

ROUTES = ("networking.istio.io", "v1", "shop", "virtualservices")
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def connection(kubeconfig: Path) -> Iterator[Any]:
    with kubernetes_config.new_client_from_config(config_file=str(kubeconfig)) as made:
        yield made
        made.rest_client.pool_manager.clear()


@pytest.fixture
def routes(connection: Any) -> Any:
    return client.CustomObjectsApi(connection)


@pytest.fixture
def core(connection: Any) -> Any:
    return client.CoreV1Api(connection)


@pytest.fixture
def apps(connection: Any) -> Any:
    return client.AppsV1Api(connection)


def refusal(call: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """Status and body of a call that must be refused."""
    with pytest.raises(ApiException) as caught:
        call(*args, **kwargs)
    return caught.value.status, caught.value.body


def plain(answer: Any) -> Any:
    """What the client read as a dict; some of its versions type the answers of deletions, some do not."""
    return answer if isinstance(answer, dict) else answer.to_dict()


def deployment(name: str = "shop-v1") -> Any:
    container = client.V1Container(name="app", image="registry.example/shop:1.4.0")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "shop"}), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=2, selector=client.V1LabelSelector(match_labels={"app": "shop"}), template=template
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def test_custom_objects_are_created_read_replaced_and_deleted(routes: Any) -> None:
    created = routes.create_namespaced_custom_object(*ROUTES, route())
    assert created["metadata"]["generation"] == 1
    assert refusal(routes.create_namespaced_custom_object, *ROUTES, route())[0] == 409
    read = routes.get_namespaced_custom_object(*ROUTES, "shop")
    assert read == created
    read["spec"]["gateways"] = ["edge"]
    replaced = routes.replace_namespaced_custom_object(*ROUTES, "shop", read)
    assert replaced["spec"]["gateways"] == ["edge"]
    status, body = refusal(routes.replace_namespaced_custom_object, *ROUTES, "shop", read)
    assert status == 409
    assert "the object has been modified" in body
    assert routes.delete_namespaced_custom_object(*ROUTES, "shop")["status"] == "Success"
    assert refusal(routes.get_namespaced_custom_object, *ROUTES, "shop")[0] == 404


def test_all_patches_of_a_custom_object(routes: Any) -> None:
    routes.create_namespaced_custom_object(*ROUTES, route())
    weight = "/spec/http/0/route/1/weight"
    operations = [{"op": "test", "path": weight, "value": 0}, {"op": "replace", "path": weight, "value": 10}]
    patched = routes.patch_namespaced_custom_object(*ROUTES, "shop", operations, _content_type=JSON_PATCH)
    assert patched["spec"]["http"][0]["route"][1]["weight"] == 10
    status, body = refusal(routes.patch_namespaced_custom_object, *ROUTES, "shop", operations, _content_type=JSON_PATCH)
    assert status == 422
    assert "the server rejected our request due to an error in our request" in body
    # the client sends every patch of a custom object as a merge patch unless told otherwise
    assert refusal(routes.patch_namespaced_custom_object, *ROUTES, "shop", operations)[0] == 400
    merged = routes.patch_namespaced_custom_object(*ROUTES, "shop", {"metadata": {"labels": {"a": "1"}}})
    assert merged["metadata"]["labels"] == {"a": "1"}
    applied = routes.patch_namespaced_custom_object(
        *ROUTES, "shop", route(canary=20), field_manager="gitlab-mesh", force=True, _content_type=APPLY
    )
    assert applied["spec"]["http"][0]["route"][1]["weight"] == 20
    status, body = refusal(
        routes.patch_namespaced_custom_object,
        *ROUTES,
        "shop",
        route(canary=30),
        field_manager="other",
        _content_type=APPLY,
    )
    assert status == 409
    assert 'conflict with \\"gitlab-mesh\\"' in body
    strategic = "application/strategic-merge-patch+json"
    assert refusal(routes.patch_namespaced_custom_object, *ROUTES, "shop", {}, _content_type=strategic)[0] == 415


def test_the_field_manager_is_the_clients_own_name_unless_given(routes: Any, connection: Any) -> None:
    connection.user_agent = "someones-tool/1.0 (linux)"
    created = routes.create_namespaced_custom_object(*ROUTES, route())
    assert created["metadata"]["managedFields"][0]["manager"] == "someones-tool"


def test_deployments_with_types_strategic_patches_scale_and_status(apps: Any) -> None:
    assert apps.create_namespaced_deployment("shop", deployment()).spec.strategy.type == "RollingUpdate"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}]}}}}
    container = apps.patch_namespaced_deployment("shop-v1", "shop", patch).spec.template.spec.containers[0]
    assert (container.image, container.env[0].value) == ("registry.example/shop:1.4.0", "1")
    apps.patch_namespaced_deployment_scale("shop-v1", "shop", {"spec": {"replicas": 5}})
    scale = apps.read_namespaced_deployment_scale("shop-v1", "shop")
    assert (scale.spec.replicas, scale.status.selector) == (5, "app=shop")
    scale.spec.replicas = 3
    apps.replace_namespaced_deployment_scale("shop-v1", "shop", scale)
    assert refusal(apps.replace_namespaced_deployment_scale, "shop-v1", "shop", scale)[0] == 409
    status = {"status": {"readyReplicas": 3}, "spec": {"replicas": 9}}
    apps.patch_namespaced_deployment_status("shop-v1", "shop", status)
    live = apps.read_namespaced_deployment("shop-v1", "shop")
    assert (live.spec.replicas, live.status.ready_replicas) == (3, 3)
    assert live.metadata.generation == 4


def test_dry_runs_leave_no_trace(routes: Any, core: Any) -> None:
    routes.create_namespaced_custom_object(*ROUTES, route(), dry_run="All")
    assert routes.list_namespaced_custom_object(*ROUTES)["items"] == []
    made = core.create_namespaced_config_map("shop", config_map(a="1"))
    core.patch_namespaced_config_map("settings", "shop", {"data": {"a": "2"}}, dry_run="All")
    core.delete_namespaced_config_map("settings", "shop", dry_run="All")
    assert core.read_namespaced_config_map("settings", "shop") == made


def test_pages_and_selectors(core: Any) -> None:
    for number in range(5):
        core.create_namespaced_pod("shop", pod(f"p{number}", side="canary" if number % 2 else "stable"))
    names: list[str] = []
    token = None
    while token != "":
        page = core.list_namespaced_pod("shop", limit=2, _continue=token)
        names += [one.metadata.name for one in page.items]
        token = page.metadata._continue or ""
    assert names == [f"p{number}" for number in range(5)]
    canaries = core.list_namespaced_pod("shop", label_selector="side in (canary)", field_selector="metadata.name!=p1")
    assert [one.metadata.name for one in canaries.items] == ["p3"]


def test_a_watch_sees_changes_and_an_old_version_expires(routes: Any, http: HttpServer) -> None:
    created = routes.create_namespaced_custom_object(*ROUTES, route())
    seen: list[tuple[str, int]] = []
    started = threading.Event()

    def follow() -> None:
        for event in watch.Watch().stream(routes.list_namespaced_custom_object, *ROUTES, timeout_seconds=10):
            seen.append((event["type"], event["object"]["spec"]["http"][0]["route"][1]["weight"]))
            started.set()
            if event["type"] == "DELETED":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    assert started.wait(5)
    patch = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 7}]
    routes.patch_namespaced_custom_object(*ROUTES, "shop", patch, _content_type=JSON_PATCH)
    routes.delete_namespaced_custom_object(*ROUTES, "shop")
    thread.join(10)
    assert seen == [("ADDED", 0), ("MODIFIED", 7), ("DELETED", 7)]
    http.api.store.forget_history()
    routes.create_namespaced_custom_object(*ROUTES, route())
    old = created["metadata"]["resourceVersion"]
    stream = watch.Watch().stream(
        routes.list_namespaced_custom_object, *ROUTES, resource_version=old, timeout_seconds=2
    )
    with pytest.raises(ApiException) as caught:
        list(stream)
    assert caught.value.status == 410


def test_leases_are_taken_over_by_version(connection: Any) -> None:
    leases = client.CoordinationV1Api(connection)
    spec = client.V1LeaseSpec(holder_identity="job-1", lease_duration_seconds=30, lease_transitions=1)
    leases.create_namespaced_lease("shop", client.V1Lease(metadata=client.V1ObjectMeta(name="lock"), spec=spec))
    one, two = (leases.read_namespaced_lease("lock", "shop") for _ in range(2))
    one.spec.holder_identity = "job-2"
    leases.replace_namespaced_lease("lock", "shop", one)
    assert refusal(leases.replace_namespaced_lease, "lock", "shop", two)[0] == 409


def test_deletion_knows_preconditions_and_policies(apps: Any, core: Any) -> None:
    apps.create_namespaced_deployment("shop", deployment())
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    assert refusal(apps.delete_namespaced_deployment, "shop-v1", "shop", body=wrong)[0] == 409
    done = apps.delete_namespaced_deployment("shop-v1", "shop", propagation_policy="Background")
    assert plain(done)["status"] == "Success"
    core.create_namespaced_pod("shop", pod("p"))
    gone = plain(core.delete_namespaced_pod("p", "shop", grace_period_seconds=0))
    assert (gone["kind"], gone["metadata"]["name"]) == ("Pod", "p")
    core.delete_collection_namespaced_pod("shop", label_selector="a=b")


def test_reviews_and_refusals_of_a_poor_token(http: HttpServer, tmp_path: Path) -> None:
    path = tmp_path / "viewer"
    path.write_text(http.render_kubeconfig(VIEWER.token, namespace="shop"))
    with kubernetes_config.new_client_from_config(config_file=str(path)) as poor:
        reviews = client.AuthorizationV1Api(poor)

        def allowed(**attributes: str) -> bool:
            about = client.V1ResourceAttributes(namespace="shop", **attributes)
            spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=about)
            review = client.V1SelfSubjectAccessReview(spec=spec)
            return bool(reviews.create_self_subject_access_review(review).status.allowed)

        assert allowed(verb="list", resource="pods")
        assert not allowed(verb="get", resource="pods", subresource="proxy")
        status, body = refusal(client.CoreV1Api(poor).list_namespaced_secret, "shop")
        assert status == 403
        assert "cannot list resource" in body
        poor.rest_client.pool_manager.clear()


def test_events_are_served_in_both_groups(connection: Any, core: Any) -> None:
    about = client.V1ObjectReference(kind="VirtualService", name="shop", namespace="shop")
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name="shop-"),
        involved_object=about,
        message="weight 10",
        reason="Step",
        event_time=NOW,
    )
    core.create_namespaced_event("shop", event)
    [seen] = client.EventsV1Api(connection).list_namespaced_event("shop").items
    assert (seen.note, seen.regarding.name, seen.reason) == ("weight 10", "shop", "Step")


def test_pods_are_reached_through_the_proxy(core: Any, http: HttpServer, cluster: MemoryCluster) -> None:
    asked: list[tuple[str, str, int, str]] = []

    def answer(namespace: str, name: str, port: int, path: str) -> tuple[int, dict[str, str], bytes]:
        asked.append((namespace, name, port, path))
        if port == 1:
            raise ConnectionRefusedError("connection refused")
        return 200, {"Content-Type": "text/plain"}, b"istio_requests_total 7\n"

    http.api.pod_proxy = answer
    running(cluster, "shop-1")
    read = core.connect_get_namespaced_pod_proxy_with_path
    assert read("shop-1:15020", "shop", "stats/prometheus").strip() == "istio_requests_total 7"
    assert core.connect_get_namespaced_pod_proxy("shop-1", "shop").strip() == "istio_requests_total 7"
    read("http:shop-1:15020", "shop", "a")
    assert asked == [
        ("shop", "shop-1", 15020, "/stats/prometheus"),
        ("shop", "shop-1", 8080, "/"),
        ("shop", "shop-1", 15020, "/a"),
    ]
    status, body = refusal(read, "shop-1:1", "shop", "x")
    assert status == 503
    assert "connection refused" in body
    assert refusal(read, "nobody:1", "shop", "x")[0] == 404


def test_logs_of_a_pod(core: Any, http: HttpServer, cluster: MemoryCluster) -> None:
    cluster.create(pod("shop-1"))
    http.api.pod_logs = lambda namespace, name, container: b"one\ntwo\nthree\n"
    assert core.read_namespaced_pod_log("shop-1", "shop", tail_lines=2) == "two\nthree\n"
