"""Watches, the change feed, and pages of a list."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gitlab_mesh.errors import UsageError
from gitlab_mesh.sandbox.apiserver.messages import Request, Response
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.apiserver.store import Change, ObjectStore
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import ADMIN, config_map, pod

AS_ADMIN = {"authorization": f"Bearer {ADMIN.token}"}
MAPS = "/api/v1/namespaces/shop/configmaps"


def ask(api: ApiServer, path: str, **query: str) -> Response:
    return api.handle(Request("GET", path, query=query, headers=AS_ADMIN))


def events(api: ApiServer, path: str = MAPS, **query: str) -> Iterator[dict[str, Any]]:
    """The events of a watch; ends with it."""
    stream = ask(api, path, watch="true", **query).stream
    assert stream is not None
    return (event for event in stream if event is not None)


def seen(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def test_a_watch_starts_with_what_there_is_and_goes_on(api: ApiServer, cluster: MemoryCluster) -> None:
    cluster.create(config_map("a"))
    stream = events(api)
    assert seen(next(stream)) == ("ADDED", "a")
    cluster.merge_patch("ConfigMap", "shop", "a", {"data": {"a": "2"}})
    assert seen(next(stream)) == ("MODIFIED", "a")
    cluster.delete("ConfigMap", "shop", "a")
    last = next(stream)
    assert seen(last) == ("DELETED", "a")
    assert int(last["object"]["metadata"]["resourceVersion"]) == api.store.version


def test_a_watch_from_a_version_tells_only_what_came_after(api: ApiServer, cluster: MemoryCluster) -> None:
    first = cluster.create(config_map("a"))
    cluster.create(config_map("b"))
    cluster.create(pod("p"))
    stream = events(api, resourceVersion=first["metadata"]["resourceVersion"])
    assert seen(next(stream)) == ("ADDED", "b")


def test_a_watch_wakes_up_at_once(api: ApiServer, cluster: MemoryCluster) -> None:
    got: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    stream = events(api, resourceVersion=str(api.store.version))
    thread = threading.Thread(target=lambda: got.put(seen(next(stream))))
    thread.start()
    cluster.create(config_map("a"))
    assert got.get(timeout=5) == ("ADDED", "a")
    thread.join(5)


def test_objects_enter_and_leave_a_watch_with_a_selector(api: ApiServer, cluster: MemoryCluster) -> None:
    stream = events(api, "/api/v1/namespaces/shop/pods", labelSelector="side=canary")
    cluster.create(pod("p", side="stable"))
    set_label = [{"op": "replace", "path": "/metadata/labels/side", "value": "canary"}]
    cluster.patch("Pod", "shop", "p", set_label)
    assert seen(next(stream)) == ("ADDED", "p")
    cluster.merge_patch("Pod", "shop", "p", {"metadata": {"annotations": {"a": "1"}}})
    assert seen(next(stream)) == ("MODIFIED", "p")
    cluster.patch("Pod", "shop", "p", [{**set_label[0], "value": "stable"}])
    gone = next(stream)
    assert seen(gone) == ("DELETED", "p")


def test_a_version_that_is_too_old_is_expired(cluster: MemoryCluster) -> None:
    small = MemoryCluster(ApiServer([ADMIN], ObjectStore(history=3)), user=ADMIN, namespaces=["shop"])
    for number in range(6):
        small.create(config_map(f"c{number}"))
    [event] = events(small.server, resourceVersion="2")
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    kept = events(small.server, resourceVersion=str(small.server.store.version - 3), timeoutSeconds="1")
    assert [seen(event)[1] for event in kept] == ["c3", "c4", "c5"]
    cluster.create(config_map("a"))
    cluster.server.store.forget_history()
    [event] = events(cluster.server, resourceVersion="2")
    assert event["object"]["code"] == 410


def test_bookmarks_and_initial_events_when_asked(api: ApiServer, cluster: MemoryCluster) -> None:
    cluster.create(config_map("a"))
    got = list(events(api, allowWatchBookmarks="true", sendInitialEvents="true", timeoutSeconds="1"))
    assert [event["type"] for event in got] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    assert got[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert got[2]["object"]["metadata"]["resourceVersion"] == str(api.store.version)


def test_watches_end_when_the_server_stops(api: ApiServer, cluster: MemoryCluster) -> None:
    stream = events(api)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (list(stream), done.set()))
    thread.start()
    api.end_watches()
    assert done.wait(5)
    thread.join(5)
    assert list(events(api)) == []
    api.allow_watches()
    cluster.create(config_map("a"))
    assert seen(next(events(api))) == ("ADDED", "a")


@pytest.mark.parametrize("query", [{"resourceVersion": "x"}, {"labelSelector": "=x"}, {"timeoutSeconds": "soon"}])
def test_a_watch_that_cannot_start_is_refused(api: ApiServer, query: dict[str, str]) -> None:
    assert ask(api, MAPS, watch="true", **query).status == 400


def test_pages_show_one_moment(api: ApiServer, cluster: MemoryCluster) -> None:
    for number in range(5):
        cluster.create(config_map(f"c{number}"))
    first = ask(api, MAPS, limit="2").body
    assert [body["metadata"]["name"] for body in first["items"]] == ["c0", "c1"]
    assert first["metadata"]["remainingItemCount"] == 3
    cluster.delete("ConfigMap", "shop", "c3")
    cluster.create(config_map("c9"))
    token = first["metadata"]["continue"]
    second = ask(api, MAPS, limit="2", **{"continue": token}).body
    assert [body["metadata"]["name"] for body in second["items"]] == ["c2", "c3"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert ask(api, MAPS, limit="2", **{"continue": token}).body == second, "a page can be asked for again"
    third = ask(api, MAPS, limit="2", **{"continue": second["metadata"]["continue"]}).body
    assert [body["metadata"]["name"] for body in third["items"]] == ["c4"]
    assert "continue" not in third["metadata"]


def test_tokens_of_long_ago_are_expired_and_wrong_ones_refused(api: ApiServer, cluster: MemoryCluster) -> None:
    cluster.load([config_map("a"), config_map("b")])
    token = ask(api, MAPS, limit="1").body["metadata"]["continue"]
    for _ in range(64):
        ask(api, MAPS, limit="1")
    assert ask(api, MAPS, **{"continue": token}).status == 410
    assert ask(api, MAPS, **{"continue": "nonsense"}).status == 400


def test_the_change_feed_tells_controllers_in_order(api: ApiServer, cluster: MemoryCluster) -> None:
    cluster.create(pod("before"))
    changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
    called: list[str] = []
    stop = api.store.watch(["Pod"], changes)
    stop_call = api.store.watch(["ConfigMap"], lambda change: called.append(change.type), replay=False)
    cluster.create(pod("after"))
    cluster.create(config_map("a"))
    cluster.delete("Pod", "shop", "before")
    stop()
    stop_call()
    cluster.create(pod("unseen"))
    cluster.create(config_map("b"))
    told = [(one.type, one.body["metadata"]["name"]) for one in (changes.get_nowait() for _ in range(changes.qsize()))]
    assert told == [("ADDED", "before"), ("ADDED", "after"), ("DELETED", "before")]
    assert called == ["ADDED"]


def test_lists_of_all_namespaces_and_of_one_kind_in_fields(cluster: MemoryCluster) -> None:
    cluster.load([pod("p"), {**pod("q"), "metadata": {"name": "q", "namespace": "other"}}])
    assert [body["metadata"]["name"] for body in cluster.list("Pod", "")] == ["q", "p"]
    assert [body["metadata"]["name"] for body in cluster.list("Pod", "", field_selector="status.phase=Running")] == []
    with pytest.raises(UsageError, match="field label not supported"):
        cluster.list("Pod", "", field_selector="spec.hosts=x")
