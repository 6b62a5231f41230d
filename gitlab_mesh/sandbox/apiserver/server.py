"""The API server without HTTP: one request in, one answer out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.access import Attributes, User, allows, check_access, review_access, review_rules
from gitlab_mesh.sandbox.apiserver.deletion import Deleter, parse_delete_options
from gitlab_mesh.sandbox.apiserver.discovery import answer_discovery
from gitlab_mesh.sandbox.apiserver.messages import Request, Response, status_response
from gitlab_mesh.sandbox.apiserver.openapi_v2 import CONTENT_TYPE, render_openapi_v2
from gitlab_mesh.sandbox.apiserver.options import WriteOptions, read_body, read_write_options
from gitlab_mesh.sandbox.apiserver.patches import APPLY
from gitlab_mesh.sandbox.apiserver.pods import PodLogs, PodProxyCall, answer_log, answer_proxy
from gitlab_mesh.sandbox.apiserver.reads import Lister, as_list, watch_changes
from gitlab_mesh.sandbox.apiserver.resources import RESOURCES, Resource, resource_of_kind
from gitlab_mesh.sandbox.apiserver.scale import patch_scale, read_scale, update_scale
from gitlab_mesh.sandbox.apiserver.selectors import parse_selectors
from gitlab_mesh.sandbox.apiserver.status import (
    StatusError,
    method_not_allowed,
    missing,
    no_route,
    unauthorized,
)
from gitlab_mesh.sandbox.apiserver.store import ObjectStore
from gitlab_mesh.sandbox.apiserver.tables import as_table, wants_table
from gitlab_mesh.sandbox.apiserver.targets import Target, parse_target, to_served
from gitlab_mesh.sandbox.apiserver.writes import Writer

__all__ = ["ApiServer"]

_HEALTH = ("/healthz", "/livez", "/readyz")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_BUILTIN_GROUPS = {resource.group for resource in RESOURCES if not resource.custom}
_ANONYMOUS = User("system:anonymous", "", (), ("system:unauthenticated",))


class ApiServer:
    """Answers requests from a store.

    Args:
        users: Who may come; with the token of nobody the answer is 401, without any the user is anonymous.
        store: Kept over restarts of the transport.

    Attributes:
        store: The objects.
        pod_proxy: Answers ``pods/proxy``; set by what runs the pods.
        pod_logs: Answers ``pods/log``; set by what runs the pods.
    """

    def __init__(self, users: Iterable[User], store: ObjectStore | None = None) -> None:
        self.store = store or ObjectStore()
        self.pod_proxy: PodProxyCall | None = None
        self.pod_logs: PodLogs | None = None
        self._users = {user.token: user for user in users}
        self._deleter = Deleter(self.store)
        self._writer = Writer(self.store, self._deleter)
        self._lister = Lister(self.store)
        self._watches_end = threading.Event()
        self._create_first_namespaces()

    def add_user(self, user: User) -> None:
        """Let one more user in; a user with the same token is replaced."""
        self._users[user.token] = user

    def set_pod_grace(self, has_something_to_stop: Callable[[Mapping[str, Any]], bool] | None) -> None:
        """Give pods for which the function is true their grace period: see ``Deleter.pod_grace``."""
        self._deleter.pod_grace = has_something_to_stop

    def end_watches(self) -> None:
        """Let all running watches end now; new ones end at once until ``allow_watches``."""
        self._watches_end.set()
        with self.store.changed:
            self.store.changed.notify_all()

    def allow_watches(self) -> None:
        """Take watches again after ``end_watches``."""
        self._watches_end.clear()

    def handle(self, request: Request) -> Response:
        """Answer one request; a refusal is an answer, never an exception."""
        try:
            return self._handle(request)
        except StatusError as error:
            return status_response(error)

    def _handle(self, request: Request) -> Response:
        path = request.path.rstrip("/") or "/"
        if path.startswith(_HEALTH):
            return Response(raw=b"ok", headers={"Content-Type": "text/plain; charset=utf-8"})
        user = self._authenticate(request)
        target = parse_target(request.path)
        if target is None:
            return self._discover(path)
        if target.resource.review:
            return self._review(target, user, request)
        verb = self._verb(target, request)
        resource = target.resource.plural + (f"/{target.subresource}" if target.subresource else "")
        asked = Attributes(verb, target.group, resource, target.namespace, target.name)
        self._authorize(user, target, asked, request)
        if target.subresource == "proxy":
            return answer_proxy(self.store, self.pod_proxy, target, request)
        if target.subresource == "log":
            return answer_log(self.store, self.pod_logs, target, request)
        if verb == "watch":
            return self._watch(target, request)
        response = self._perform(verb, target, request)
        accept = request.headers.get("accept", "")
        if verb in ("get", "list") and target.subresource != "scale" and wants_table(accept):
            response.body = as_table(target.resource, response.body, accept, self.store.now())
        return response

    def _authenticate(self, request: Request) -> User:
        given = request.headers.get("authorization", "")
        if not given:
            return _ANONYMOUS
        scheme, _, token = given.partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def _authorize(self, user: User, target: Target, asked: Attributes, request: Request) -> None:
        if asked.verb in ("list", "watch") and not asked.name:
            # a rule with resourceNames lets its holder list and watch by that name
            wanted = request.query.get("fieldSelector", "").partition("metadata.name=")[2].partition(",")[0].lstrip("=")
            if wanted and allows(user, Attributes(asked.verb, asked.group, asked.resource, asked.namespace, wanted)):
                return
        check_access(user, target.resource, asked)
        live = self.store.get(target.resource, target.namespace, target.name)
        if asked.verb == "patch" and live is None and request.content_type == APPLY:
            check_access(user, target.resource, Attributes("create", *_but_verb(asked)))

    def _discover(self, path: str) -> Response:
        parts = path.strip("/").split("/")
        if parts[0] == "apis" and len(parts) > 3 and (parts[1] not in _BUILTIN_GROUPS):
            # no such custom resource: the last handler answers, which does not know the API's Status
            return Response(404, raw=b"404 page not found\n", headers={"Content-Type": "text/plain; charset=utf-8"})
        if path == "/openapi/v2":
            return Response(raw=render_openapi_v2(), headers={"Content-Type": CONTENT_TYPE})
        answer = answer_discovery(path)
        if answer is None:
            raise no_route()
        return Response(200, answer)

    def _review(self, target: Target, user: User, request: Request) -> Response:
        if request.method != "POST":
            raise method_not_allowed()
        answer = review_access if target.resource.kind == "SelfSubjectAccessReview" else review_rules
        return Response(201, answer(user, read_body(request)))

    def _verb(self, target: Target, request: Request) -> str:
        if request.method in ("GET", "HEAD"):
            if request.query.get("watch", "").lower() in ("true", "1"):
                return "watch"
            return "get" if target.name else "list"
        if target.subresource == "proxy":
            return {"POST": "create", "DELETE": "delete"}.get(request.method) or _VERBS[request.method]
        if request.method == "DELETE" and not target.subresource:
            return "delete" if target.name else "deletecollection"
        if request.method not in _VERBS or (request.method == "POST") is bool(target.name):
            raise method_not_allowed()
        if request.method == "POST" and target.resource.namespaced and not target.namespace:
            raise method_not_allowed()
        return _VERBS[request.method]

    def _watch(self, target: Target, request: Request) -> Response:
        events = watch_changes(self.store, target, request.query, self._watches_end.is_set)
        accept = request.headers.get("accept", "")
        if wants_table(accept):
            return Response(stream=self._as_tables(target.resource, events, accept))
        return Response(stream=events)

    def _as_tables(
        self, resource: Resource, events: Iterator[dict[str, Any] | None], accept: str
    ) -> Iterator[dict[str, Any] | None]:
        for event in events:
            if event and event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                event = {**event, "object": as_table(resource, event["object"], accept, self.store.now())}
            yield event

    def _perform(self, verb: str, target: Target, request: Request) -> Response:
        if verb == "list":
            return Response(200, self._lister.answer(target, request.query))
        if verb == "get":
            if target.subresource == "scale":
                return Response(200, read_scale(self.store, target))
            live = self.store.get(target.resource, target.namespace, target.name)
            if live is None:
                raise missing(target.resource, target.name)
            return Response(200, to_served(live, target.api_version))
        if verb in ("delete", "deletecollection"):
            return Response(200, self._delete(verb, target, request))
        return self._write(verb, target, request)

    def _write(self, verb: str, target: Target, request: Request) -> Response:
        options = read_write_options(request)
        body = read_body(request)
        if target.subresource == "scale":
            if verb == "patch":
                return Response(200, patch_scale(self._writer, target, request.content_type, body, options))
            return Response(200, update_scale(self._writer, target, body, options))
        with self.store.changed:
            is_new = self.store.get(target.resource, target.namespace, target.name) is None
            if verb == "create":
                written = self._writer.create(target, body, options)
            elif verb == "update":
                written = self._writer.update(target, body, options)
            else:
                written = self._writer.patch(target, request.content_type, body, options)
        warnings = ", ".join(f"299 - {json.dumps(text)}" for text in options.warnings or ())
        headers = {"Warning": warnings} if warnings else {}
        return Response(201 if is_new else 200, to_served(written, target.api_version), headers=headers)

    def _delete(self, verb: str, target: Target, request: Request) -> Any:
        options = parse_delete_options(read_body(request) if request.body else None, request.query)
        resource = target.resource
        if verb == "deletecollection":
            matches = parse_selectors(resource, request.query)
            with self.store.changed:
                found = [body for body in self.store.list_objects(resource, target.namespace)[0] if matches(body)]
                for body in found:
                    self._deleter.delete(
                        resource, body["metadata"].get("namespace", ""), body["metadata"]["name"], options
                    )
            return as_list(target, found, {"resourceVersion": str(self.store.version)})
        last, is_gone = self._deleter.delete(resource, target.namespace, target.name, options)
        if not is_gone or resource.returns_deleted:
            return to_served(last, target.api_version)
        details = {"name": target.name, "kind": resource.plural, "uid": last["metadata"]["uid"]}
        if target.group:
            details["group"] = target.group
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _create_first_namespaces(self) -> None:
        namespaces = resource_of_kind("Namespace")
        for name in ("default", "kube-system"):
            if self.store.get(namespaces, "", name) is None:
                target = Target(namespaces, "v1")
                self._writer.create(target, {"metadata": {"name": name}}, WriteOptions("kube-apiserver"))


def _but_verb(asked: Attributes) -> tuple[str, str, str, str]:
    return (asked.group, asked.resource, asked.namespace, asked.name)
