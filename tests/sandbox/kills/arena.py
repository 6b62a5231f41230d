"""Real processes under load: the CLI is killed at a request to the API server, or at any time, and the way back runs.

The sandbox's own API server sees every request of the CLI; it kills the process before it does a write (the write is
dropped) or after it (the answer finds nobody). So the product needs no hook to be killed at every boundary.
"""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.transport import Fault
from gitlab_mesh.sandbox.controllers.kubelet import KubeletPolicy
from gitlab_mesh.sandbox.shop import HOST
from gitlab_mesh.sandbox.world import Sandbox, SandboxSpec

__all__ = ["Arena", "Kill", "Result"]

POLICY = """\
version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop, http: [primary]}
    rollout:
      steps: [25, 50]
      step_bake: 500ms
      look_interval: 250ms
      deadline: 60s
      ready_deadline: 20s
      confirm_deadline: 10s
      drain: 5s
      lease: 2s
    judge: {mode: dry-run, bake: 5s, startup: 1s, guard: 1s}
"""
"""Leases of 2 s; the judge only reports, so that every run goes through all phases in a few seconds."""

RATE = 80.0
OUTAGE_TOLD_SECONDS = 2.5
DURING_SECONDS = 4.0
JOB_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Kill:
    """When the CLI dies: at its ``number``-th write (0: never) before or after it was done, or after ``seconds``."""

    number: int = 0
    after: bool = False
    seconds: float = 0.0
    stop: bool = False

    def __str__(self) -> str:
        if self.number:
            return f"{'after' if self.after else 'before'} write {self.number}"
        return f"after {self.seconds:.2f} s" if self.seconds else "never"


@dataclass(frozen=True, slots=True)
class Result:
    """How one cycle ended.

    Attributes:
        kill: What was planned.
        boundary: Where the process died, "" if it ended before.
        exit_code: Of the killed job (-9), of the way back.
        findings: What is not as it must be, one sentence each.
    """

    kill: Kill
    boundary: str
    exit_codes: tuple[int, ...]
    findings: tuple[str, ...]
    seconds: float


@dataclass
class _Trigger:
    """Strikes at one write of one process; asked by the API server for every request."""

    kill: Kill
    process: subprocess.Popen[bytes] | None = None
    writes: int = 0
    boundary: str = ""
    struck: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Fault | None:
        if request.method == "GET" or "selfsubject" in request.path or self.process is None:
            return None
        with self._lock:
            self.writes += 1
            if self.writes != self.kill.number or self.struck.is_set():
                return None
            plural = request.path.split("/")[-1 if request.method == "POST" else -2]
            self.boundary = f"{self.kill} {request.method} {plural}"
            self.process.send_signal(signal.SIGSTOP if self.kill.stop else signal.SIGKILL)
            self.struck.set()
        if self.kill.stop:
            return None
        self.process.wait()
        return None if self.kill.after else Fault(reset=True)


