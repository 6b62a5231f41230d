"""Checks on answers."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.load.checks import AnswerChecks, parse_status
from gitlab_mesh.errors import UsageError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nX-Empty:"
BODY = '{"items": [{"id": 7, "ok": true, "name": "ä"}], "none": null}'.encode()


@pytest.mark.parametrize(
    ("checks", "failed"),
    [
        (AnswerChecks(), []),
        (AnswerChecks(status=((200, 299),)), []),
        (AnswerChecks(status=((301, 301), (200, 200))), []),
        (AnswerChecks(status=((204, 204),)), ["status"]),
        (AnswerChecks(headers={"content-type": "json"}), []),
        (AnswerChecks(headers={"x-empty": ""}), []),
        (AnswerChecks(headers={"x-missing": ""}), ["header x-missing"]),
        (AnswerChecks(headers={"content-type": "xml"}), ["header content-type"]),
        (AnswerChecks(contains="ä"), []),
        (AnswerChecks(contains="ö"), ["body contains"]),
        (AnswerChecks(json={"items.0.id": "7", "items.0.ok": "true", "items.0.name": "ä", "none": "null"}), []),
        (AnswerChecks(json={"items.1.id": "7"}), ["json items.1.id"]),
        (AnswerChecks(json={"items.0.id": "8"}), ["json items.0.id"]),
        (AnswerChecks(min_bytes=10, max_bytes=100), []),
        (AnswerChecks(min_bytes=100), ["body size"]),
        (AnswerChecks(max_bytes=10), ["body size"]),
    ],
)
def test_each_check(checks: AnswerChecks, failed: list[str]) -> None:
    assert checks.failed(200, HEAD, BODY, len(BODY)) == failed
    assert set(failed) <= set(checks.names)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_fails_and_does_not_raise(body: bytes) -> None:
    checks = AnswerChecks(json={"a": "1", "b": "2"})
    assert checks.failed(200, HEAD, body, len(body)) == ["json a", "json b"]


@pytest.mark.parametrize(("text", "found"), [("200", (200, 200)), ("2xx", (200, 299)), (" 200-399 ", (200, 399))])
def test_status_ranges(text: str, found: tuple[int, int]) -> None:
    assert parse_status(text) == found


@pytest.mark.parametrize("text", ["", "6xx", "99", "700", "400-200", "ok", "2x", "200-", "-200"])
def test_what_is_no_status_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no status"):
        parse_status(text)
