"""Child processes that leave nothing behind, however the parent ends.

A supervisor process (``supervisor.py``) per sandbox starts the children in a session of its own and ends them when
the control socket closes; the kernel closes it when the parent ends, after SIGKILL too. Children are only ever
addressed through the supervisor, which signals a pid only while it has not reaped it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from gitlab_mesh.errors import GitlabMeshError, TransientError

__all__ = ["Child", "Processes"]

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_MESSAGE_BYTES = 1 << 17
_START_SECONDS = 10.0


class Child:
    """One child process.

    Attributes:
        name: For people and for the log file's name.
        pid: Process id; valid as long as ``returncode`` is None.
        log: File with its stderr, and its stdout unless that is a pipe.
        stdout: Reading end of its stdout, if ``start(..., pipe=True)``; close it when done.
        returncode: None while it runs; negative is the signal that ended it.
    """

    def __init__(self, owner: Processes, number: int, name: str, log: Path, stdout: BinaryIO | None) -> None:
        self.name = name
        self.pid = 0
        self.log = log
        self.stdout = stdout
        self.returncode: int | None = None
        self._owner = owner
        self._number = number
        self._started = threading.Event()
        self._ended = threading.Event()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        if self.returncode is None:
            self._owner._send({"signal": self._number, "number": int(number)})

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; return the exit status, or None if it still runs after ``timeout`` seconds."""
        self._ended.wait(timeout)
        return self.returncode

    def stop(self, grace: float = 2.0) -> int | None:
        """End it: SIGTERM, up to ``grace`` seconds to finish, then SIGKILL; return the exit status."""
        self.signal(signal.SIGTERM)
        if self.wait(grace) is None:
            self.signal(signal.SIGKILL)
        return self.wait(grace + 5.0)

    def tail(self, lines: int = 10) -> str:
        """Return the last lines of its log, for error messages."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Processes:
    """All child processes of one sandbox, in one process group of their own.

    Args:
        directory: Where the log files go (``<name>.log``, appended to).
        remove: Remove the directory at the end, after a SIGKILL of the parent too.
    """

    def __init__(self, directory: Path, *, remove: bool = False) -> None:
        self._directory = directory
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno()), *([str(directory)] * remove)],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone, which then ends in order
                stdin=subprocess.DEVNULL,
            )
        self._numbers = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._on_exit: dict[int, Callable[[Child], None]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="processes", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> list[Child]:
        """The children that have not ended, in the order of their start."""
        with self._lock:
            return [child for child in self._children.values() if child.returncode is None]

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pipe: bool = False,
        on_exit: Callable[[Child], None] | None = None,
    ) -> Child:
        """Start a program.

        Args:
            name: For people; also the log file's name.
            argv: Program and arguments. A program that cannot be executed ends with status 127, said in its log.
            env: The whole environment; default: ours, as it was when the supervisor started.
            cwd: Working directory; default: the log directory.
            pipe: Give its stdout as ``child.stdout`` instead of writing it to the log.
            on_exit: Called once with the child after its end, in the reader's thread: must be quick.

        Raises:
            TransientError: The supervisor is gone.
        """
        log = self._directory / f"{name}.log"
        number = next(self._numbers)
        with contextlib.ExitStack() as stack:
            stderr = stack.enter_context(log.open("ab")).fileno()
            stdout, reading = stderr, None
            if pipe:
                read_end, stdout = os.pipe()
                stack.callback(os.close, stdout)
                reading = os.fdopen(read_end, "rb")
            child = Child(self, number, name, log, reading)
            with self._lock:
                self._children[number] = child
                if on_exit:
                    self._on_exit[number] = on_exit
            message = {
                "start": number,
                "argv": list(argv),
                "env": None if env is None else dict(env),
                "cwd": str(cwd or self._directory),
            }
            if self._send(message, [stdout, stderr]):
                child._started.wait(_START_SECONDS)
        if not child.pid:
            self._mark_ended(child, -signal.SIGKILL)
            raise TransientError(f"process {name} could not be started", why="the sandbox's supervisor has ended")
        return child

    def close(self, grace: float = 3.0) -> None:
        """End all children, the last started first: SIGTERM, deadline (``grace`` seconds for all), SIGKILL.

        A second call does nothing.
        """
        if self._control.fileno() < 0:
            return
        deadline = time.monotonic() + grace
        for child in reversed(self.running):
            child.stop(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(OSError):  # the supervisor was killed
            self._control.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._control.close()
        self._supervisor.wait()
        with self._lock:
            for child in self._children.values():
                if child.stdout:
                    child.stdout.close()

    def _send(self, message: dict[str, object], fds: Sequence[int] = ()) -> bool:
        """Tell the supervisor; False if it is gone (then the reader has marked, or will mark, every child as ended)."""
        data = json.dumps(message).encode()
        if len(data) > _MESSAGE_BYTES:
            raise GitlabMeshError(f"the command line of a process is too long: {len(data)} bytes")
        try:
            socket.send_fds(self._control, [data], list(fds))
        except OSError:
            return False
        return True

    def _read(self) -> None:
        """Follow the supervisor's messages until it ends; then no child is left."""
        while True:
            try:
                data = self._control.recv(_MESSAGE_BYTES)
            except OSError:
                data = b""
            if not data:
                break
            message = json.loads(data)
            if "started" in message:
                child = self._children[message["started"]]
                child.pid = message["pid"]
                child._started.set()
            else:
                self._mark_ended(self._children[message["exited"]], message["status"])
        for child in self.running:
            child._started.set()
            self._mark_ended(child, -signal.SIGKILL)

    def _mark_ended(self, child: Child, status: int) -> None:
        child.returncode = status
        child._ended.set()
        with self._lock:
            callback = self._on_exit.pop(child._number, None)
        if callback:
            callback(child)
