"""A pod's sandbox: network, mount and process namespaces, an address on the node's bridge, a hosts file as DNS."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gitlab_mesh.sandbox.processes import Child, Processes
from tests.e2e.controlplane.control_plane import wait_until

__all__ = ["BRIDGE", "HUB", "PodNetwork", "child_of", "make_bridge"]

BRIDGE = "br0"
HUB = "10.244.255.254"
"""The node's own address: kube-apiserver and the tests are there."""

_PREFIX = 16
_CLONE_NEWNET = 0x40000000


def make_bridge() -> None:
    """Make the bridge that joins the pods.

    Its MAC is fixed: otherwise it takes the lowest of its ports', changes it as pods come, and pods that are
    connected already wait 10–20 s for stale ARP entries to go.
    """
    for line in (
        f"link add {BRIDGE} address 02:00:00:00:00:01 type bridge",
        f"addr add {HUB}/{_PREFIX} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ):
        subprocess.run(["ip", *line.split()], check=True)


class PodNetwork:
    """The namespaces of one pod, held by a process that sleeps in them as process 1.

    When that process ends, the kernel ends everything in the pod, whoever its parent is.

    Args:
        processes: Owner of all processes.
        name: For people.
        address: The pod's IP.
        number: Different for every pod of the node.
        hosts: File that the pod sees as /etc/hosts.
    """

    def __init__(self, processes: Processes, name: str, address: str, number: int, hosts: Path) -> None:
        self.address = address
        self._processes = processes
        argv = ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "sleep", "infinity"]
        self._holder: Child = processes.start(f"{name}.pod", argv, env={"PATH": os.environ["PATH"]})
        self.pid: int = wait_until(f"namespaces of {name}", lambda: child_of(self._holder.pid), pause=0.005)
        mac = "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        inside = (
            f"ip link set lo up && ip addr add {address}/{_PREFIX} dev eth0 && ip link set eth0 up && "
            f"ip route add default via {HUB} && mount --bind {hosts} /etc/hosts && "
            # No name server can be reached; without one in the file resolvers fail at once instead of after seconds.
            "mount --bind /dev/null /etc/resolv.conf"
        )
        for argv in (
            f"ip link add veth{number} type veth peer name eth0 address {mac} netns {self.pid}".split(),
            f"ip link set veth{number} master {BRIDGE} up".split(),
            [*self.enter(), "sh", "-c", inside],
        ):
            subprocess.run(argv, check=True, capture_output=True)

    def enter(self) -> list[str]:
        """Return the beginning of a command line that runs in the pod's network and with its hosts file."""
        return ["nsenter", "-t", str(self.pid), "-n", "-m"]

    def connect(self, host: str, port: int, *, seconds: float = 15.0) -> socket.socket:
        """Return a connection that was opened inside the pod. Raises OSError."""
        with ThreadPoolExecutor(1) as thread:  # namespaces are a thread's own; a socket stays where it was made
            return thread.submit(self._connect, host, port, seconds).result()

    def _connect(self, host: str, port: int, seconds: float) -> socket.socket:
        with Path(f"/proc/{self.pid}/ns/net").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_connection((host, port), timeout=seconds)

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], home: Path) -> Child:
        """Start a container's process in the pod, with ``home`` as working directory."""
        base = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        command = [*self.enter(), "-p", "env", "-C", str(home), *argv]
        return self._processes.start(name, command, env={**base, "HOME": str(home), **env})

    def end(self) -> None:
        """End everything in the pod at once."""
        self._holder.signal(signal.SIGKILL)
        self._holder.wait(10)


def child_of(parent: int) -> int:
    """Return the pid of a process' (only) child, 0 if it has none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if int(after_name[1]) == parent:
                return int(entry.name)
    return 0
