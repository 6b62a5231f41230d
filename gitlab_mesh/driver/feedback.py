"""The merge-request note, off the path of the rollout (S10): a slow GitLab never delays a look or a rollback."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gitlab_mesh.core.report.model import Report

__all__ = ["Feedback"]

MIN_SECONDS_BETWEEN = 10.0
"""At most one edit of the note in this time while a run is live."""


class Feedback:
    """Posts the newest report in a thread of its own; older ones that were never sent are forgotten.

    Args:
        post: Renders and sends a report; returns "" or why it could not be done; must not raise.
        say: Told what could not be done, once for each different reason.
        monotonic: For the limit.
    """

    def __init__(
        self, post: Callable[[Report], str], say: Callable[[str], None], monotonic: Callable[[], float]
    ) -> None:
        self._post = post
        self._say = say
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: Report | None = None
        self._thread: threading.Thread | None = None
        self._last: float | None = None
        self._said: set[str] = set()
        self._problem = ""

    @property
    def due(self) -> bool:
        """Whether a live edit may be made now; ask before rendering."""
        return self._last is None or self._monotonic() - self._last >= MIN_SECONDS_BETWEEN

    def offer(self, report: Report) -> None:
        """Send this report soon."""
        self._last = self._monotonic()
        with self._lock:
            self._waiting = report
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="feedback", daemon=True)
                self._thread.start()

    def finish(self, report: Report, *, seconds: float) -> bool:
        """Send the last report and wait for it, but never longer than ``seconds``; whether it was written."""
        self.offer(report)
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            if thread.is_alive():
                self._complain(f"the merge request's note was not updated within {seconds:.0f} s")
                return False
        return not self._problem

    def _work(self) -> None:
        while True:
            with self._lock:
                report, self._waiting = self._waiting, None
                if report is None:
                    self._thread = None
                    return
            self._problem = self._post(report)
            if self._problem:
                self._complain(self._problem)

    def _complain(self, problem: str) -> None:
        if problem not in self._said:
            self._said.add(problem)
            self._say(problem)
