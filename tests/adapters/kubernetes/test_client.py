"""The real client: the exact request of every verb, and what each answer or fault becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gitlab_mesh.adapters.kubernetes.client import KubernetesAccess, KubernetesCluster, KubernetesPodProxy
from gitlab_mesh.adapters.kubernetes.connection import Connection
from gitlab_mesh.errors import (
    AccessDeniedError,
    ConflictError,
    GitlabMeshError,
    ObjectMissingError,
    TransientError,
    UsageError,
)
from gitlab_mesh.ports import AccessRule
from gitlab_mesh.testing.clock import FakeClock

from .scripted_api import Reply, ScriptedApi, kubeconfig

ROUTE = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
VIRTUAL_SERVICE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "shop", "namespace": "shop"},
}


def status(code: int, reason: str = "", message: str = "") -> Reply:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return Reply(code, {**body, "reason": reason, "message": message})


@pytest.fixture
def cluster(connection: Connection) -> KubernetesCluster:
    return KubernetesCluster(connection)


def test_get_sends_token_and_path(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(Reply(body=VIRTUAL_SERVICE))
    assert cluster.get("VirtualService", "shop", "shop") == VIRTUAL_SERVICE
    (request,) = api.requests
    assert (request.method, request.path, request.query, request.body) == ("GET", f"{ROUTE}/shop", {}, None)
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"].startswith("gitlab-mesh/")


def test_patch_is_a_json_patch_by_our_field_manager(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(Reply(body=VIRTUAL_SERVICE))
    operations = ({"op": "test", "path": "/a", "value": 1}, {"op": "replace", "path": "/a", "value": 2})
    cluster.patch("VirtualService", "shop", "shop", operations, dry_run=True)
    (request,) = api.requests
    assert (request.method, request.path) == ("PATCH", f"{ROUTE}/shop")
    assert request.headers["content-type"] == "application/json-patch+json"
    assert request.query == {"fieldManager": "gitlab-mesh", "dryRun": "All"}
    assert request.body == list(operations)


def test_create_and_update_name_the_field_manager(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(Reply(201, VIRTUAL_SERVICE))
    cluster.create(VIRTUAL_SERVICE)
    cluster.update(VIRTUAL_SERVICE)
    create, update = api.requests
    assert (create.method, create.path, create.body) == ("POST", ROUTE, VIRTUAL_SERVICE)
    assert (update.method, update.path, update.body) == ("PUT", f"{ROUTE}/shop", VIRTUAL_SERVICE)
    assert create.query == update.query == {"fieldManager": "gitlab-mesh"}


def test_delete_is_in_the_background_and_bound_to_the_uid(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(Reply(body={"kind": "Status", "status": "Success"}))
    cluster.delete("Deployment", "shop", "shop-canary", uid="u-1")
    (request,) = api.requests
    assert request.path == "/apis/apps/v1/namespaces/shop/deployments/shop-canary"
    assert request.body["propagationPolicy"] == "Background"
    assert request.body["preconditions"] == {"uid": "u-1"}


def test_delete_of_what_is_missing_is_fine(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(status(404, "NotFound"))
    cluster.delete("Deployment", "shop", "shop-canary")


def test_list_follows_pages_and_completes_the_items(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(
        Reply(body={"kind": "PodList", "metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]}),
        Reply(body={"kind": "PodList", "metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
    )
    pods = cluster.list("Pod", "shop", label_selector="app=shop,version in (a,b)")
    assert [(pod["kind"], pod["apiVersion"], pod["metadata"]["name"]) for pod in pods] == [
        ("Pod", "v1", "a"),
        ("Pod", "v1", "b"),
    ]
    assert [request.query.get("continue") for request in api.requests] == [None, "next"]
    assert {request.query["labelSelector"] for request in api.requests} == {"app=shop,version in (a,b)"}


def test_list_that_expires_while_paged_begins_anew(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(
        Reply(body={"metadata": {"continue": "old"}, "items": [{"metadata": {"name": "a"}}]}),
        status(410, "Expired"),
        Reply(body={"metadata": {}, "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}),
    )
    assert [pod["metadata"]["name"] for pod in cluster.list("Pod", "")] == ["a", "b"]
    assert api.requests[-1].query == {}
    assert api.requests[-1].path == "/api/v1/pods"


def test_empty_list_of_null_items(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(Reply(body={"kind": "PodList", "metadata": {}, "items": None}))
    assert cluster.list("Pod", "shop") == []


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (status(400, "BadRequest", "bad"), UsageError, "bad"),
        (status(403, "Forbidden", "cannot get"), AccessDeniedError, "virtualservices"),
        (status(404, "NotFound"), ObjectMissingError, "VirtualService shop/shop"),
        (status(409, "Conflict"), ConflictError, "nothing was written"),
        (status(422, "Invalid", 'VirtualService "shop" is invalid: spec.http'), UsageError, "spec.http"),
        (status(500, "InternalError"), TransientError, "HTTP 500"),
        (status(503, "ServiceUnavailable"), TransientError, "HTTP 503"),
        (Reply(404, b"<html>nothing here</html>"), ObjectMissingError, "server's address"),
        (Reply(404, b"404 page not found\n"), ObjectMissingError, "does not serve VirtualService"),
        (Reply(302, b"", {"Location": "http://127.0.0.1:1/login"}), TransientError, "HTTP 302"),
        (Reply(200, b"<html>Sign in</html>"), TransientError, "not JSON"),
        (Reply(200, b"[1, 2]"), TransientError, "not JSON"),
        (Reply(200, b'{"kind": "Virt'), TransientError, "not JSON"),
        (Reply(502, b"bad gateway"), TransientError, "bad gateway"),
        (Reply(fault="reset"), TransientError, "broke"),
    ],
)
@pytest.mark.parametrize("verb", ["get", "update"])
def test_every_refusal_becomes_an_error_of_ours(
    api: ScriptedApi,
    cluster: KubernetesCluster,
    verb: str,
    reply: Reply,
    error: type[GitlabMeshError],
    words: str,
) -> None:
    api.reply(reply)
    with pytest.raises(error) as caught:
        cluster.get("VirtualService", "shop", "shop") if verb == "get" else cluster.update(VIRTUAL_SERVICE)
    assert words in str(caught.value)


def test_a_json_patch_test_that_fails_is_a_conflict(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(status(422, "Invalid", "the server rejected our request due to an error in our request"))
    with pytest.raises(ConflictError):
        cluster.patch("VirtualService", "shop", "shop", [{"op": "test", "path": "/a", "value": 1}])


@pytest.mark.parametrize("first", [status(500), status(502), status(503), status(504), Reply(fault="reset")])
def test_a_read_is_tried_again(api: ScriptedApi, cluster: KubernetesCluster, clock: FakeClock, first: Reply) -> None:
    api.reply(first, Reply(body=VIRTUAL_SERVICE))
    assert cluster.get("VirtualService", "shop", "shop") == VIRTUAL_SERVICE
    assert clock.sleeps == [0.2]


def test_a_read_is_tried_three_times_at_most(api: ScriptedApi, cluster: KubernetesCluster, clock: FakeClock) -> None:
    api.reply(status(503))
    with pytest.raises(TransientError):
        cluster.get("VirtualService", "shop", "shop")
    assert len(api.requests) == 3
    assert clock.sleeps == [0.2, 0.8]


@pytest.mark.parametrize("first", [status(500), status(503), status(504), Reply(fault="reset")])
@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
def test_a_write_is_never_sent_twice(
    api: ScriptedApi, cluster: KubernetesCluster, clock: FakeClock, verb: str, first: Reply
) -> None:
    api.reply(first, Reply(body=VIRTUAL_SERVICE))
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: cluster.create(VIRTUAL_SERVICE),
        "update": lambda: cluster.update(VIRTUAL_SERVICE),
        "patch": lambda: cluster.patch("VirtualService", "shop", "shop", []),
        "delete": lambda: cluster.delete("VirtualService", "shop", "shop"),
    }
    with pytest.raises(TransientError):
        calls[verb]()
    assert len(api.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("retry_after", "waited"), [("", 0.2), ("2", 2.0), ("3600", 5.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.2)]
)
def test_too_many_requests_waits_as_asked_but_not_for_ever(
    api: ScriptedApi, cluster: KubernetesCluster, clock: FakeClock, retry_after: str, waited: float
) -> None:
    refused = status(429, "TooManyRequests")
    refused.headers = {"Retry-After": retry_after}
    api.reply(refused, Reply(201, VIRTUAL_SERVICE))
    cluster.create(VIRTUAL_SERVICE)
    assert clock.sleeps == [waited]


@pytest.mark.parametrize("retry_after", ["nan", "-1", "inf"])
def test_a_senseless_retry_after_is_bounded(
    api: ScriptedApi, cluster: KubernetesCluster, clock: FakeClock, retry_after: str
) -> None:
    refused = status(429)
    refused.headers = {"Retry-After": retry_after}
    api.reply(refused, Reply(body=VIRTUAL_SERVICE))
    cluster.get("VirtualService", "shop", "shop")
    assert 0.2 <= clock.sleeps[0] <= 5.0


def test_a_rotated_token_is_read_again_once(api: ScriptedApi, connection: Connection, kubeconfig_file: Path) -> None:
    kubeconfig_file.write_text(yaml.safe_dump(kubeconfig(api.url, "group/agents:prod", token="n3w")))
    api.reply(status(401, "Unauthorized"), Reply(body=VIRTUAL_SERVICE))
    KubernetesCluster(connection).get("VirtualService", "shop", "shop")
    assert [request.headers["authorization"] for request in api.requests] == ["Bearer t0ken", "Bearer n3w"]


def test_a_refused_token_is_not_tried_for_ever(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    api.reply(status(401, "Unauthorized"))
    with pytest.raises(AccessDeniedError, match="credentials"):
        cluster.update(VIRTUAL_SERVICE)
    assert len(api.requests) == 2


def test_no_token_in_any_message(api: ScriptedApi, cluster: KubernetesCluster) -> None:
    for reply in (status(401), status(403), status(503), Reply(fault="reset"), Reply(200, b"x")):
        api.reply(reply)
        with pytest.raises(GitlabMeshError) as caught:
            cluster.get("VirtualService", "shop", "shop")
        assert "t0ken" not in str(caught.value)


def test_silence_ends_at_the_time_limit(api: ScriptedApi, open_connection: Callable[..., Connection]) -> None:
    api.reply(Reply(fault="hang"))
    with pytest.raises(TransientError, match=r"no answer to PUT .*/shop within 0\.2 s"):
        KubernetesCluster(open_connection(timeout_seconds=0.2)).update(VIRTUAL_SERVICE)


def test_an_answer_that_never_ends_ends_at_the_time_limit(
    api: ScriptedApi, open_connection: Callable[..., Connection]
) -> None:
    api.reply(Reply(fault="drip"))
    with pytest.raises(TransientError, match=r"not complete after 0\.2 s"):
        KubernetesCluster(open_connection(timeout_seconds=0.2)).update(VIRTUAL_SERVICE)


def test_an_answer_too_large_is_cut_off(
    api: ScriptedApi, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitlab_mesh.adapters.kubernetes.connection.BODY_LIMIT_BYTES", 1024)
    api.reply(Reply(body={"kind": "ConfigMap", "data": {"x": "y" * 5000}}))
    with pytest.raises(TransientError, match="has more than"):
        cluster.update(VIRTUAL_SERVICE)


@pytest.mark.parametrize("call", ["get", "create"])
def test_nobody_listens(
    api: ScriptedApi, open_connection: Callable[..., Connection], clock: FakeClock, call: str
) -> None:
    cluster = KubernetesCluster(open_connection())
    api.close()
    with pytest.raises(TransientError, match=r"cannot be reached(.|\n)*refused(.|\n)*kubectl --context group/agents"):
        cluster.get("Pod", "a", "b") if call == "get" else cluster.create(VIRTUAL_SERVICE)
    assert clock.sleeps == [0.2, 0.8]  # no connection came about: trying again is safe for any verb


@pytest.mark.parametrize(("namespace", "name"), [("", "shop"), ("shop", ""), ("shop", "a/../b")])
def test_an_object_without_its_name_is_never_asked_for(
    api: ScriptedApi, cluster: KubernetesCluster, namespace: str, name: str
) -> None:
    for call in (cluster.get, cluster.delete):
        with pytest.raises(UsageError, match="a namespace and a name are needed"):
            call("Deployment", namespace, name)
    assert api.requests == []


# pods/proxy


def test_pod_proxy_path_and_answer(api: ScriptedApi, connection: Connection) -> None:
    api.reply(Reply(200, b"istio_requests_total 1\n"))
    answer = KubernetesPodProxy(connection).get_path("shop", "shop-1", 15020, "/stats/prometheus?usedonly", timeout=2)
    assert (answer.status, answer.body) == (200, b"istio_requests_total 1\n")
    (request,) = api.requests
    assert request.path == "/api/v1/namespaces/shop/pods/shop-1:15020/proxy/stats/prometheus"
    assert request.headers["accept"] == "*/*"


@pytest.mark.parametrize("code", [302, 401, 404, 429, 500, 503])
def test_what_the_pod_says_is_an_answer(api: ScriptedApi, connection: Connection, clock: FakeClock, code: int) -> None:
    api.reply(Reply(code, {"error": "the application's own"}))
    answer = KubernetesPodProxy(connection).get_path("shop", "shop-1", 8080, "health", timeout=2)
    assert answer.status == code
    assert len(api.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (status(404, "NotFound", 'pods "shop-1" not found'), ObjectMissingError),
        (status(400, "BadRequest", "address not allowed"), TransientError),
        (status(403, "Forbidden"), AccessDeniedError),
        (status(503, "ServiceUnavailable", "error trying to reach service: dial tcp: refused"), TransientError),
        (Reply(502, b"Error trying to reach service: 'dial tcp: connection refused'"), TransientError),
    ],
)
def test_what_the_api_server_says_is_an_error(
    api: ScriptedApi, connection: Connection, reply: Reply, error: type[GitlabMeshError]
) -> None:
    api.reply(reply)
    with pytest.raises(error, match="shop-1"):
        KubernetesPodProxy(connection).get_path("shop", "shop-1", 8080, "/", timeout=2)


def test_a_silent_pod_ends_at_its_time_limit(api: ScriptedApi, connection: Connection) -> None:
    api.reply(Reply(fault="hang"))
    with pytest.raises(TransientError, match=r"within 0\.2 s"):
        KubernetesPodProxy(connection).get_path("shop", "shop-1", 8080, "/", timeout=0.2)


# pods/log


def test_the_end_of_a_log_is_asked_for_by_container(api: ScriptedApi, connection: Connection) -> None:
    api.reply(Reply(200, b"one\ntwo\n"))
    proxy = KubernetesPodProxy(connection)
    assert proxy.get_log("shop", "shop-1", "app", lines=50, previous=True, timeout=2) == "one\ntwo\n"
    (request,) = api.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/shop/pods/shop-1/log")
    assert request.query == {"container": "app", "tailLines": "50", "previous": "true"}


def test_a_log_that_the_server_does_not_give(api: ScriptedApi, connection: Connection, clock: FakeClock) -> None:
    api.reply(status(403, "Forbidden"), status(500, "InternalError", "no preferred addresses found"))
    proxy = KubernetesPodProxy(connection)
    with pytest.raises(AccessDeniedError, match="get pods/log"):
        proxy.get_log("shop", "shop-1", "app", lines=50, timeout=2)
    with pytest.raises(TransientError, match="shop-1"):
        proxy.get_log("shop", "shop-1", "app", lines=50, timeout=2)
    assert clock.sleeps == [], "nobody waits for a log"


# SelfSubjectAccessReview


def test_denied_rules(api: ScriptedApi, connection: Connection) -> None:
    api.reply(
        Reply(201, {"status": {"allowed": True}}),
        Reply(201, {"status": {"allowed": False, "reason": "no"}}),
        Reply(201, {}),
    )
    rules = [
        AccessRule("patch", "networking.istio.io", "virtualservices", "shop", "shop"),
        AccessRule("get", "", "pods/proxy", "shop"),
        AccessRule("list", "", "pods", "shop"),
    ]
    assert KubernetesAccess(connection).denied(rules) == rules[1:]
    assert [request.body["spec"]["resourceAttributes"] for request in api.requests] == [
        {
            "verb": "patch",
            "group": "networking.istio.io",
            "resource": "virtualservices",
            "namespace": "shop",
            "name": "shop",
        },
        {"verb": "get", "resource": "pods", "subresource": "proxy", "namespace": "shop"},
        {"verb": "list", "resource": "pods", "namespace": "shop"},
    ]
    assert {request.path for request in api.requests} == {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}
