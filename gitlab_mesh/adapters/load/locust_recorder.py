"""Loaded by Locust beside the user's locustfile: our own counts of what its users measured, joined at the master.

Locust rounds the times that it keeps (147 ms becomes 150, 3,432 ms becomes 3,400; ``StatsEntry._log_response_time``),
so each process counts into our histograms, workers send what is new with their own reports (events
``report_to_master`` and ``worker_report``), and the master writes JSON lines into the pipe whose number it was given.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from gitlab_mesh.adapters.load.locust import PIPE, classify_failure
from gitlab_mesh.core.load.histogram import Histogram
from gitlab_mesh.core.load.result import KindResult, LoadResult
from gitlab_mesh.core.load.slices import Slices

__all__ = ["Recorder"]

_KEY = "gitlab_mesh"
_MAX_KINDS = 100
_NO_TIME = ("connect", "reset", "tls")


class Recorder:
    """What one process of Locust saw; at the master, what all its workers sent."""

    def __init__(self, environment: Any, pipe: int | None) -> None:
        self._environment = environment
        self._pipe = pipe
        self._blind: set[str] = set()
        self._began = time.monotonic()
        self._ended = 0.0
        self.result = LoadResult(0.0)

    def begin(self, **_: Any) -> None:
        """The test starts: moments count from here."""
        self._began = time.monotonic()

    def end(self, **_: Any) -> None:
        """No user starts a request any more."""
        self._ended = self._ended or time.monotonic()

    def count(self, *, name: str, response_time: float, response: Any, exception: Any, **_: Any) -> None:
        """Count one request, by the moment at which it was sent; ``response_time`` in ms."""
        kinds = self.result.kinds
        if name not in kinds and len(kinds) >= _MAX_KINDS:
            name = "(others)"
        kind = kinds.setdefault(name, KindResult(name))
        seconds = response_time / 1e3
        error = classify_failure(response, exception)
        bucket = None if error in _NO_TIME else kind.latency.record(seconds)
        kind.requests += 1
        if error:
            kind.errors[error] = kind.errors.get(error, 0) + 1
        self.result.sent += 1
        self.result.slices.count(time.monotonic() - seconds - self._began, bucket, error=bool(error))

    def send(self, data: dict[str, Any], **_: Any) -> None:
        """A worker reports: what is new since its last report."""
        data[_KEY] = self.result.to_json()
        self.result = LoadResult(0.0)

    def receive(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """The master got a worker's report."""
        if _KEY in data:
            self.result.merge(LoadResult.from_json(data[_KEY]))
        elif data.get("stats"):
            self._blind.add(client_id)

    def tell(self, event: str) -> None:
        """Write how it stands, or the end."""
        if self._pipe is None:
            return
        result, runner = self.result, self._environment.runner
        seconds = (self._ended or time.monotonic()) - self._began
        result.duration_seconds = result.sending_seconds = max(seconds, 1e-9)
        value = {**result.to_json(), "limits": list(self._limits(runner))}
        if event == "progress":  # what a line of the log needs; the whole comes at the end
            for kind in value["kinds"]:
                kind["checks"] = {}
            value |= {"lag": Histogram().to_json(), **Slices().to_json()}
        os.write(self._pipe, (json.dumps({"event": event, **value}) + "\n").encode())

    def _limits(self, runner: Any) -> list[str]:
        limits = [f"Locust's worker {one} sent no histograms: give it this locustfile too" for one in self._blind]
        if getattr(runner, "cpu_warning_emitted", False) or getattr(runner, "worker_cpu_warning_emitted", False):
            limits.append("a process of Locust used more than 90 % of a core: answers waited for it")
        return limits


def _attach(environment: Any, **_: Any) -> None:
    runner = environment.runner
    number = os.environ.get(PIPE, "")
    worker = isinstance(runner, WorkerRunner)
    recorder = Recorder(environment, int(number) if number and not worker else None)
    hooks = environment.events
    hooks.test_start.add_listener(recorder.begin)
    if worker:
        hooks.report_to_master.add_listener(recorder.send)
    if isinstance(runner, MasterRunner):
        hooks.worker_report.add_listener(recorder.receive)
    else:
        hooks.request.add_listener(recorder.count)
    if number and not worker:
        hooks.test_stopping.add_listener(recorder.end)
        hooks.quitting.add_listener(lambda **_: recorder.tell("final"))
        gevent.spawn(_tell_regularly, recorder)


def _tell_regularly(recorder: Recorder) -> None:
    while True:
        gevent.sleep(1.0)
        recorder.tell("progress")


events.init.add_listener(_attach)
