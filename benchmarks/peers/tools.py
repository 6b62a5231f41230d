"""The two tools behind one face: prepare a namespace, release a tag, say when it is decided, kill, come back."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rig import STABLE, Rig

from gitlab_mesh.sandbox.processes import Child
from gitlab_mesh.sandbox.shop import HOST, NAMESPACE, shop_objects
from tests.e2e.controlplane.control_plane import wait_until
from tests.e2e.mesh.installation import ROOT, sidecar_objects

Object = dict[str, Any]

AWAY_SECONDS = {"restart": 180.0, "net": 0.0}
"""How long a killed tool is away: as in a lost node or runner."""

OURS = """\
version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop, http: [primary]}
    metrics: {gateway: {namespace: istio-system, selector: istio=ingressgateway}}
    rollout: {step_bake: 0s, look_interval: LOOK, deadline: 20m}
    judge: {bake: 0s, slow: 500ms}
"""
"""One configuration for all releases: every default, but no minimum bake (as the peer has none)."""


class Tool(Protocol):
    """What the benchmark asks of a tool."""

    name: str

    def prepare(self, rig: Rig) -> None:
        """Make the namespace with the stable release, ready for a release."""

    def release(self, tag: str) -> None:
        """Begin to release."""

    def verdict(self) -> str:
        """Return "promoted", "rejected", another end, or "" while it runs."""

    def weight(self) -> int:
        """Percent of the users that the route gives to the release."""

    def kill(self) -> None:
        """End the tool with SIGKILL."""

    def come_back(self, way: str) -> None:
        """Start it again, as ``way`` says."""

    def state(self) -> str:
        """Weights and images in words."""

    def close(self) -> None:
        """End what runs."""


class Ours:
    """The CLI of this checkout as a process, as in a CI job.

    Args:
        look: Its ``look_interval``.
    """

    def __init__(self, look: str) -> None:
        self.name = f"gitlab-mesh ({look})"
        self._look = look
        self._child: Child | None = None
        self._code: int | None = None

    def prepare(self, rig: Rig) -> None:
        self._rig, plane = rig, rig.mesh.plane
        objects = [one for one in shop_objects(f"registry.example/shop:{STABLE}", 2) if one["metadata"]["name"] != ROOT]
        _make_namespace(rig, objects[0])
        plane.apply(*sidecar_objects(NAMESPACE, "shop"), *objects[1:])
        rig.mesh.wait_ready(NAMESPACE, "shop")
        wait_until("users", lambda: rig.mesh.request(HOST).status == 200, seconds=30)
        (rig.directory / "mesh.yaml").write_text(OURS.replace("LOOK", self._look))

    def release(self, tag: str) -> None:
        self._tag, self._code = tag, None
        self._child = self._job("canary", "--image", f"registry.example/shop:{tag}")

    def _job(self, *argv: str) -> Child:
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("CI", "GITLAB", "KUBE"))}
        environ = {**keep, "KUBECONFIG": str(self._rig.mesh.plane.kubeconfig()), "CI_JOB_ID": "1",
                   "CI_PIPELINE_ID": "1", "GITLAB_MESH_CONFIG": str(self._rig.directory / "mesh.yaml")}  # fmt: skip
        command = [sys.executable, "-m", "gitlab_mesh", "job", *argv, "--output", str(self._rig.directory / "out")]
        return self._rig.processes.start(f"ours-{argv[0]}", command, env=environ, cwd=self._rig.directory)

    def verdict(self) -> str:
        if self._child is None or self._child.returncode is None:
            return ""
        names = {0: "promoted", 10: "rejected", 11: "inconclusive", 12: "no-data"}
        return names.get(self._child.returncode, f"exit {self._child.returncode}")

    def weight(self) -> int:
        return self._rig.route().get("canary", 0)

    def kill(self) -> None:
        assert self._child
        self._child.signal(signal.SIGKILL)
        self._child.wait(10)
        self._child = None

    def come_back(self, way: str) -> None:
        """``restart``: the job is retried; ``net``: `after_script` runs at once, as after a failed script."""
        if way == "restart":
            self.release(self._tag)
        else:
            self._child = self._job("rollback", "--if-unfinished")

    def state(self) -> str:
        return f"{_say(self._rig.route())}; stable runs {self._rig.image('shop')}"

    def close(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.stop(30.0)


class Flagger:
    """Flagger with its Istio router; its own two metrics of Istio, from Prometheus.

    Args:
        program: The binary.
        crds: Its CustomResourceDefinitions.
        prometheus: URL.
        settings: "fast" (the smallest interval that it allows) or "tutorial".
    """

    name = "Flagger"

    def __init__(self, program: Path, crds: Path, prometheus: str, settings: str) -> None:
        self._program, self._crds, self._prometheus = program, crds, prometheus
        self.name = f"Flagger ({settings})"
        self._interval = {"fast": "10s", "tutorial": "1m"}[settings]
        self._child: Child | None = None

    def prepare(self, rig: Rig) -> None:
        self._rig, plane = rig, rig.mesh.plane
        plane.apply(self._crds.read_text())
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "canaries.flagger.app")
        objects = {one["kind"]: one for one in shop_objects(f"registry.example/shop:{STABLE}", 2)}
        _make_namespace(rig, objects["Namespace"])
        sidecars = [*sidecar_objects(NAMESPACE, "shop"), sidecar_objects(NAMESPACE, "shop-primary")[0]]
        deployment = copy.deepcopy(objects["Deployment"])
        deployment["spec"]["selector"] = {"matchLabels": {"app": "shop"}}
        plane.apply(*sidecars, objects["Gateway"], deployment)
        rig.mesh.wait_ready(NAMESPACE, "shop")
        self._start()
        plane.apply(_canary(self._interval))
        wait_until("Flagger's primary", lambda: self._phase() == "Initialized", seconds=180, pause=0.5)
        wait_until("users", lambda: rig.mesh.request(HOST).status == 200, seconds=60)

    def _start(self) -> None:
        command = [
            str(self._program), f"-kubeconfig={self._rig.mesh.plane.kubeconfig()}", "-mesh-provider=istio",
            f"-metrics-server={self._prometheus}", f"-namespace={NAMESPACE}", "-log-level=info", "-port=0",
        ]  # fmt: skip
        self._child = self._rig.processes.start("flagger", command)

    def release(self, tag: str) -> None:
        self._tag = tag
        self._rig.mesh.plane.kubectl(
            "set", "image", "deployment/shop", f"shop=registry.example/shop:{tag}", "-n", NAMESPACE
        )
        self._begun = time.monotonic()

    def _canary(self) -> Object:
        path = f"/apis/flagger.app/v1beta1/namespaces/{NAMESPACE}/canaries/shop"
        return self._rig.mesh.plane.json("GET", path)

    def _phase(self) -> str:
        return str((self._canary().get("status") or {}).get("phase", ""))

    def verdict(self) -> str:
        if time.monotonic() - self._begun < 8.0:  # until it has seen the change, the phase is the former one's
            return ""
        return {"Succeeded": "promoted", "Failed": "rejected"}.get(self._phase(), "")

    def weight(self) -> int:
        return self._rig.route().get("shop-canary", 0)

    def kill(self) -> None:
        assert self._child
        self._child.signal(signal.SIGKILL)
        self._child.wait(10)

    def come_back(self, way: str) -> None:
        del way  # its Deployment starts it anew; there is no other net
        self._start()

    def state(self) -> str:
        return f"{_say(self._rig.route())}; primary runs {self._rig.image('shop-primary')}"

    def close(self) -> None:
        if self._child is not None:
            self._child.stop(2.0)


def _make_namespace(rig: Rig, body: Object) -> None:
    rig.mesh.plane.apply(
        {"apiVersion": "v1", "kind": "Namespace",
         "metadata": {"name": NAMESPACE, "labels": {"istio-injection": "enabled"}}}
    )  # fmt: skip
    del body
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    wait_until("the namespace's service account", lambda: rig.mesh.plane.request("GET", path).ok)


def _canary(interval: str) -> Object:
    """The tutorial's analysis for Istio (docs.flagger.app, "Istio Canary Deployments"), at the given interval."""
    metric = {"interval": interval}
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "shop", "namespace": NAMESPACE},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
            "progressDeadlineSeconds": 60,
            "service": {
                "port": 80,
                "targetPort": 8080,
                "portName": "http",
                "gateways": ["shop-gateway"],
                "hosts": [HOST],
                "retries": {"attempts": 2, "perTryTimeout": "2s", "retryOn": "connect-failure,refused-stream"},
            },
            "analysis": {
                "interval": interval,
                "threshold": 5,
                "maxWeight": 50,
                "stepWeight": 10,
                "metrics": [
                    {"name": "request-success-rate", "thresholdRange": {"min": 99}, **metric},
                    {"name": "request-duration", "thresholdRange": {"max": 500}, **metric},
                ],
            },
        },
    }


def _say(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {weight}" for name, weight in sorted(weights.items()))


def find_program(name: str) -> str:
    """Return a program of this machine, or ""."""
    run = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=False)
    return run.stdout.strip()
