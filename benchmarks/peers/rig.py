"""One real mesh for both tools: the same cluster, gateway, application and users; Prometheus for who reads there."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.sandbox.app.behaviour import Behaviour
from gitlab_mesh.sandbox.processes import Child, Processes
from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from gitlab_mesh.sandbox.traffic import Traffic, TrafficFacts
from tests.e2e.mesh.mesh import Mesh

STABLE, MEDIAN = "1.4.0", 0.005


@dataclass(frozen=True)
class Release:
    """What is released, and how the users and the driver fare meanwhile."""

    name: str
    behaviour: Behaviour
    wanted: str
    """"promoted", "rejected", or "either" where nobody can say what is right."""
    stable: Behaviour = field(default_factory=lambda: _app())
    rate: float | None = None
    """Requests per second instead of the run's."""
    kill: str = ""
    """How the tool comes back after it was killed while the release had traffic; "": it is not killed."""


def _app(**changes: Any) -> Behaviour:
    return Behaviour(**{"median_seconds": MEDIAN, **changes})


RELEASES: Mapping[str, Release] = {
    one.name: one
    for one in (
        Release("good", _app(), "promoted"),
        Release("err5", _app(error_ratio=0.05), "rejected"),
        Release("outage", _app(error_ratio=1.0), "rejected"),
        Release("slow", _app(median_seconds=0.8, sigma=0.05), "rejected"),
        Release("base1", _app(error_ratio=0.01), "promoted", stable=_app(error_ratio=0.01)),
        Release("idle", _app(), "rejected", rate=0.0),
        Release("killed-outage", _app(error_ratio=1.0), "rejected", kill="restart"),
        Release("killed-outage-net", _app(error_ratio=1.0), "rejected", kill="net"),
        Release("killed-good", _app(), "promoted", kill="restart"),
    )
}


class Rig:
    """The mesh, Prometheus, and the users.

    Args:
        mesh: Started.
        directory: For files and logs.
        scrape_seconds: Prometheus' interval.
    """

    def __init__(self, mesh: Mesh, directory: Path, *, scrape_seconds: float = 5.0) -> None:
        self.mesh = mesh
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(directory)
        self.luck = random.Random()
        self._scrape = scrape_seconds
        self._over = threading.Event()

    @contextmanager
    def prometheus(self, program: str) -> Iterator[str]:
        """Run Prometheus on all pods' agents and return its URL; ``envoy_`` goes from the names, as Istio's lack it."""
        targets, port = self.directory / "targets.json", free_port()
        targets.write_text("[]")
        config = {
            "global": {"scrape_interval": f"{self._scrape:g}s", "scrape_timeout": f"{min(self._scrape, 5):g}s"},
            "scrape_configs": [
                {
                    "job_name": "pods",
                    "metrics_path": "/stats/prometheus",
                    "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
                    "metric_relabel_configs": [
                        {
                            "source_labels": ["__name__"],
                            "regex": "envoy_(istio_.+)",
                            "target_label": "__name__",
                            "replacement": "$1",
                        },
                        {"source_labels": ["__name__"], "regex": "istio_(requests|request_dur).+", "action": "keep"},
                    ],
                }
            ],
        }
        (self.directory / "prometheus.json").write_text(json.dumps(config))
        command = [program, f"--config.file={self.directory}/prometheus.json"]
        command += [f"--storage.tsdb.path={self.directory}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
        child = self.processes.start("prometheus", command)
        over = threading.Event()
        thread = threading.Thread(target=self._keep_targets, args=(targets, over), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: requests.get(f"{url}/-/ready", timeout=1).ok, 30, "Prometheus", child)
            yield url
        finally:
            over.set()
            thread.join()
            child.stop(2.0)

    def _keep_targets(self, path: Path, over: threading.Event) -> None:
        before: list[str] = []
        while not over.wait(0.5):
            found = sorted(f"{pod.address}:15020" for pod in self.mesh.node.pods)
            if found != before:
                new = path.with_suffix(".new")
                new.write_text(json.dumps([{"targets": found}]))
                new.rename(path)
                before = found

    @contextmanager
    def users(self, rate: float) -> Iterator[Users]:
        """Let users come at random times through the gateway."""
        url = self.mesh.gateway_url
        host = url.split("//")[1].split(":")[0]
        plan = LoadPlan(
            url=url, rate=rate, duration_seconds=3600, arrivals="poisson", headers={"Host": HOST}, timeout_seconds=5.0,
            origin_header="x-version", allowed_hosts=(host,), connections=400,
        )  # fmt: skip
        traffic = Traffic(self.processes, load_command(plan, interval_seconds=0.2))
        try:
            yield Users(traffic)
        finally:
            traffic.stop()

    def forget(self) -> None:
        """Delete the namespace and wait until it is gone."""
        self.mesh.plane.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")

    def route(self, name: str = "shop") -> dict[str, int]:
        """Return the weights in the VirtualService, by subset or host."""
        path = f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/{name}"
        routes = self.mesh.plane.json("GET", path)["spec"]["http"]
        found = routes[-1]["route"]
        return {one["destination"].get("subset") or one["destination"]["host"]: one.get("weight", 100) for one in found}

    def image(self, deployment: str) -> str:
        """Return the tag that a Deployment runs."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"
        body = self.mesh.plane.json("GET", path)
        return str(body["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])


@dataclass
class Users:
    """What the users see of one release."""

    traffic: Traffic

    @property
    def facts(self) -> TrafficFacts:
        """So far."""
        return self.traffic.facts

    def failed(self) -> int:
        """Requests that failed so far, by whomever."""
        return self.facts.failed_by_application + self.facts.failed_by_mesh

    def served(self, tag: str) -> int:
        """Requests that a release answered."""
        return self.facts.by_version.get(tag, (0, 0))[0]

    def failed_by(self, tag: str) -> int:
        """Requests that a release answered with an error."""
        return self.facts.by_version.get(tag, (0, 0))[1]


def behaviours_for(release: Release, tag: str) -> dict[str, Behaviour]:
    """What the two images do."""
    return {STABLE: release.stable, tag: release.behaviour}


def wait_for(probe: Callable[[], Any], seconds: float, what: str, child: Child | None = None) -> float:
    """Return the seconds until the probe was true.

    Raises:
        TimeoutError: It was not.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            if probe():
                return time.monotonic() - begun
        except (OSError, LookupError):
            pass
        time.sleep(0.1)
    raise TimeoutError(f"waited {seconds:g} s for {what}: {child.tail() if child else ''}")


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
