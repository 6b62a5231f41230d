"""A network of our own, without root: user and network namespaces.

Everything that is started inside stays inside: nothing outside can be reached, no port can clash with another run on
the machine, and links and addresses end with the last process. The user becomes root inside (which gives the right to
make links) and stays who they are outside.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["enter", "is_inside", "restart_inside"]

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MARK = "GITLAB_MESH_E2E_INSIDE"

_inside = os.environ.get(_MARK) == "1"  # read before a fixture clears the environment


def is_inside() -> bool:
    """Whether this process is in namespaces of its own."""
    return _inside


def enter() -> None:
    """Take this very process into new namespaces.

    Raises:
        OSError: The kernel does not allow it, or this process has threads already (EINVAL).
    """
    global _inside
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        number, threads = ctypes.get_errno(), sum(1 for _ in Path("/proc/self/task").iterdir())
        raise OSError(number, f"unshare: {os.strerror(number)} (with {threads} threads; it must be one)")
    # user_namespaces(7): without privileges outside, one line each, and setgroups denied before gid_map.
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    _switch_loopback_on()
    _inside = True


def restart_inside(config: pytest.Config) -> None:
    """Replace this run of pytest by the same one in new namespaces; there, only switch loopback on.

    Plugins of pytest (and NumPy, which one of them imports) start threads, so the process cannot enter by itself.

    Raises:
        OSError: `unshare` cannot be executed.
    """
    if _inside:
        _switch_loopback_on()
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)  # else the new process would write into a file of the old one
    command = ["unshare", "-rn", sys.executable, "-m", "pytest", *map(str, config.invocation_params.args)]
    os.execvpe(command[0], command, {**os.environ, _MARK: "1"})


def _switch_loopback_on() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
