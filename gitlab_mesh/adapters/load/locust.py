"""Locust as a load engine: an existing locustfile, on one machine or with workers on several.

Its users wait for answers before they go on, so what a standing target kept from being sent does not count
(coordinated omission); the result says so (``closed_loop``).
"""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gitlab_mesh.adapters.load.plugin import LoadEnginePlugin
from gitlab_mesh.core.load.checks import AnswerChecks
from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.request import RequestPlan
from gitlab_mesh.core.load.result import LoadResult
from gitlab_mesh.errors import ConfigError, TransientError, UsageError
from gitlab_mesh.ports import LoadGenerator

__all__ = ["ENGINES", "PIPE", "LocustLoad", "classify_failure", "locust_command"]

PIPE = "GITLAB_MESH_LOCUST_PIPE"
"""Number of the file descriptor for the recorder's JSON lines; workers do not write there."""

_OPTIONS = {"file": "locustfile.py", "users": "", "spawn_rate": "", "processes": "0", "expect_workers": "0",
            "bind": "127.0.0.1", "port": "0", "classes": ""}  # fmt: skip
_STARTS_WITHIN = 60.0
_ENDS_WITHIN = 15.0
_POLL = 0.2


class LocustLoad:
    """Port ``LoadGenerator`` on Locust, in a process of its own (it patches the interpreter that it runs in)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def run(
        self, plan: LoadPlan, *, progress: Callable[[LoadResult], None], interrupted: Callable[[], int]
    ) -> LoadResult:
        """Run the locustfile for the plan's time.

        Raises:
            ConfigError: Locust is not installed, or an option is not possible.
            UsageError: The plan says what only a locustfile can, or Locust sent more than the plan allows.
            TransientError: Locust ended without a result.
        """
        _check_plan(plan)
        with tempfile.TemporaryFile() as log:
            reading, writing = os.pipe()
            process = subprocess.Popen(  # noqa: S603 - the interpreter that runs us
                locust_command(plan), stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,),
                env=self._environment(plan, writing), start_new_session=True,
            )  # fmt: skip
            os.close(writing)
            try:
                with os.fdopen(reading, "rb", buffering=0) as pipe:
                    result = _follow(process, _Lines(pipe, process), plan, progress, interrupted)
                process.wait(_ENDS_WITHIN)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if result is None:
                raise TransientError(
                    f"Locust ended with {process.returncode} and without a result", why=_tail(log),
                    hint="run it by hand: locust --headless -f FILE --host URL",
                )  # fmt: skip
        return _stamped(result, plan)

    def _environment(self, plan: LoadPlan, pipe: int) -> dict[str, str]:
        environment = {**self._environ, PIPE: str(pipe)}
        if plan.tls.ca:
            environment["REQUESTS_CA_BUNDLE"] = plan.tls.ca
        return environment


def locust_command(plan: LoadPlan) -> list[str]:
    """Return program and arguments; workers elsewhere are given the same two files.

    Raises:
        ConfigError: Locust is not installed, or an option is unknown or no number.
    """
    if importlib.util.find_spec("locust") is None:
        raise ConfigError(
            "load.engine is locust, which is not installed here", hint="pip install 'gitlab-mesh[locust]'"
        )
    unknown = sorted(set(plan.options) - set(_OPTIONS))
    if unknown:
        raise ConfigError(
            f"load.engine_options: Locust has no {unknown[0]!r}", why=f"there are {', '.join(sorted(_OPTIONS))}"
        )
    options = {**_OPTIONS, **plan.options}
    users = _whole(options, "users", str(min(plan.connections, 1000)))
    processes, workers = _whole(options, "processes", "0"), _whole(options, "expect_workers", "0")
    recorder = Path(__file__).with_name("locust_recorder.py")
    command = [
        sys.executable, "-m", "locust", "--headless", "--only-summary", "--exit-code-on-error", "0",
        "-f", f"{options['file']},{recorder}", "--host", plan.url.rstrip("/"),
        "-u", str(users), "-r", options["spawn_rate"] or str(users), "-t", f"{max(1, round(plan.profile.seconds))}s",
        "--stop-timeout", f"{plan.timeout_seconds:g}",
    ]  # fmt: skip
    port = _whole(options, "port", "0") or _free_port()
    if processes and workers:
        raise ConfigError("load.engine_options: processes and expect_workers exclude each other")
    if processes:
        command += ["--processes", str(processes), "--master-port", str(port)]
    if workers:
        command += ["--master", "--expect-workers", str(workers), "--expect-workers-max-wait", f"{_STARTS_WITHIN:.0f}"]
    if processes or workers:
        command += ["--master-bind-host", options["bind"], "--master-bind-port", str(port)]
    return command + options["classes"].split()


def classify_failure(response: Any, exception: Any) -> str:
    """Return the class of error of what Locust saw, as ``LoadResult`` names them; "": none."""
    if not exception:
        return ""
    status = getattr(response, "status_code", 0) or 0
    if status >= 500:
        return "http_5xx"
    kind = type(exception).__name__.lower()
    text = f"{kind} {exception}".lower()
    for word, error in (("timeout", "timeout"), ("timed out", "timeout"), ("ssl", "tls"), ("reset", "reset")):
        if not status and word in text:
            return error
    if status >= 400:
        return "status"
    return "check" if status else "connect"


def _check_plan(plan: LoadPlan) -> None:
    plain = RequestPlan(checks=AnswerChecks(status=plan.kinds[0].checks.status))
    if plan.headers or plan.kinds != (plain,) or plan.tls.certificate or plan.tls.server_name or plan.origin_header:
        raise UsageError(
            "load.engine is locust: requests, headers, checks, certificates and version_header of mesh.yaml do not "
            "reach it",
            hint="write them into the locustfile, or use the built-in engine",
        )


def _whole(options: Mapping[str, str], name: str, default: str) -> int:
    text = options[name] or default
    if not text.isdigit() or int(text) > 1_000_000:
        raise ConfigError(f"load.engine_options: {name} must be a whole number, not {text!r}")
    return int(text)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class _Lines:
    """Lines of a pipe as they come; a line or None every ``_POLL`` seconds, until the process and the pipe end."""

    def __init__(self, pipe: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        self._pipe = pipe
        self._process = process

    def __iter__(self) -> Iterator[bytes | None]:
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while True:
                over = self._process.poll() is not None
                if not selector.select(0 if over else _POLL):
                    if over:
                        return
                    yield None
                    continue
                chunk = os.read(self._pipe.fileno(), 1 << 16)
                if not chunk:
                    return
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole


def _follow(
    process: subprocess.Popen[bytes],
    lines: _Lines,
    plan: LoadPlan,
    progress: Callable[[LoadResult], None],
    interrupted: Callable[[], int],
) -> LoadResult | None:
    stopped = False
    ends = time.monotonic() + _STARTS_WITHIN + plan.profile.seconds + plan.timeout_seconds + _ENDS_WITHIN
    for line in lines:
        if line:
            value: dict[str, Any] = json.loads(line)
            result = LoadResult.from_json(value)
            if value["event"] == "final":
                result.interrupted = stopped
                return result
            _check_leash(result, plan)
            progress(result)
            if plan.max_requests is not None and result.sent >= plan.max_requests and not stopped:
                process.send_signal(signal.SIGTERM)  # as planned: no interruption
        if not stopped and interrupted():
            stopped = True
            ends = time.monotonic() + _ENDS_WITHIN
            process.send_signal(signal.SIGTERM)
        if time.monotonic() > ends:
            return None
    return None


def _check_leash(result: LoadResult, plan: LoadPlan) -> None:
    if result.sending_seconds > 2 and result.achieved_rate > plan.max_rate:
        raise UsageError(
            f"Locust sent {result.achieved_rate:.0f} requests/s, more than the {plan.max_rate:g} allowed here; it was "
            "stopped",
            hint="fewer users or a wait_time in the locustfile, or raise GITLAB_MESH_LOAD_MAX_RPS if it is yours",
        )


def _stamped(result: LoadResult, plan: LoadPlan) -> LoadResult:
    parts = plan.parts
    host = parts.netloc.rpartition("@")[2]
    result.target = f"{parts.scheme}://{host}{parts.path}"
    result.planned_rate = plan.profile.mean_rate
    result.planned_requests = result.sent
    result.closed_loop = True
    return result


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return " · ".join(lines[-3:])[-500:]


def _build(environ: Mapping[str, str]) -> LoadGenerator:
    return LocustLoad(environ)


ENGINES = (LoadEnginePlugin("locust", "an existing locustfile; closed loop, several processes or machines", _build),)
