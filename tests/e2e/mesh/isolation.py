"""A network of our own, without root: user and network namespaces, entered by this very process.

The kernel lets a process into a new user namespace only while it has one thread, so the tier's conftest does this
before anything else starts one. Everything that the tests start afterwards is inside; nothing outside can be reached,
no port can clash with another run on the machine, and links and addresses end with the last process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

__all__ = ["enter", "is_inside"]

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000

_inside = False


def is_inside() -> bool:
    """Whether this process has entered namespaces of its own."""
    return _inside


def enter() -> None:
    """Enter new user and network namespaces and switch loopback on.

    The user becomes root inside (which gives the right to make links) and stays who they are outside.

    Raises:
        OSError: The kernel does not allow it, or this process has threads already (EINVAL).
    """
    global _inside
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        number, threads = ctypes.get_errno(), len(os.listdir("/proc/self/task"))
        raise OSError(number, f"unshare: {os.strerror(number)} (with {threads} threads; it must be one)")
    # user_namespaces(7): without privileges outside, one line each, and setgroups denied before gid_map.
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _inside = True
