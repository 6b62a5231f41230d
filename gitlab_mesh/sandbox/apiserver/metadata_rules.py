"""What a server holds of the metadata of any object: names, labels, annotations, finalizers, and their sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gitlab_mesh.sandbox.apiserver.resources import Resource

__all__ = ["LABEL", "LABEL_TEXT", "finalizer_problems", "metadata_problems"]

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SERVICE_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_QUALIFIED_NAME = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_ANNOTATIONS_BYTES = 256 * 1024
_LABEL_BYTES = 63

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_SERVICE_NAME_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAMES = {
    "Namespace": (LABEL, 63, LABEL_TEXT),
    "Service": (_SERVICE_NAME, 63, _SERVICE_NAME_TEXT),
}
"""Kinds whose names are no RFC 1123 subdomain of at most 253 characters."""
_STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}


def metadata_problems(resource: Resource, metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield field and text of what is wrong with names, labels and annotations."""
    name = metadata.get("name", "")
    pattern, length, text = _NAMES.get(resource.kind, (_SUBDOMAIN, 253, _SUBDOMAIN_TEXT))
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    elif len(name) > length:
        yield "metadata.name", f'Invalid value: "{name}": must be no more than {length} characters'
    elif not pattern.match(name):
        yield "metadata.name", f'Invalid value: "{name}": {text}'
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for field, keys in (("labels", labels), ("annotations", annotations)):
        for key in keys:
            if not _QUALIFIED_NAME.match(key):
                yield f"metadata.{field}", f'Invalid value: "{key}": {_QUALIFIED_NAME_TEXT}'
            elif len(key.rpartition("/")[2]) > _LABEL_BYTES:
                yield f"metadata.{field}", f'Invalid value: "{key}": name part must be no more than 63 bytes'
    for value in labels.values():
        if len(value) > _LABEL_BYTES:
            yield "metadata.labels", f'Invalid value: "{value}": must be no more than {_LABEL_BYTES} bytes'
        elif not _LABEL_VALUE.match(value):
            yield "metadata.labels", f'Invalid value: "{value}": {_LABEL_VALUE_TEXT}'
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_BYTES:
        yield "metadata.annotations", f"Too long: may not be more than {_ANNOTATIONS_BYTES} bytes"


def finalizer_problems(body: Mapping[str, Any], live: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with finalizers; none may be added to an object that is being deleted."""
    finalizers = body["metadata"].get("finalizers") or []
    for index, one in enumerate(finalizers):
        if not _QUALIFIED_NAME.match(one):
            yield "metadata.finalizers", f'Invalid value: "{one}": {_QUALIFIED_NAME_TEXT}'
        if "/" not in one and one not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield f"metadata.finalizers[{index}]", f'Invalid value: "{one}": {text}'
    if live is not None and "deletionTimestamp" in live["metadata"]:
        fresh = [one for one in finalizers if one not in (live["metadata"].get("finalizers") or ())]
        if fresh:
            listed = ", ".join(f'"{one}"' for one in fresh)
            text = (
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{listed}}}"
            )
            yield "metadata.finalizers", text
