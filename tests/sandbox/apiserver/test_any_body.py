"""Whatever a client sends, the server answers it: never an exception, never half a write."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.kinds import KINDS
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import ADMIN, config_map, deployment, pod, route

EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "shop"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "shop"},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": "shop"},
    "spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "shop"}},
}
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "l", "namespace": "shop"},
    "spec": {"holderIdentity": "x", "leaseDurationSeconds": 5, "leaseTransitions": 1},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "shop"},
    "stringData": {"a": "b"},
}
RULE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "d", "namespace": "shop"},
    "spec": {"host": "shop", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
}
BODIES = [config_map(), deployment(), pod("p", app="x"), route(), EVENT, SERVICE, LEASE, SECRET, RULE]

odd = st.sampled_from([None, True, -1, 2.5, "", "text", [], ["x"], [{}], {}, {"a": {}}, {"a": None}])


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """A valid object in which one to three nodes are something else."""
    body: Any = json.loads(json.dumps(draw(st.sampled_from(BODIES))))
    for _ in range(draw(st.integers(1, 3))):
        node = body
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = draw(st.sampled_from(keys))
            below = node[key]
            if not isinstance(below, dict | list) or not below or draw(st.booleans()):
                node[key] = json.loads(json.dumps(draw(odd)))  # never a shared list
                break
            node = below
    return dict(body)


def send(cluster: MemoryCluster, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return cluster.server.handle(
        Request(
            method,
            path,
            query={"fieldManager": "test", "force": "true"} if "apply" in headers.get("content_type", "") else {},
            headers={
                "authorization": f"Bearer {ADMIN.token}",
                **{key.replace("_", "-"): value for key, value in headers.items()},
            },
            body=b"" if body is None else json.dumps(body).encode(),
        )
    )


@given(broken(), st.sampled_from(BODIES))
def test_a_body_of_any_form_gets_an_answer(body: dict[str, Any], good: dict[str, Any]) -> None:
    cluster = MemoryCluster(namespaces=["shop"], user=ADMIN)
    kind = good["kind"] if not isinstance(body.get("kind"), str) or body["kind"] not in KINDS else body["kind"]
    original = next(one for one in BODIES if one["kind"] == kind)
    path = KINDS[kind].path("shop")
    created = send(cluster, "POST", path, body)
    assert created.status in (201, 400, 422), created.body
    if created.status != 201:
        assert cluster.list(kind, "shop") == []
        cluster.create(original)
    else:
        assert send(cluster, "GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io").status == 200
    name = cluster.list(kind, "shop")[0]["metadata"]["name"]
    for content_type in (
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/json-patch+json",
    ):
        before = cluster.get(kind, "shop", name)
        patch = {key: value for key, value in body.items() if key != "kind"}
        answer = send(cluster, "PATCH", f"{path}/{name}", patch, content_type=content_type)
        assert answer.status in (200, 400, 409, 415, 422), answer.body
        if answer.status != 200:
            assert cluster.get(kind, "shop", name) == before
