"""What an answer must be like, besides fast: status, header, body, size, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.errors import UsageError

__all__ = ["AnswerChecks", "parse_status"]


@dataclass(frozen=True, slots=True)
class AnswerChecks:
    """Checks on one answer; what is empty or None is not checked.

    Attributes:
        status: Ranges of allowed status codes, both ends included.
        headers: Name → text that the value must contain ("": the header must be there).
        contains: Text that the body must contain (UTF-8).
        json: Path such as ``items.0.id`` → the value there, compared as JSON.
        min_bytes: Least size of the body.
        max_bytes: Largest size of the body.
    """

    status: tuple[tuple[int, int], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    contains: str = ""
    json: Mapping[str, Any] = field(default_factory=dict)
    min_bytes: int | None = None
    max_bytes: int | None = None

    @property
    def read_head(self) -> bool:
        """Whether the header lines are needed."""
        return bool(self.headers)

    @property
    def read_body(self) -> bool:
        """Whether the bytes of the body are needed, not only their number."""
        return bool(self.contains or self.json)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the checks, in the order of ``failed``."""
        names = ["status"] if self.status else []
        names += [f"header {name}" for name in self.headers]
        names += ["body contains"] if self.contains else []
        names += [f"json {path}" for path in self.json]
        return (*names, *(["body size"] if self.min_bytes is not None or self.max_bytes is not None else []))

    def status_fits(self, status: int) -> bool:
        """Whether the status is allowed."""
        return not self.status or any(low <= status <= high for low, high in self.status)

    def failed(self, status: int, head: bytes, body: bytes, size: int) -> list[str]:
        """Return the names of the checks that fail.

        Args:
            status: Of the answer.
            head: Status line and headers, if ``read_head``.
            body: The body, if ``read_body``.
            size: Number of the body's bytes.
        """
        failed = [] if self.status_fits(status) else ["status"]
        if self.headers:
            values = _read_headers(head)
            failed += [
                f"header {name}" for name, text in self.headers.items() if text not in values.get(name.lower(), _NONE)
            ]
        if self.contains and self.contains.encode() not in body:
            failed.append("body contains")
        if self.json:
            failed += self._failed_json(body)
        least, most = self.min_bytes or 0, self.max_bytes
        if size < least or (most is not None and size > most):
            failed.append("body size")
        return failed

    def _failed_json(self, body: bytes) -> list[str]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return [f"json {path}" for path in self.json]
        return [f"json {path}" for path, wanted in self.json.items() if not _equals(_look_up(document, path), wanted)]


class _Absent(str):
    """Contains nothing, not even the empty text."""

    def __contains__(self, key: object) -> bool:
        return False


_NONE = _Absent()
_MISSING = object()


def parse_status(text: str) -> tuple[int, int]:
    """Parse ``200``, ``2xx`` or ``200-399``.

    Raises:
        UsageError: It is none of these.
    """
    word = text.strip().lower()
    low, sign, high = word.partition("-")
    if len(word) == 3 and word.endswith("xx") and word[0] in "12345":
        return int(word[0]) * 100, int(word[0]) * 100 + 99
    if low.isdigit() and (high.isdigit() or not sign):
        first, last = int(low), int(high or low)
        if 100 <= first <= last <= 599:
            return first, last
    raise UsageError(f"{text!r} is no status", hint="write 200, 2xx or 200-399")


def _read_headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _look_up(document: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return _MISSING
    return document


def _equals(found: Any, wanted: Any) -> bool:
    if found is _MISSING:
        return False
    if isinstance(wanted, str) and not isinstance(found, str):  # mesh.yaml gives texts: "3" means the number 3 too
        return json.dumps(found) == wanted
    return bool(found == wanted)
