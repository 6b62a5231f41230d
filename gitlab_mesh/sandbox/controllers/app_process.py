"""The application's container as a process: start it, know its port, probe it."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.processes import Child, Processes

__all__ = ["AppProcess", "Probe", "start_app"]

_INHERITED = ("PATH", "LANG", "TMPDIR", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class AppProcess:
    """A process that was started; ``port`` is 0 if it ended before it listened."""

    child: Child
    port: int


def start_app(
    processes: Processes,
    name: str,
    container: Mapping[str, Any],
    tag: str,
    behaviour: Behaviour,
    *,
    seed: int | None,
    on_exit: Callable[[Child], None],
) -> AppProcess:
    """Start the application and wait until it listens or has ended.

    Args:
        processes: Owner of the process.
        name: Of the pod; also names the log file.
        container: Its spec; literal environment variables are handed on.
        tag: Of its image, which is its version.
        behaviour: What it does.
        seed: Of its luck, None: honest randomness.
        on_exit: Called after its end, in the thread of ``processes``.

    Raises:
        TransientError: The sandbox is shutting down.
    """
    argv = [sys.executable, "-m", "gitlab_mesh.sandbox.app", "--version", tag, "--behaviour", behaviour.to_json()]
    if seed is not None:
        argv += ["--seed", str(seed)]
    # The job's environment holds tokens, which are none of the application's business.
    env = {k: v for k, v in os.environ.items() if k in _INHERITED or k.startswith(("PYTHON", "COVERAGE"))}
    env |= {one["name"]: one["value"] for one in container.get("env") or () if "value" in one}
    child = processes.start(name, argv, env={**env, "HOSTNAME": name}, pipe=True, on_exit=on_exit)
    line = child.stdout.readline() if child.stdout else b""
    return AppProcess(child, int(json.loads(line)["port"]) if line else 0)


@dataclass(slots=True)
class Probe:
    """A readiness probe and what it has seen; without one a process that listens is ready.

    Args:
        spec: ``readinessProbe`` of the container, or None. Only ``httpGet`` asks; its port always is the process'.
    """

    spec: Mapping[str, Any] | None
    ready: bool = False
    message: str = ""
    _row: int = 0  # successes (positive) or failures (negative) in a row

    def look(self, port: int) -> bool:
        """Ask once; return whether the process counts as ready now, by the probe's thresholds."""
        if self.spec is None or "httpGet" not in self.spec:
            self.ready = True
            return True
        self.message = self._ask(port)
        if self.message:
            self._row = min(0, self._row) - 1
            if -self._row >= int(self.spec.get("failureThreshold", 3)):
                self.ready = False
        else:
            self._row = max(0, self._row) + 1
            if self._row >= int(self.spec.get("successThreshold", 1)):
                self.ready = True
        return self.ready

    @property
    def period_seconds(self) -> float:
        """Time between two probes of a process that is ready."""
        return float((self.spec or {}).get("periodSeconds", 10))

    @property
    def delay_seconds(self) -> float:
        """Time before the first probe."""
        return float((self.spec or {}).get("initialDelaySeconds", 0))

    def _ask(self, port: int) -> str:
        """Return "" or why the probe failed, in the kubelet's words."""
        asked = (self.spec or {})["httpGet"]
        connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=float((self.spec or {}).get("timeoutSeconds", 1))
        )
        try:
            connection.request("GET", asked.get("path", "/"))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"Readiness probe failed: {error}"
        finally:
            connection.close()
        return "" if 200 <= status < 400 else f"Readiness probe failed: HTTP probe failed with statuscode: {status}"
