"""Subresources that reach into a running pod: ``proxy`` and ``log``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.messages import Request, Response
from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.status import bad_request, method_not_allowed, missing, service_unavailable
from gitlab_mesh.sandbox.apiserver.store import ObjectStore
from gitlab_mesh.sandbox.apiserver.targets import Target

__all__ = ["PodLogs", "PodProxyCall", "answer_log", "answer_proxy"]

PodProxyCall = Callable[[str, str, int, str], tuple[int, Mapping[str, str], bytes]]
"""``(namespace, pod, port, path with query) -> (status, headers, body)``; OSError: the pod does not answer."""

PodLogs = Callable[[str, str, str], bytes]
"""``(namespace, pod, container) -> text``; the container is "" if the client named none."""


def answer_proxy(store: ObjectStore, call: PodProxyCall | None, target: Target, request: Request) -> Response:
    """Hand a request to a pod.

    Raises:
        StatusError: 404 no such pod, 400 if it has no address yet, 405 for anything but GET, 503 if it does not answer.
    """
    name, port = _split_name(target.name)
    pod = _pod(store, target.namespace, name)
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed()
    if port is None:
        port = _first_port(pod)
    if not (pod.get("status") or {}).get("podIP"):
        raise bad_request("address not allowed")
    if call is None:
        raise service_unavailable(f'no endpoints available for pod "{name}": nothing runs pods here')
    path = f"{target.rest}?{request.raw_query}" if request.raw_query else target.rest
    try:
        status, headers, body = call(target.namespace, name, port, path)
    except OSError as error:
        text = f"error trying to reach service: dial tcp {name}:{port}: {error}"
        raise service_unavailable(text) from error
    return Response(status, raw=body, headers=dict(headers))


def answer_log(store: ObjectStore, logs: PodLogs | None, target: Target, request: Request) -> Response:
    """Return the log of a pod, its last ``tailLines`` if asked. Raises StatusError 404, 400."""
    _pod(store, target.namespace, target.name)
    if logs is None:
        raise bad_request(f'container of pod "{target.name}" has no log: nothing runs pods here')
    text = logs(target.namespace, target.name, request.query.get("container", ""))
    if request.query.get("tailLines"):
        text = b"".join(text.splitlines(keepends=True)[-int(request.query["tailLines"]) :])
    return Response(raw=text, headers={"Content-Type": "text/plain"})


def _pod(store: ObjectStore, namespace: str, name: str) -> dict[str, Any]:
    resource = resource_of_kind("Pod")
    pod = store.get(resource, namespace, name)
    if pod is None:
        raise missing(resource, name)
    return pod


def _split_name(name: str) -> tuple[str, int | None]:
    """Split ``[scheme:]name[:port]``, the form of a proxied name. Raises StatusError 400."""
    parts = name.split(":")
    if len(parts) == 3:
        parts = parts[1:]
    if len(parts) == 1 or not parts[1]:
        return parts[0], None
    if not parts[1].isdigit():
        raise bad_request(f'invalid pod request "{name}": the port is a number here')
    return parts[0], int(parts[1])


def _first_port(pod: Mapping[str, Any]) -> int:
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            return int(port["containerPort"])
    return 80
