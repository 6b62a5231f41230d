"""List with selectors and pages, and watch."""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.selectors import Matcher, parse_selectors
from gitlab_mesh.sandbox.apiserver.status import bad_request, expired
from gitlab_mesh.sandbox.apiserver.store import Change, ObjectStore
from gitlab_mesh.sandbox.apiserver.targets import Target, to_served

__all__ = ["Lister", "as_list", "watch_changes"]

_SNAPSHOTS = 64
_IDLE_SECONDS = 0.5
_BOOKMARK_SECONDS = 5.0

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)

Event = dict[str, Any]


class Lister:
    """Answers lists; keeps the snapshots that unfinished pages still need."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, tuple[list[dict[str, Any]], int]] = OrderedDict()
        self._count = 0

    def answer(self, target: Target, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the list object for a target without name.

        All pages show the objects as they were at the first one (``limit``, ``continue``).

        Raises:
            StatusError: 400 for a selector that cannot be read, 410 for a continue token that is too old.
        """
        limit = _number(query, "limit")
        if query.get("continue"):
            items, version, start, token = self._resume(query["continue"])
        else:
            matches = parse_selectors(target.resource, query)
            found, version = self._store.list_objects(target.resource, target.namespace)
            items, start, token = [body for body in found if matches(body)], 0, ""
        end = len(items) if limit <= 0 else min(len(items), start + limit)
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if end < len(items):
            metadata["continue"] = self._keep(token, items, version, end)
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = len(items) - end
        return as_list(target, items[start:end], metadata)

    def _keep(self, token: str, items: list[dict[str, Any]], version: int, start: int) -> str:
        with self._store.changed:
            if not token:
                self._count += 1
                token = str(self._count)
                self._snapshots[token] = (items, version)
                while len(self._snapshots) > _SNAPSHOTS:
                    self._snapshots.popitem(last=False)
        return base64.urlsafe_b64encode(f"{token}:{start}".encode()).decode()

    def _resume(self, given: str) -> tuple[list[dict[str, Any]], int, int, str]:
        try:
            token, _, start = base64.urlsafe_b64decode(given).decode().partition(":")
            offset = int(start)
        except ValueError as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
        with self._store.changed:
            if token not in self._snapshots:
                raise expired(_TOO_OLD)
            items, version = self._snapshots[token]
        return items, version, offset, token


def as_list(target: Target, items: list[dict[str, Any]], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the list object; items of a built-in kind carry neither kind nor apiVersion, as on a real server."""
    served = [to_served(body, target.api_version) for body in items]
    if not target.resource.custom:
        served = [{key: value for key, value in body.items() if key not in ("kind", "apiVersion")} for body in served]
    kind = f"{target.resource.kind}List"
    return {"kind": kind, "apiVersion": target.api_version, "metadata": dict(metadata), "items": served}


def _number(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query.get(name) or 0)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{query[name]}": invalid syntax') from error


def watch_changes(
    store: ObjectStore, target: Target, query: Mapping[str, str], stopped: Callable[[], bool]
) -> Iterator[Event | None]:
    """Yield watch events, and None while there is nothing to tell.

    Without ``resourceVersion`` (or with "0") the existing objects come first, as ADDED. Ends after
    ``timeoutSeconds``, when ``stopped()``, or after an ERROR event (410 where the version is too old).

    Raises:
        StatusError: 400 for a selector or a version that cannot be read, before the first event.
    """
    matches = parse_selectors(target.resource, query)
    if target.name:
        by_name, one = matches, target.name
        matches = lambda body: body["metadata"]["name"] == one and by_name(body)  # noqa: E731
    given = query.get("resourceVersion") or "0"
    if not given.isdigit():
        raise bad_request(f'invalid resource version "{given}"')
    timeout = _number(query, "timeoutSeconds") or 1800
    return _watch(store, target, matches, int(given), timeout, query, stopped)


def _watch(
    store: ObjectStore,
    target: Target,
    matches: Matcher,
    version: int,
    timeout: float,
    query: Mapping[str, str],
    stopped: Callable[[], bool],
) -> Iterator[Event | None]:
    deadline = time.monotonic() + timeout
    bookmarks = query.get("allowWatchBookmarks") == "true"
    initial = query.get("sendInitialEvents") == "true"
    if initial or version == 0:
        existing, version = store.list_objects(target.resource, target.namespace)
        for body in existing:
            if matches(body):
                yield {"type": "ADDED", "object": to_served(body, target.api_version)}
        if initial and bookmarks:
            yield _bookmark(target, version, initial=True)
    bookmark_at = time.monotonic() + _BOOKMARK_SECONDS
    while True:
        with store.changed:
            if store.version <= version and not stopped():
                store.changed.wait(min(_IDLE_SECONDS, max(0.0, deadline - time.monotonic())))
            changes = store.changes_after(version)
            now_at = store.version
        if changes is None:
            error = expired(f"too old resource version: {version} ({now_at})")
            yield {"type": "ERROR", "object": error.body()}
            return
        for change in changes:
            event = _event(change, target, matches)
            if event:
                yield event
        version = max(version, now_at)
        over = stopped() or time.monotonic() >= deadline
        if bookmarks and (over or time.monotonic() >= bookmark_at):
            yield _bookmark(target, version)
            bookmark_at = time.monotonic() + _BOOKMARK_SECONDS
        if over:
            return
        if not changes:
            yield None


def _event(change: Change, target: Target, matches: Matcher) -> Event | None:
    if change.resource is not target.resource:
        return None
    if target.namespace and change.body["metadata"].get("namespace") != target.namespace:
        return None
    is_in = change.type != "DELETED" and matches(change.body)
    was_in = change.previous is not None and matches(change.previous)
    if not (is_in or was_in):
        return None
    sort = "MODIFIED" if is_in and was_in else "ADDED" if is_in else "DELETED"
    return {"type": sort, "object": to_served(change.body, target.api_version)}


def _bookmark(target: Target, version: int, *, initial: bool = False) -> Event:
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = {"kind": target.resource.kind, "apiVersion": target.api_version, "metadata": metadata}
    return {"type": "BOOKMARK", "object": body}
