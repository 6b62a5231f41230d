"""Background traffic: a process that somebody else chose the command line of, and what it says about itself.

The process prints JSON lines with ``event`` ("progress" or "final"), ``requests``, ``failed``, ``errors`` (class →
count; ``http_5xx`` is an answer of the application), ``answers`` (value of the header ``x-version`` → requests and
errors) and ``latency_seconds``.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_mesh.errors import TransientError
from gitlab_mesh.sandbox.processes import Child, Processes

__all__ = ["Traffic", "TrafficFacts"]

_END_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class TrafficFacts:
    """What the users saw so far.

    Attributes:
        requests: Requests that ended.
        failed_by_application: Of them, answered with a 5xx by the application.
        failed_by_mesh: Of them, failed in any other way: proxy's 5xx, reset, refused, timed out. An application
            that dies with requests in work shows here, too: to its users it is no answer.
        by_version: Value of ``x-version`` → (requests, errors).
        latency_seconds: "p50", "p99", … → seconds.
        raw: The whole line.
    """

    requests: int = 0
    failed_by_application: int = 0
    failed_by_mesh: int = 0
    by_version: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


def _facts(line: Mapping[str, Any]) -> TrafficFacts:
    application = int(line["errors"].get("http_5xx", 0))
    return TrafficFacts(
        requests=line["requests"],
        failed_by_application=application,
        failed_by_mesh=line["failed"] - application,
        by_version={name: (one["requests"], one["errors"]) for name, one in line["answers"].items()},
        latency_seconds=line["latency_seconds"],
        raw=line,
    )


class Traffic:
    """Runs the process and follows its lines.

    Args:
        processes: Owner of the process.
        command: Program and arguments.
    """

    def __init__(self, processes: Processes, command: Sequence[str]) -> None:
        self._changed = threading.Condition()
        self._facts = TrafficFacts()
        self._ended = False
        self._child: Child = processes.start("traffic", command, pipe=True)
        self._thread = threading.Thread(target=self._follow, name="traffic", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> TrafficFacts:
        """What the last line said."""
        return self._facts

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child.returncode is None

    def wait_for(self, requests: int, timeout: float) -> TrafficFacts:
        """Wait until that many requests have ended.

        Raises:
            TransientError: The process ended before, or it took longer than ``timeout`` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._facts.requests >= requests, timeout)
        if self._facts.requests < requests:
            raise TransientError(
                f"the background traffic has {self._facts.requests} requests, not {requests}, after {timeout:g} s",
                why=self._child.tail() or "its log is empty",
            )
        return self._facts

    def stop(self) -> TrafficFacts:
        """Let it end in order and return the final facts; a second call only returns them."""
        self._child.signal(signal.SIGTERM)
        if self._child.wait(_END_SECONDS) is None:
            self._child.stop(0.0)
        self._thread.join()
        return self._facts

    def _follow(self) -> None:
        assert self._child.stdout is not None  # noqa: S101 - for the type checker: started with a pipe
        for line in self._child.stdout:
            with self._changed:
                self._facts = _facts(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