class Arena:
    """One sandbox with users' requests, and one release after the other in it."""

    def __init__(self, directory: Path) -> None:
        self.sandbox = Sandbox.start(SandboxSpec(policy=KubeletPolicy(), directory=directory))
        self.sandbox.config.write_text(POLICY)
        self.sandbox.start_traffic(self._load)
        self.releases = 0
        self.lost = 0

    def _load(self, url: str) -> Any:
        return load_command(
            LoadPlan(
                url=url, rate=RATE, duration_seconds=3600, arrivals="poisson", headers={"Host": HOST},
                origin_header="x-version",
            )
        )  # fmt: skip

    def close(self) -> None:
        """End everything."""
        self.sandbox.close()

    def start(self, *argv: str, pipeline: str = "", job: str = "") -> subprocess.Popen[bytes]:
        """Start ``gitlab-mesh job …`` as a runner would."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI_", "GITLAB_", "KUBE"))}
        variables = {**kept, **self.sandbox.job_environment("canary")}
        if pipeline:
            variables |= {"CI_PIPELINE_ID": pipeline, "CI_JOB_ID": job}
        log = (self.sandbox.directory / "jobs.log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "gitlab_mesh", "job", *argv, "--service", "shop"],
                env=variables, cwd=self.sandbox.directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def release(self, *, pipeline: str = "", job: str = "") -> subprocess.Popen[bytes]:
        """Start a release of an image that was not there before."""
        self.releases += 1
        return self.start("canary", "--image", f"registry.example/shop:1.5.{self.releases}", pipeline=pipeline, job=job)

    def cycle(
        self, kill: Kill, *, meanwhile: Callable[[], None] | None = None, during: Callable[[], None] | None = None
    ) -> Result:
        """Release, kill, go back, look at what is left.

        Args:
            kill: When the job dies.
            meanwhile: What happens between its death and the way back.
            during: What happens while it runs, ``DURING_SECONDS`` after its start.
        """
        begin = time.monotonic()
        before = self.snapshot()
        trigger = _Trigger(kill)
        self.sandbox.cluster.server.fault = trigger
        trigger.process = self.release()
        timer = threading.Timer(DURING_SECONDS, during) if during else None
        if timer is not None:
            timer.start()
        code = self._wait(trigger, kill)
        if timer is not None:
            timer.join()
        self.sandbox.cluster.server.fault = None
        if meanwhile is not None:
            meanwhile()
        back = self.finish(self.start("rollback"))
        again = self.finish(self.start("rollback"))
        findings = self.findings(before, back, again)
        return Result(kill, trigger.boundary, (code, back, again), tuple(findings), time.monotonic() - begin)

    def _wait(self, trigger: _Trigger, kill: Kill) -> int:
        process = trigger.process
        assert process is not None
        if not kill.seconds:
            return self.finish(process)
        try:
            return process.wait(kill.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            trigger.boundary = str(kill)
            return self.finish(process)

    def finish(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a job's end; one that does not end is killed and has no code."""
        try:
            return process.wait(JOB_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return -1

    def snapshot(self) -> dict[str, Any]:
        """The user's objects without what the server keeps about them."""
        client, found = self.sandbox.client(), {}
        for kind in ("VirtualService", "DestinationRule", "Deployment"):
            for item in client.list(kind, "shop"):
                meta = item["metadata"]
                kept = {key: meta.get(key) for key in ("labels", "annotations")}
                if kind == "Deployment":
                    kept["annotations"] = None
                found[f"{kind}/{meta['name']}"] = copy.deepcopy({"spec": item["spec"], **kept})
        return found

    def findings(self, before: dict[str, Any], back: int, again: int) -> list[str]:
        """What is not as it must be after the way back."""
        found = [f"the way back ended with {back}"] if back != 0 else []
        found += [f"the second way back ended with {again}"] if again != 0 else []
        after = self.snapshot()
        record = self._record()
        if record.get("outcome") == "running":
            found.append(f"the record is still open: {record.get('phase')}")
        template = after["Deployment/shop"]["spec"]["template"]
        was = before["Deployment/shop"]["spec"]["template"]
        if template != was and "promoted" not in (record.get("outcome"), record.get("ending")):
            found.append(f"stable runs another template, outcome {record.get('outcome')}")
        before["Deployment/shop"]["spec"]["template"] = template
        found += [f"{key} is left over" for key in after.keys() - before.keys()]
        found += [f"{key} is not as before" for key in before if after.get(key) != before[key]]
        for lease in self.sandbox.client().list("Lease", "shop"):
            if lease["spec"].get("holderIdentity"):
                found.append(f"the lease is held by {lease['spec']['holderIdentity']}")
        lost, self.lost = self.sandbox.requests_failed_by_mesh - self.lost, self.sandbox.requests_failed_by_mesh
        if lost:
            found.append(f"{lost} requests of users were lost")
        found += [f"sandbox: {problem}" for problem in self.sandbox.problems]
        self.sandbox.problems.clear()
        return found

    def _record(self) -> dict[str, Any]:
        import json

        for item in self.sandbox.client().list("ConfigMap", "shop"):
            if item["metadata"]["name"] == "gitlab-mesh-shop":
                record: dict[str, Any] = json.loads(item["data"]["record.json"])
                return record
        return {}

    def race(self, number: int) -> Result:
        """Two pipelines; the first stands still at its ``number``-th write and wakes after the takeover."""
        begin = time.monotonic()
        before = self.snapshot()
        kill = Kill(number, stop=True)
        trigger = _Trigger(kill)
        self.sandbox.cluster.server.fault = trigger
        pipeline = 500 + 2 * self.releases  # newer than all before, or it is refused
        trigger.process = first = self.release(pipeline=str(pipeline), job=f"{pipeline}0")
        while not trigger.struck.wait(0.1) and first.poll() is None:
            pass
        self.sandbox.cluster.server.fault = None
        rolled_back = self.finish(self.start("rollback", pipeline=str(pipeline + 1), job=f"{pipeline}1"))
        woken = self._written_by_the_woken(first, trigger)
        second = self.finish(self.start("rollback"))
        findings = [*woken, *self.findings(before, rolled_back, second)]
        codes = (first.returncode, rolled_back, second)
        if trigger.struck.is_set() and first.returncode not in (22, 0):
            findings.append(f"the driver that woke ended with {first.returncode}, not 22")
        return Result(kill, trigger.boundary, codes, tuple(findings), time.monotonic() - begin)

    def _written_by_the_woken(self, first: subprocess.Popen[bytes], trigger: _Trigger) -> list[str]:
        """Wake the first driver; the route must not change any more."""
        if not trigger.struck.is_set():
            self.finish(first)
            return []
        route = self.sandbox.client().get("VirtualService", "shop", "shop")["spec"]
        stable = self.sandbox.client().get("Deployment", "shop", "shop")["spec"]["template"]
        first.send_signal(signal.SIGCONT)
        self.finish(first)
        found = []
        if self.sandbox.client().get("VirtualService", "shop", "shop")["spec"] != route:
            found.append("the driver that woke changed the route")
        if self.sandbox.client().get("Deployment", "shop", "shop")["spec"]["template"] != stable:
            found.append("the driver that woke changed stable")
        return found

    def restart_envoy(self) -> None:
        """Kill Envoy and start it again; requests in between are lost by the fault itself, and do not count."""
        traffic, child = self.sandbox.traffic, self.sandbox.mesh.proxy.child
        assert traffic is not None
        assert child is not None
        child.signal(signal.SIGKILL)
        child.wait(10)
        self.sandbox.mesh.restart_proxy()
        # the load tells its counts every second: those of the outage are in when these have gone through
        traffic.wait_for(traffic.facts.requests + int(OUTAGE_TOLD_SECONDS * RATE), 60)
        self.lost = self.sandbox.requests_failed_by_mesh

    def restart_api(self) -> None:
        """Stop the API server for a while and start it again on its port."""
        server = self.sandbox.cluster.server
        server.stop()
        time.sleep(1.0)
        server.start()
