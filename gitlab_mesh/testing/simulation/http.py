"""The same schedules through the real client and over HTTP: the sandbox's API server instead of the lean cluster.

It is some twenty times slower and proves that what the simulation promises does not hang on its own cluster.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.kubernetes.client import KubernetesAccess, KubernetesCluster, KubernetesPodProxy, connect
from gitlab_mesh.sandbox.apiserver.http_server import HttpServer
from gitlab_mesh.sandbox.apiserver.kubeconfig import render_kubeconfig
from gitlab_mesh.sandbox.apiserver.store import Change
from gitlab_mesh.testing.clock import FakeClock
from gitlab_mesh.testing.cluster import ADMIN, MemoryCluster
from gitlab_mesh.testing.simulation.door import FaultyCluster
from gitlab_mesh.testing.simulation.driver import DriverRun
from gitlab_mesh.testing.simulation.play import Outcome, Simulation

__all__ = ["HttpSimulation"]


class HttpSimulation(Simulation):
    """One schedule against the sandbox's API server over HTTP."""

    def play(self) -> Outcome:
        """Play the schedule to its end, then end server and connections."""
        with contextlib.ExitStack() as exits:
            directory = exits.enter_context(tempfile.TemporaryDirectory(prefix="gitlab-mesh-simulation-"))
            http = HttpServer(self.model.cluster.server).start()
            exits.callback(http.stop)
            self._exits = exits
            self._kubeconfig = Path(directory) / "config"
            self._kubeconfig.write_text(render_kubeconfig(http.url, ADMIN.token))
            return super().play()

    def door(self, run: DriverRun) -> FaultyCluster:
        """A connection of its own for each driver."""
        connection = connect(None, {"KUBECONFIG": str(self._kubeconfig)}, sleep=run.clock.sleep)
        self._exits.callback(connection.close)
        return FaultyCluster(
            KubernetesCluster(connection),
            run.injector,
            pods=KubernetesPodProxy(connection),
            access=KubernetesAccess(connection),
        )

    def _make_cluster(self, clock: FakeClock) -> Any:
        memory = MemoryCluster(now=clock.now)
        memory.server.pod_proxy = self._answer_pod
        return memory

    def _observe(self) -> None:
        def changed(change: Change) -> None:
            self._wrote(change.previous, None if change.type == "DELETED" else change.body)

        self.model.cluster.server.store.watch((), changed, replay=False)
