"""The process that owns all child processes of one sandbox, so that none outlives it.

Run as a program (``python -I -S supervisor.py FD [DIRECTORY]``) by ``processes.Processes``, and never imported by it:
it uses the standard library only and has a single thread. It ends its children when the control socket closes, which
the kernel does for any end of the parent, SIGKILL included. If the supervisor itself is killed, the kernel ends the
children: ``PR_SET_PDEATHSIG`` is reliable here because its trap (the signal comes when the *thread* that forked
ends) needs a second thread. Grandchildren that lost their parent are adopted (``PR_SET_CHILD_SUBREAPER``) and end
with the process group. A DIRECTORY is removed at the end, when nobody writes into it any more.

Messages are JSON, one per SEQPACKET datagram. To us: ``{"start": id, "argv", "env", "cwd"}`` with two file
descriptors (stdout, stderr), ``{"signal": id, "number"}``. From us: ``{"started": id, "pid"}``,
``{"exited": id, "status"}`` (negative: the number of the signal that ended it).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

TERM_SECONDS = 1.0
"""After the parent is gone nobody waits for a clean end of long requests."""

MESSAGE_BYTES = 1 << 17
_HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _load_prctl() -> Callable[[int, int], int]:
    """Return ``prctl`` of libc; elsewhere than on Linux a function that does nothing."""
    if not sys.platform.startswith("linux"):
        return lambda option, value: 0
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: int(prctl(option, value, 0, 0, 0))


class Supervisor:
    """Starts, signals and reaps the children of one control socket."""

    def __init__(self, control: socket.socket, directory: str = "") -> None:
        self._control = control
        self._directory = directory
        self._children: dict[int, int] = {}  # pid -> id
        self._prctl = _load_prctl()
        self._prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._woken, wakeup = os.pipe()
        for end in (self._woken, wakeup):
            os.set_blocking(end, False)
        for number in _HANDLED:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the parent is gone or we are asked to end; then end every child."""
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._woken, selectors.EVENT_READ)
        serving = True
        try:
            while serving:
                for key, _ in selector.select():
                    serving = (self._obey() if key.fileobj is self._control else self._reap()) and serving
        finally:
            self._end_all()

    def _obey(self) -> bool:
        """Handle one message; False if the parent closed the socket."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 4)
        except ConnectionResetError:  # the parent ended with messages of ours unread
            return False
        if not data:
            return False
        message = json.loads(data)
        if "start" in message:
            pid = self._start(message, fds)
            for fd in fds:
                os.close(fd)
            self._children[pid] = message["start"]
            self._tell({"started": message["start"], "pid": pid})
        else:
            # Unreaped children keep their pid, so this never hits a stranger.
            for pid, child in self._children.items():
                if child == message["signal"]:
                    os.kill(pid, message["number"])
        return True

    def _start(self, message: dict[str, Any], fds: list[int]) -> int:
        """Fork and execute; the child answers a failed exec with status 127 and a line in its log."""
        own = os.getpid()
        # A signal to the new process must not run our handlers there: they would write into our own wake-up pipe.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            return pid
        try:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != own:
                os._exit(126)
            signal.set_wakeup_fd(-1)
            for number in _HANDLED:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(fds[0], 1)
            os.dup2(fds[1], 2)
            os.chdir(message["cwd"])
            env = os.environ if message["env"] is None else message["env"]
            os.execvpe(message["argv"][0], message["argv"], env)  # noqa: S606
        except BaseException as error:  # whatever it is, we must not go on as a second supervisor
            os.write(2, f"cannot start {message['argv'][0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def _reap(self) -> bool:
        """Collect ended children; False if a signal asked us to end."""
        with contextlib.suppress(BlockingIOError):
            wanted = os.read(self._woken, 256)
            if any(number in wanted for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)):
                return False
        self._collect()
        return True

    def _collect(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._tell({"exited": child, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the parent may be gone
            self._control.send(json.dumps(message).encode())

    def _end_all(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + TERM_SECONDS
        while self._children and time.monotonic() < deadline:
            self._collect()
            time.sleep(0.005)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if self._directory:
            import shutil  # here, as it would slow down every start

            shutil.rmtree(self._directory, ignore_errors=True)
        # The session's process group is ours alone: what is left in it are orphans of our children, and we.
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    Supervisor(socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:]).run()
