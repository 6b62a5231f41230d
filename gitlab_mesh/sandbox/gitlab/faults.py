"""Faults on purpose: what a busy, broken or unreachable GitLab answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gitlab_mesh.sandbox.gitlab.messages import Answer

__all__ = ["Fault"]


@dataclass(slots=True)
class Fault:
    """A fault for the next matching requests.

    Attributes:
        status: Status to answer with; 0 leaves the real answer as it is (for delays and drops).
        method: Only this method; empty for all.
        path: Regular expression searched in the request's path.
        times: How many requests it hits; -1 for all.
        after: The request is carried out first, and its answer lost: what makes repeating a POST dangerous.
        body: Answer's body; GitLab's JSON form by default.
        headers: More headers, such as ``Retry-After``.
    """

    status: int = 0
    method: str = ""
    path: str = ""
    times: int = 1
    after: bool = False
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    drop: bool = False

    def take(self, method: str, path: str) -> bool:
        """Return True, once less, if this request is hit."""
        if self.times == 0 or (self.method and self.method != method) or not re.search(self.path, path):
            return False
        self.times -= self.times > 0
        return True

    def apply(self, real: Answer | None) -> Answer:
        """Return what the client gets instead of ``real`` (None where the request was not carried out)."""
        headers: dict[str, str] = {"Content-Type": "application/json", **self.headers}
        if self.status:
            body = json.dumps({"message": f"{self.status} fault"}).encode() if self.body is None else self.body
            shown = Answer(self.status, body, headers)
        else:
            shown = real or Answer(500, b"{}", headers)
        return Answer(shown.status, shown.body, shown.headers, self.delay_seconds, self.drip_seconds, self.drop)
