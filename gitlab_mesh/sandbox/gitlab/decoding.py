"""Decode an HTTP request: path, query, and JSON, form or multipart bodies."""

from __future__ import annotations

import email.parser
import email.policy
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from gitlab_mesh.sandbox.gitlab.messages import ApiError, Request

__all__ = ["decode_request"]


def decode_request(method: str, target: str, headers: Mapping[str, str], body: bytes, *, root: str) -> Request:
    """Decode one request for a path below ``root`` + ``/api/v4``.

    Raises:
        ApiError: The body is not what its content type says (400).
    """
    path, _, query_text = target.partition("?")
    lowered = {name.lower(): value for name, value in headers.items()}
    query = _pairs(query_text)
    fields, files = _body(lowered.get("content-type", ""), body)
    segments = tuple(unquote(part) for part in path.removeprefix(f"{root}/api/v4").strip("/").split("/"))
    return Request(method.upper(), path, segments, lowered, query, {**query, **fields}, files)


def _pairs(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name.endswith("[]"):
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values


def _body(content_type: str, body: bytes) -> tuple[dict[str, Any], dict[str, tuple[str, bytes]]]:
    if not body:
        return {}, {}
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            decoded = json.loads(body)
        except ValueError as error:
            raise ApiError(400, "The request body could not be parsed as JSON.", key="error") from error
        return (decoded if isinstance(decoded, dict) else {}), {}
    if kind == "multipart/form-data":
        return _multipart(content_type, body)
    if kind == "application/x-www-form-urlencoded":
        return _pairs(body.decode("utf-8", "replace")), {}
    raise ApiError(406, f"The provided content-type '{kind}' is not supported.", key="error")


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], dict[str, tuple[str, bytes]]]:
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
    )
    fields: dict[str, Any] = {}
    files: dict[str, tuple[str, bytes]] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", "", header="content-disposition"))
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        file_name = part.get_filename()
        if file_name is not None:
            files[name] = (file_name, data)
        else:
            fields[name] = data.decode("utf-8", "replace")
    return fields, files
