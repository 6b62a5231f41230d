"""Sample reports as a canary job builds them, snapshots, and a Chromium to look at pages with."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.core.judge.model import Forecast, Gate, Importance, Judgement, Verdict, VerdictKind
from gitlab_mesh.core.report.model import (
    Band,
    Link,
    LinksSection,
    Mark,
    Outcome,
    Report,
    Series,
    SeriesSection,
    TableSection,
    TextSection,
    Tone,
    VerdictSection,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compare with a checked-in file; UPDATE_SNAPSHOTS=1 writes it anew, to be read in the diff."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / name
        if os.environ.get("UPDATE_SNAPSHOTS") == "1":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def rejected() -> Report:
    """A release with 5 % errors, taken back at 25 %."""
    weights = ((0.0, 0.0), (38.0, 5.0), (98.0, 10.0), (158.0, 25.0), (204.0, 0.0), (252.0, 0.0))
    bands = (Band("deploy", 0, 30), Band("5 %", 38, 98), Band("10 %", 98, 158), Band("25 %", 158, 204))
    marks = (
        Mark(38, "weight 5 %"),
        Mark(98, "weight 10 %"),
        Mark(158, "weight 25 %"),
        Mark(198, "errors: breach", Tone.BAD),
        Mark(204, "weight 0 written", Tone.WARN),
    )
    stable = tuple((t, 0.004 + 0.001 * math.sin(t / 20)) for t in range(40, 252, 5))
    canary = tuple((t, 0.05 + 0.01 * math.sin(t / 7)) for t in range(45, 205, 5))
    slow_stable = tuple((t, 0.120 + 0.01 * math.sin(t / 9)) for t in range(40, 252, 5))
    slow_canary = tuple((t, 0.131 + 0.02 * math.sin(t / 6)) for t in range(45, 205, 5))
    verdicts = (
        Verdict(
            "errors", VerdictKind.BREACH, Importance.CRITICAL, "ratio", 0.00412, 0.0512, 0.0471, 0.039, 0.0553,
            12345, 640, "5.12 % of the canary's requests failed, 0.41 % of stable's; the margin is 0.5 pp",
        ),
        Verdict(
            "latency", VerdictKind.UNDECIDED, Importance.CRITICAL, "seconds", 0.120, 0.131, 0.011, -0.004, 0.021,
            12345, 640, "the difference may be on either side of the margin",
        ),
        Verdict("restarts", VerdictKind.PASS, Importance.NORMAL, "", 0, 0, 0, reason="no container restarted"),
        Verdict("queue_depth", VerdictKind.NO_DATA, Importance.INFORMATIONAL, "jobs", reason="no series"),
    )  # fmt: skip
    closed = Gate(open=False, reason="errors are in breach")
    return Report(
        job="canary",
        service="shop",
        namespace="shop",
        outcome=Outcome.REJECTED,
        headline="shop 1.5.0 was rejected after 3 min 24 s: errors 5.12 % against 0.41 %",
        reason="33 of the canary's 640 requests failed. Weight 0 is written and observed; the canary is deleted.",
        next_step="Fix the release and push. The canary's last log: `kubectl -n shop logs deploy/shop-canary -p`",
        exit_code=10,
        started="2026-11-23T06:15:36Z",
        duration_seconds=252.0,
        facts={"image": "registry.example/shop:1.5.0", "stable": "registry.example/shop:1.4.2", "weight": "0 %"},
        sections=(
            VerdictSection(Judgement(verdicts, closed, closed, rejected=True, reason="errors are in breach")),
            SeriesSection("Weight", "percent", (Series("canary", weights, "canary"),), bands, marks, step=True),
            SeriesSection(
                "Error ratio", "ratio", (Series("stable", stable, "stable"), Series("canary", canary, "canary")),
                bands, marks,
            ),
            SeriesSection(
                "Latency, 95th percentile", "seconds",
                (Series("stable", slow_stable, "stable"), Series("canary", slow_canary, "canary")), bands, marks,
            ),
            TableSection(
                "What was done", ("Time", "Object", "Change"),
                (("0:38", "VirtualService shop/shop", "weight 0 → 5"), ("3:24", "VirtualService shop/shop", "25 → 0")),
                folded=True,
            ),
            TextSection(
                "The canary's last lines", "ERROR payment: timeout\n/close\n```\n/merge\n@all <b>x</b>",
                preformatted=True, folded=True,
            ),
            LinksSection((Link("job", "https://gitlab.example/acme/shop/-/jobs/99"),)),
        ),
        dotenv={"MESH_PHASE": "rolled-back"},
    )  # fmt: skip


@pytest.fixture
def promoted() -> Report:
    """A good release, promoted."""
    verdict = Verdict(
        "errors", VerdictKind.PASS, Importance.CRITICAL, "ratio", 0.004, 0.0041, 0.0001, -0.0012, 0.0014,
        42105, 11873, "no worse than the margin",
    )  # fmt: skip
    weights = tuple((float(t), float(w)) for t, w in ((0, 0), (38, 5), (160, 10), (290, 25), (420, 50), (620, 0)))
    return Report(
        job="canary",
        service="shop",
        namespace="shop",
        outcome=Outcome.PROMOTED,
        headline="shop 1.5.0 was promoted after 10 min 20 s: no metric is worse than stable",
        reason="Every critical metric passes, with 11 873 requests on the canary.",
        started="2026-11-23T06:15:36Z",
        duration_seconds=620.0,
        facts={"image": "registry.example/shop:1.5.0"},
        sections=(
            VerdictSection(Judgement((verdict,), Gate(open=True), Gate(open=True))),
            SeriesSection("Weight", "percent", (Series("canary", weights, "canary"),), step=True),
        ),
    )


@pytest.fixture
def running() -> Report:
    """A release that goes on."""
    verdict = Verdict(
        "errors", VerdictKind.UNDECIDED, stable=0.004, canary=0.0, effect=-0.004, stable_n=800, canary_n=9
    )
    return Report(
        job="canary",
        service="shop",
        namespace="shop",
        outcome=Outcome.RUNNING,
        headline="shop 1.5.0 gets 5 % of the requests",
        duration_seconds=45.0,
        sections=(
            VerdictSection(
                Judgement(
                    (verdict,),
                    Gate(open=False, reason="9 of 20 requests at this weight"),
                    Gate(open=False, reason="errors are undecided"),
                    reason="too few requests on the canary yet",
                    forecast=Forecast(1190, 420.0),
                )
            ),
        ),
    )


class Chromium:
    """A Chromium driven over ``--remote-debugging-pipe``: JSON messages that end with NUL, on its fds 3 and 4."""

    _LAUNCH = (
        "import fcntl, os, sys\n"
        "ends = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]\n"
        "os.dup2(ends[0], 3); os.dup2(ends[1], 4)\n"
        "os.execv(sys.argv[3], sys.argv[3:])\n"
    )
    _FLAGS = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
    )

    def __init__(self, program: Path, profile: str) -> None:
        child_reads, we_write = os.pipe()
        we_read, child_writes = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", self._LAUNCH, str(child_reads), str(child_writes)),
                *(str(program), *self._FLAGS.split(), f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(child_reads, child_writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(child_reads)
        os.close(child_writes)
        self._output = os.fdopen(we_write, "wb", buffering=0)
        self._input = os.fdopen(we_read, "rb")
        self._pending = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = ""
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Send a command and wait for its answer; it is killed if it says nothing for a minute."""
        watchdog = threading.Timer(60, self._kill)
        watchdog.start()
        try:
            return self._call(method, params)
        finally:
            watchdog.cancel()

    def _call(self, method: str, params: dict[str, Any]) -> Any:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        self._output.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            read = self._input.read1(1 << 20)
            assert read, "Chromium ended"
            self._pending += read
        message, self._pending = self._pending.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path, *, width: int, scheme: str, script: bool = True) -> None:
        """Show a file at a width, in a colour scheme, with or without script."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[Any]:
        """Everything on the browser's console since the page was opened."""
        return [
            event
            for event in self.events
            if event.get("method") in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        ]

    def screenshot(self, path: Path) -> None:
        """Save the whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End it and everything that it started."""
        self._kill()
        self._output.close()
        self._input.close()


@pytest.fixture(scope="session")
def chromium(require_tool: Callable[[str], Path]) -> Iterator[Chromium]:
    """One Chromium for all tests."""
    program = require_tool("chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(program, profile)
        yield browser
        browser.close()
