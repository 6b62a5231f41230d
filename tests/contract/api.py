"""Bare requests to a Kubernetes API, and what a server under test must offer: a namespace and callers with rights.

The suite ``test_api_*.py`` says what we rely on. It runs on the sandbox's API here, and on a real kube-apiserver in
``tests/e2e/contract``: the same functions, another fixture ``api``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from gitlab_mesh.core.kinds import find_kind

__all__ = ["APPLY", "JSON_PATCH", "MERGE_PATCH", "STRATEGIC", "Answer", "Api", "Caller", "Object", "Operation"]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

Object = dict[str, Any]
Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``body`` is text where it is no JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def refusal(self) -> tuple[int, str]:
        """HTTP status and reason of a Status object."""
        assert self.body["kind"] == "Status", self.body
        assert (self.body["status"], self.body["code"]) == ("Failure", self.status)
        return self.status, self.body.get("reason", "")

    @property
    def message(self) -> str:
        """Text of a Status object."""
        return str(self.body["message"])

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and reason of each cause of a validation error, without repetitions."""
        return list(dict.fromkeys((cause["field"], cause["reason"]) for cause in self.body["details"]["causes"]))


class Caller:
    """One user of one API server.

    Args:
        url: Of the server.
        token: Bearer token; empty: anonymous.
        authority: File with the certificate to trust, or None for plain HTTP.
        namespace: In which namespaced objects are, unless they say otherwise.
        name: Of the user, as the server knows it.
    """

    def __init__(self, url: str, token: str, authority: str | None, namespace: str, name: str = "") -> None:
        self.url = url
        self.token = token
        self.namespace = namespace
        self.name = name
        self._session = requests.Session()
        self._session.trust_env = False
        self._verify: str | bool = authority or True
        headers = {"Accept": "application/json", "User-Agent": "contract-test/1"}
        self._session.headers.update({**headers, **({"Authorization": f"Bearer {token}"} if token else {})})

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def forget_token(self) -> None:
        """Send from now on a token that nobody has."""
        self._session.headers["Authorization"] = "Bearer of-nobody"

    def path(self, kind: str, name: str = "", subresource: str = "", *, namespace: str | None = None) -> str:
        """Return the path of an object or a list; namespace "" is the list over all of them."""
        return find_kind(kind).path(self.namespace if namespace is None else namespace, name, subresource)

    def send(
        self, method: str, path: str, body: Any = None, *, media: str = "application/json", raw: bytes | None = None,
        **query: str,
    ) -> Answer:  # fmt: skip
        """Send one request; ``continue_`` and the like give up their underscore."""
        content = raw if raw is not None or body is None else json.dumps(body).encode()
        answer = self._session.request(
            method,
            self.url + path,
            params={key.rstrip("_"): value for key, value in query.items()},
            data=content,
            headers={} if content is None else {"Content-Type": media},
            verify=self._verify,
            timeout=30,
        )
        try:
            found = answer.json()
        except ValueError:
            found = answer.text
        return Answer(answer.status_code, found, answer.headers)

    def get(self, kind: str, name: str, subresource: str = "", **query: str) -> Answer:
        """Read one object."""
        return self.send("GET", self.path(kind, name, subresource), **query)

    def list(self, kind: str, **query: str) -> Answer:
        """Read the objects of the namespace."""
        return self.send("GET", self.path(kind), **query)

    def create(self, body: Object, **query: str) -> Answer:
        """Create an object in the namespace."""
        return self.send("POST", self.path(body["kind"]), body, **query)

    def update(self, body: Object, subresource: str = "", **query: str) -> Answer:
        """Replace an object."""
        return self.send("PUT", self.path(body["kind"], body["metadata"]["name"], subresource), body, **query)

    def patch(
        self, kind: str, name: str, body: Any, *, media: str = JSON_PATCH, subresource: str = "", **query: str
    ) -> Answer:
        """Patch an object: a JSON Patch, unless ``media`` says otherwise."""
        return self.send("PATCH", self.path(kind, name, subresource), body, media=media, **query)

    def delete(self, kind: str, name: str, options: Object | None = None, **query: str) -> Answer:
        """Delete an object."""
        return self.send("DELETE", self.path(kind, name), options, **query)

    def may(self, verb: str, resource: str, *, group: str = "", name: str = "", namespace: str | None = None) -> bool:
        """Ask by SelfSubjectAccessReview; ``resource`` with its subresource ("pods/proxy")."""
        plural, _, subresource = resource.partition("/")
        asked = {
            "verb": verb, "group": group, "resource": plural, "subresource": subresource, "name": name,
            "namespace": self.namespace if namespace is None else namespace,
        }  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.send("POST", self.path("SelfSubjectAccessReview"), review)
        assert answer.status == 201, answer.body
        return bool(answer.body["status"]["allowed"])

    @contextmanager
    def watch(self, kind: str, **query: str) -> Iterator[Iterator[Object]]:
        """Open a watch of the namespace; its events are read one by one."""
        answer = self._session.get(
            self.url + self.path(kind),
            params={"watch": "true", "timeoutSeconds": "30", **query},
            verify=self._verify,
            timeout=30,
            stream=True,
        )
        with answer:
            yield (json.loads(line) for line in answer.iter_lines(chunk_size=1) if line)


class Api(Protocol):
    """A server under test."""

    namespace: str
    """Empty, and of this test alone."""
    admin: Caller
    is_real: bool
    """A kube-apiserver, as opposed to the sandbox's."""

    def caller(self, rules: list[Object], name: str = "deployer") -> Caller:
        """Return a service account of the namespace that has these rules of a Role, in force already."""
        ...

    def anonymous(self) -> Caller:
        """Return a caller without a token."""
        ...

    def old_version(self) -> str:
        """Return a resourceVersion from which no watch of ConfigMaps can start any more."""
        ...
