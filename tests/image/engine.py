"""A Docker engine for the tests: the machine's own, or Debian's (package docker.io) started beside it when root.

Everything of an engine that is started here lies in one directory and ends with it; it needs neither a bridge nor
iptables, because its containers share the host's network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["Engine", "EngineMissingError", "base_image", "engine"]

START_SECONDS = 40.0
PROGRAMS = ("sh", "cat", "env", "id", "ls", "mkdir", "rm", "touch", "sleep")
RUNTIMES = (
    "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libnss_dns.so.2", "libnss_files.so.2", "libpthread.so.0",
    "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1",
)  # fmt: skip
"""What wheels take for given on every Linux (manylinux, PEP 513)."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class EngineMissingError(Exception):
    """There is no engine, and why."""


class Engine:
    """The command line of one engine."""

    def __init__(self, host: str) -> None:
        self._host = ["--host", host] if host else []

    def run(
        self, *arguments: str, stdin: IO[bytes] | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker …``; what it says is in ``stdout``."""
        done = subprocess.run(
            ["docker", *self._host, *arguments],
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},  # the plug-in for the other builder is a package of its own
        )
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(arguments[:3])}: {done.stdout[-3000:]}")
        return done


@contextlib.contextmanager
def engine(directory: Path) -> Iterator[Engine]:
    """Give an engine that answers.

    Raises:
        EngineMissingError: None could be had; the message says why.
    """
    if not shutil.which("docker"):
        raise EngineMissingError("docker is not installed (apt-get install docker.io)")
    own = Engine("")
    if own.run("version", check=False).returncode == 0:
        yield own
        return
    if os.geteuid() != 0:
        raise EngineMissingError("no Docker engine answers, and only root can start one")
    if not shutil.which("dockerd"):
        raise EngineMissingError("no Docker engine answers, and dockerd is not installed (apt-get install docker.io)")
    socket = directory / "docker.sock"
    command = [
        "dockerd", "--host", f"unix://{socket}", "--data-root", str(directory / "data"),
        "--exec-root", str(directory / "exec"), "--pidfile", str(directory / "pid"),
        "--bridge=none", "--iptables=false", "--ip6tables=false",
    ]  # fmt: skip
    log = directory / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        started = Engine(f"unix://{socket}")
        deadline = time.monotonic() + START_SECONDS
        while started.run("version", check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise EngineMissingError(f"dockerd does not start here: {' / '.join(last)}")
            time.sleep(0.2)
        yield started
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount(directory)
        shutil.rmtree(directory / "data", ignore_errors=True)  # whole root file systems: nobody looks at them again


def _unmount(directory: Path) -> None:
    """Take away what the engine leaves mounted (the host's network namespace), or nobody can remove the directory."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    for place in sorted((place for place in mounted if place.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def base_image(docker: Engine, directory: Path) -> str:
    """Make a slim image of this machine's own Python: no registry of images is asked. Returns its id."""
    prefix = Path(sys.base_prefix)
    wanted = [Path(found) for name in PROGRAMS if (found := shutil.which(name))]
    libraries = {path for program in [*wanted, *_binaries(prefix)] for path in _needed(program)}
    libraries |= set(_shared(*RUNTIMES))
    archive = directory / "base.tar"
    files = {f"bin/{path.name}": path for path in wanted}
    files |= {str(path).lstrip("/"): path for path in (*libraries, CERTIFICATES) if path.exists()}
    folders = {str(parent) for name in (*files, "opt/python/bin") for parent in Path(name).parents} - {"."}
    with tarfile.open(archive, "w") as tar:
        # Parents that an archive does not name become root's alone, and the image's user is nobody.
        for folder, mode in [*((name, 0o755) for name in sorted(folders)), ("tmp", 0o1777)]:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, path in files.items():
            tar.add(path.resolve(), arcname=name)
        for folder in ("bin", "lib"):
            tar.add(prefix / folder, arcname=f"opt/python/{folder}", filter=_slim)
    environment = {
        "PATH": "/opt/python/bin:/bin",
        "LD_LIBRARY_PATH": "/opt/python/lib",
        "SSL_CERT_FILE": str(CERTIFICATES),
        "PIP_CERT": str(CERTIFICATES),
        **{name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT") if name in os.environ},
    }
    changes = [part for name, value in environment.items() for part in ("--change", f"ENV {name}={value}")]
    with archive.open("rb") as stream:
        done = docker.run("import", *changes, "-", "gitlab-mesh-test-base:local", stdin=stream)
    archive.unlink()
    return done.stdout.strip().splitlines()[-1]


def _binaries(prefix: Path) -> list[Path]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [prefix / "bin" / version, *(prefix / "lib" / version / "lib-dynload").glob("*.so")]


def _needed(program: Path) -> Iterator[Path]:
    """The shared libraries of a program, as the loader finds them here."""
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        path = next((word for word in line.split() if word.startswith("/")), "")
        if path and not path.startswith(sys.base_prefix):
            yield Path(path)


def _shared(*names: str) -> Iterator[Path]:
    """Libraries by name, as the loader's cache knows them."""
    cache = shutil.which("ldconfig") or "/sbin/ldconfig"
    for line in subprocess.run([cache, "-p"], capture_output=True, text=True, check=True).stdout.splitlines():
        name, _, place = line.strip().partition(" ")
        if name in names:
            yield Path(place.rpartition("=> ")[2])


def _slim(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no job needs; pip itself stays."""
    parts = item.name.split("/")
    if {"test", "tests", "__pycache__", "idlelib", "tkinter", "config-3.11-x86_64-linux-gnu"} & set(parts):
        return None
    if (
        "site-packages" in parts
        and parts[-1] != "site-packages"
        and not parts[parts.index("site-packages") + 1].startswith("pip")
    ):
        return None
    return None if item.name.endswith(".a") else item
