"""Ports that the system chooses and that stay ours while Envoy is down.

A socket that is bound with SO_REUSEPORT but never listens keeps the number taken: nobody else gets it, and Envoy,
which binds with SO_REUSEPORT as well, can listen on it, now and again after a restart. So ports are known before
Envoy starts, and there is no gap in which another process could take one.
"""

from __future__ import annotations

import contextlib
import socket

__all__ = ["ADMIN_SOCKET_OPTIONS", "ReservedPorts"]

# Envoy sets SO_REUSEPORT on its listeners by itself, but not on the admin listener.
ADMIN_SOCKET_OPTIONS = [
    {"level": socket.SOL_SOCKET, "name": socket.SO_REUSEPORT, "int_value": 1, "state": "STATE_PREBIND"}
]


class ReservedPorts:
    """Ports on 127.0.0.1 by name; not safe for use by several threads at once."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def port(self, name: str) -> int:
        """Return the port of this name; the first call reserves it."""
        if name not in self._sockets:
            with contextlib.ExitStack() as stack:
                reserved = stack.enter_context(socket.socket())
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                reserved.bind(("127.0.0.1", 0))
                stack.pop_all()
            self._sockets[name] = reserved
        number: int = self._sockets[name].getsockname()[1]
        return number

    def release(self, name: str) -> None:
        """Give a port back; unknown names are fine."""
        if reserved := self._sockets.pop(name, None):
            reserved.close()

    def close(self) -> None:
        """Give all of them back."""
        for name in list(self._sockets):
            self.release(name)
