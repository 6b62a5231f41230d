"""One Envoy process: start, apply a configuration, know what it accepted, stop, restart on the same ports."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from gitlab_mesh.errors import TransientError
from gitlab_mesh.sandbox.envoy.admin import EnvoyAdmin
from gitlab_mesh.sandbox.envoy.bootstrap import bootstrap, find_envoy
from gitlab_mesh.sandbox.envoy.model import CLIENT, GATEWAY, Json, XdsConfig, XdsRejectedError
from gitlab_mesh.sandbox.envoy.ports import ReservedPorts
from gitlab_mesh.sandbox.envoy.xds_files import XdsFiles
from gitlab_mesh.sandbox.processes import Child, Processes

__all__ = ["EnvoyProxy"]

_POLL_SECONDS = 0.001
_START_SECONDS = 20.0
_ACCEPT_SECONDS = 5.0
_UPDATES = r"(\.version_text|\.update_rejected|\.update_failure)$"
_REFUSED = re.compile(r"\[(?:warning|error)\]\[\w+\] \[[^]]*\] (.*(?:rejected|parse|fail).*)")


class EnvoyProxy:
    """An Envoy process and its files; not safe for use by several threads, except ``admin``.

    Args:
        directory: Existing, empty, for this Envoy alone.
        processes: Starts the process and ends it with us.
        concurrency: Worker threads.
    """

    def __init__(self, directory: Path, processes: Processes, *, concurrency: int = 1) -> None:
        self.ports = ReservedPorts()
        self.gateway_port = self.ports.port(GATEWAY)
        self.mesh_port = self.ports.port(CLIENT)
        self.admin_port = self.ports.port("admin")
        self.admin = EnvoyAdmin(self.admin_port)
        self.child: Child | None = None
        self._directory = directory
        self._processes = processes
        self._concurrency = concurrency
        self._files = XdsFiles(directory)
        self._wanted = XdsConfig()
        self._version = self._accepted = ""
        self._clusters: dict[str, Json] = {}
        self._listeners: dict[str, Json] = {}
        self._refusals: dict[str, int] = {}
        (directory / "bootstrap.json").write_text(json.dumps(bootstrap(self.admin_port)))

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.child is not None and self.child.returncode is None

    def start(self, config: XdsConfig, version: str) -> None:
        """Start with this configuration and wait until it is served.

        Raises:
            TransientError: Envoy ended or was not ready in time; its log says why.
            XdsRejectedError: It refused the configuration.
        """
        self._wanted, self._version = config, version
        self._write_all(version)
        self._launch()
        self.wait_accepted(version)

    def restart(self) -> None:
        """Start again, also after the process was killed: the last configuration, the same ports.

        Raises:
            TransientError: Envoy ended or was not ready in time.
        """
        if self.child:
            self.child.stop()
        self._write_all(self._version)
        self._launch()
        self.wait_accepted(self._version)

    def stop(self) -> None:
        """End the process and give the ports back."""
        if self.child:
            self.child.stop()
        self.admin.close()
        self.ports.close()

    def apply(self, config: XdsConfig, version: str) -> None:
        """Change over to a configuration without losing a request, and wait until Envoy has accepted it all.

        Make before break: new clusters, new listeners, endpoints, routes. What is no longer wanted stays until
        ``collect`` finds it idle.

        Raises:
            XdsRejectedError: Envoy refused it; the configuration before is in force, and in the files again.
            TransientError: Envoy does not run; the files hold the configuration for its next start.
        """
        before = (self._wanted, self._version, self._clusters, self._listeners)
        self._wanted, self._version = config, version
        if not self.running:
            raise TransientError("Envoy does not run", hint="it will start with the new configuration")
        self._clusters = {**self._clusters, **config.clusters}
        self._listeners = {**self._listeners, **config.listeners}
        try:
            self._write_stages(config, version)
        except XdsRejectedError:
            self._wanted, self._version, self._clusters, self._listeners = before
            self._undo(f"{version}-undone")
            raise

    def _undo(self, file_version: str) -> None:
        """Write the configuration that is in force again, and wait: refusals still to come belong to what is undone."""
        self._write(file_version)
        while True:
            with contextlib.suppress(XdsRejectedError):
                self._await(self._files.versions())
                return

    def _write_stages(self, config: XdsConfig, version: str) -> None:
        known = self._files.versions()
        # A new cluster or listener warms up until its first endpoints or routes are there.
        self._write_each("eds", {k: one for k, one in config.endpoints.items() if f"eds.{k}" not in known}, version)
        self._write_each("rds", {k: one for k, one in config.routes.items() if f"rds.{k}" not in known}, version)
        for name, resources in (("cds", self._clusters), ("lds", self._listeners)):
            if self._files.write(name, resources, version):
                self._await([name])
        self._await(self._write_each("eds", config.endpoints, version))
        self._write_each("rds", config.routes, version)
        self._await(self._files.versions())

    def _write_each(self, kind: str, resources: Mapping[str, Json], version: str) -> list[str]:
        names = [f"{kind}.{name}" for name in resources]
        return [
            name
            for name, one in zip(names, resources.values(), strict=True)
            if self._files.write(name, {"": one}, version)
        ]

    def _write_all(self, file_version: str) -> None:
        self._clusters, self._listeners = dict(self._wanted.clusters), dict(self._wanted.listeners)
        self._write(file_version)

    def _write(self, file_version: str) -> None:
        self._write_each("eds", self._wanted.endpoints, file_version)
        self._write_each("rds", self._wanted.routes, file_version)
        self._files.write("cds", self._clusters, file_version)
        self._files.write("lds", self._listeners, file_version)

    def wait_accepted(self, version: str, timeout: float = _ACCEPT_SECONDS) -> None:
        """Wait until ``accepted_version`` is this one.

        Raises:
            XdsRejectedError: Envoy refused something; says what.
            TransientError: It took longer than ``timeout`` seconds, or Envoy does not run.
        """
        if version != self._version:
            raise TransientError(f"version {version} was replaced by {self._version}")
        self._await(self._files.versions(), timeout)

    def accepted_version(self) -> str:
        """Return the last applied version of which Envoy has accepted everything.

        Raises:
            XdsRejectedError: Envoy refused something since this was last asked.
            TransientError: Envoy does not run.
        """
        if not self._missing(self._files.versions()):
            self._accepted = self._version
        return self._accepted

    def _await(self, names: Iterable[str], timeout: float = _ACCEPT_SECONDS) -> None:
        names = list(names)
        deadline = time.monotonic() + timeout
        while names and (missing := self._missing(names)):
            if time.monotonic() > deadline:
                raise TransientError(f"Envoy has not accepted {', '.join(missing)} within {timeout:g} s")
            time.sleep(_POLL_SECONDS)
        self._accepted = self._version

    def _missing(self, names: Iterable[str]) -> list[str]:
        """Return the files whose version is not in force yet."""
        stats = self.admin.stats(_UPDATES)
        versions = self._files.versions()
        refused = False
        for name in versions:
            prefix = self._files.statistic(name)
            count = sum(int(stats.get(f"{prefix}.update_{kind}", 0)) for kind in ("rejected", "failure"))
            refused |= count > self._refusals.get(name, 0)
            self._refusals[name] = count
        if refused:
            raise XdsRejectedError("Envoy refused a configuration and serves the one before", why=self._reason())
        return [name for name in names if stats.get(f"{self._files.statistic(name)}.version_text") != versions[name]]

    def _reason(self) -> str:
        """Return what Envoy's log says about the last refusal."""
        lines = self.child.log.read_text(errors="replace").splitlines() if self.child else []
        reasons = [found.group(1) for line in lines if (found := _REFUSED.search(line))]
        return reasons[-1] if reasons else "its log does not say"

    def active_requests(self, cluster: str) -> int:
        """Return the number of requests that a cluster is serving now; 0 if there is no such cluster."""
        name = f"cluster.{cluster}.upstream_rq_active"
        return int(self.admin.stats(f"^{re.escape(name)}$").get(name, 0))

    def collect(self) -> bool:
        """Drop clusters and listeners that are no longer wanted and idle; return whether some are still busy.

        To be called when the last ``apply`` is some milliseconds old: its routes then hold on every worker.
        """
        unwanted = [name for name in self._clusters if name not in self._wanted.clusters]
        busy = {name for name in unwanted if self.active_requests(name)}
        gone = set(unwanted) - busy
        listeners = {k: one for k, one in self._listeners.items() if k in self._wanted.listeners or k in busy}
        if gone:
            version = f"{self._version}-collected"
            # An emulated sidecar's listener and cluster have the same name; the listener goes first.
            for name, resources in (
                ("lds", listeners),
                ("cds", {k: one for k, one in self._clusters.items() if k not in gone}),
            ):
                if self._files.write(name, resources, version):
                    self._await([name])
            self._listeners = listeners
            for name in gone:
                del self._clusters[name]
                self._files.remove(f"eds.{name}")
                self._refusals.pop(f"eds.{name}", None)
                self.ports.release(name.removeprefix("inbound|"))
        return bool(busy)

    def _launch(self) -> None:
        argv = [str(find_envoy()), "-c", "bootstrap.json", "--concurrency", str(self._concurrency)]
        argv += ["--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1"]
        self._refusals.clear()
        child = self.child = self._processes.start("envoy", argv, cwd=self._directory)
        deadline = time.monotonic() + _START_SECONDS
        while not self.admin.is_live():
            if child.returncode is not None:
                raise TransientError(f"Envoy ended with {child.returncode}", why=child.tail())
            if time.monotonic() > deadline:
                raise TransientError(f"Envoy was not ready after {_START_SECONDS:.0f} s", why=child.tail())
            time.sleep(_POLL_SECONDS)
