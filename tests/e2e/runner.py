"""A GitLab runner for the end-to-end tests: the CLI as its own process, with a service account's token and its Role."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from gitlab_mesh.adapters.load import LoadPlan, load_command
from gitlab_mesh.core.kinds import find_kind
from gitlab_mesh.sandbox.shop import HOST, NAMESPACE
from gitlab_mesh.sandbox.traffic import Traffic
from tests.e2e.controlplane.control_plane import PATIENCE, Object, wait_until
from tests.e2e.mesh.mesh import Mesh
from tests.e2e.mesh.shop import Shop

__all__ = ["POLICY", "QUICK", "SLOW", "Ended", "Job", "Runner"]

ACCOUNT = "gitlab-mesh"
FENCE = "gitlab-mesh.dev/rollout"
_JOB_SECONDS = 420.0

POLICY: Mapping[str, Any] = {
    "namespace": NAMESPACE,
    "route": {"virtualService": "shop", "http": ["primary"]},
    "metrics": {"gateway": {"namespace": "istio-system", "selector": "istio=ingressgateway"}},
    "rollout": {
        "steps": [20, 50],
        "step_bake": "1s",
        "look_interval": "500ms",
        "deadline": "300s",
        "ready_deadline": "90s",
        "confirm_deadline": "90s",
        "drain": "5s",
        "lease": "3s",
    },
    # Latencies on cores that everything shares say nothing about a release; errors decide here. The gate asks all the
    # same at a bound of stable's own choice (an SLO, `slow`, comes in addition). With these margins it needs at 100
    # requests/s and 50 %, as `judge plan` forecasts for error_margin 0.5 % and ratio 1 (no slope beyond the bound):
    # 40 s if 0.2 % of stable's requests are slower, 80 s if 0.5 %, 150 s if 1 %. Twice the last is the deadline.
    "judge": {
        "bake": "3s",
        "startup": "1s",
        "guard": "1s",
        "error_margin": "3%",
        "latency_margin": "900%",
        "latency_tolerance": "900%",
    },
}
"""Two short steps; everything that is not about time or latency is as in production."""

QUICK: Mapping[str, Any] = {"false_promotion": "20%"}
"""``configure(judge=QUICK)``, for good releases alone: about half of the evidence lets them pass (43 s become 23 s in
the forecast above). What a gate's promise is worth, the judge's own benchmarks show."""

SLOW: Mapping[str, Mapping[str, Any]] = {
    "rollout": {"steps": [20, 50], "step_bake": "150s"},
    "judge": {"mode": "dry-run", "bake": "150s"},
}
"""``configure(**SLOW)``: a release that stays at its first step until something happens to it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: exit code (negative: the signal that killed it), log, report ({} if it wrote none)."""

    code: int
    log: str
    report: Mapping[str, Any]


class Job:
    """A job that runs.

    Args:
        argv: After ``gitlab-mesh job``.
        env: Its whole environment.
        directory: Of its own.
    """

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self._log = directory / "job.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gitlab_mesh", "job", *argv, "--output", str(directory / "out")],
                env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a lost machine does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def end(self, seconds: float = _JOB_SECONDS) -> Ended:
        """Wait for its end.

        Raises:
            TimeoutError: It did not end in time; the log is a note.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            error = TimeoutError(f"the job did not end within {seconds:g} s")
            error.add_note(self.log)
            raise error from None
        report = self.directory / "out" / "report.json"
        return Ended(code, self.log, json.loads(report.read_text()) if report.exists() else {})


class Runner:
    """Runs jobs for the shop.

    Args:
        shop: What they release.
        directory: For their files; must not exist.
    """

    def __init__(self, shop: Shop, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.shop = shop
        self.mesh: Mesh = shop.mesh
        self.directory = directory
        self._jobs = 0
        self._printed: dict[str, str] = {}
        self._granted: list[Object] = []
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}
        self.mesh.plane.apply(account)

    @property
    def config(self) -> Path:
        """The project's ``mesh.yaml``."""
        return self.directory / "mesh.yaml"

    def configure(self, **changes: Any) -> None:
        """Write ``mesh.yaml``: ``POLICY`` with a block changed key by key (None: left out), a list replaced."""
        service = copy.deepcopy(dict(POLICY))
        for block, entries in changes.items():
            if isinstance(entries, Mapping):
                merged = {**service.get(block, {}), **entries}
                entries = {key: value for key, value in merged.items() if value is not None}
            service[block] = entries
        self.config.write_text(yaml.safe_dump({"version": 1, "services": {"shop": service}}))

    def roles(self) -> list[Object]:
        """Return what `gitlab-mesh rbac render` prints for the configuration as it is now."""
        config = self.config.read_text()
        if config not in self._printed:
            argv = [sys.executable, "-m", "gitlab_mesh", "rbac", "render", "--config", str(self.config)]
            run = subprocess.run(argv, env=self._base_environment(), capture_output=True, text=True, check=True)
            self._printed[config] = run.stdout
        return [body for body in yaml.safe_load_all(self._printed[config]) if body]

    def grant(self, roles: list[Object] | None = None) -> None:
        """Give the account exactly these Roles (default: the printed ones), and wait until they are in force."""
        before, self._granted = self._granted, roles if roles is not None else self.roles()
        if self._granted == before:
            return
        self.mesh.plane.apply(*self._granted)
        for space in {body["metadata"]["namespace"] for body in self._granted}:
            wanted, gone = _rules(self._granted, space), _rules(before, space) - _rules(self._granted, space)
            wait_until(
                f"the Roles in {space}",
                lambda s=space, w=wanted, g=gone: w <= (known := self._rules_in_force(s)) and not g & known,
            )

    def _rules_in_force(self, namespace: str) -> set[str]:
        """What the authorizer grants the account; it learns of Roles by its own watch, a moment later."""
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        body = {"spec": {"namespace": namespace}}
        answer = self.mesh.plane.request("POST", path, body, account=f"{NAMESPACE}:{ACCOUNT}")
        answer.raise_for_status()
        return {_rule(one) for one in answer.json()["status"]["resourceRules"]}

    @contextlib.contextmanager
    def without(self, resource: str, verb: str) -> Iterator[None]:
        """Take one right out of the printed Roles for a while."""
        roles = self.roles()
        for body in roles:
            for rule in body.get("rules", ()):
                if resource in rule["resources"] and verb in rule["verbs"]:
                    rule["verbs"].remove(verb)
            if "rules" in body:
                body["rules"] = [rule for rule in body["rules"] if rule["verbs"]]
        self.grant(roles)
        try:
            yield
        finally:
            self.grant()

    def start(self, *argv: str, pipeline: int = 0, **environ: str) -> Job:
        """Start `gitlab-mesh job ARGV --service shop`.

        Args:
            argv: The job and its options.
            pipeline: Of GitLab (its jobs are PIPELINE × 10); 0: a person at a terminal.
            environ: Further variables.
        """
        self._jobs += 1
        kubeconfig = self.mesh.plane.account_kubeconfig(NAMESPACE, ACCOUNT)
        variables = {"KUBECONFIG": str(kubeconfig), "GITLAB_MESH_CONFIG": str(self.config)}
        if pipeline:
            variables |= {"CI": "true", "GITLAB_CI": "true", "CI_PIPELINE_ID": str(pipeline)}
            variables |= {"CI_JOB_ID": str(pipeline * 10), "CI_PROJECT_ID": "1"}
        directory = self.directory / f"job-{self._jobs}-{argv[0]}"
        return Job((*argv, "--service", "shop"), {**self._base_environment(), **variables, **environ}, directory)

    def run(self, *argv: str, pipeline: int = 0, **environ: str) -> Ended:
        """Run a job to its end."""
        with self.start(*argv, pipeline=pipeline, **environ) as job:
            return job.end()

    def canary(self, tag: str, *options: str, pipeline: int = 0) -> Job:
        """Start a canary of ``shop:TAG``."""
        return self.start("canary", "--image", f"registry.example/shop:{tag}", *options, pipeline=pipeline)

    @contextlib.contextmanager
    def traffic(self, rate: float = 100.0, *, host: str = HOST) -> Iterator[Traffic]:
        """Send users' requests through the ingress gateway, from a process of its own."""
        url = self.mesh.gateway_url
        plan = LoadPlan(
            url=url,
            rate=rate,
            duration_seconds=600,
            arrivals="poisson",
            headers={"Host": host},
            origin_header="x-version",
            allowed_hosts=(self.mesh.gateway.address,),
        )
        running = Traffic(self.mesh.plane.processes, load_command(plan))
        try:
            running.wait_for(1, PATIENCE)
            yield running
        finally:
            running.stop()

    # ---- what is in the cluster

    def weight(self) -> int:
        """Return the canary's weight in the live route."""
        path = f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/shop"
        route = self.mesh.plane.json("GET", path)
        for http in route["spec"]["http"]:
            for item in http["route"]:
                if item["destination"].get("subset") == "canary":
                    return int(item.get("weight", 0))
        return 0

    def wait_weight(self, job: Job, weight: int) -> None:
        """Wait until the canary has (at least) this weight; a job that ended before is an error."""

        def probe() -> bool:
            if job.process.poll() is not None:
                raise AssertionError(f"the job ended with {job.process.returncode} before weight {weight}:\n{job.log}")
            return self.weight() >= weight

        wait_until(f"weight {weight}", probe, pause=0.1)

    def snapshot(self) -> dict[str, Any]:
        """Return what the team owns: specs, labels and annotations of routes and workloads."""
        found = {}
        for kind in ("VirtualService", "DestinationRule", "HTTPRoute", "Service", "Deployment"):
            for item in self.mesh.plane.json("GET", find_kind(kind).path(NAMESPACE))["items"]:
                meta = item["metadata"]
                kept = {k: v for k, v in (meta.get("annotations") or {}).items() if not k.startswith("deployment.")}
                found[f"{kind} {meta['name']}"] = (item["spec"], meta.get("labels"), kept)
        return found

    def findings(self, before: Mapping[str, Any], *, image: str = "") -> list[str]:
        """Say what is not as before, but for a promoted image; [] is what every end of a release must leave."""
        expected = copy.deepcopy(dict(before))
        if image:
            expected["Deployment shop"][0]["template"]["spec"]["containers"][0]["image"] = image
        after = self.snapshot()
        found = [f"{key} is left over" for key in after.keys() - expected.keys()]
        found += [f"{key} is not as before" for key, was in expected.items() if after.get(key) != was]
        leases = self.mesh.plane.json("GET", find_kind("Lease").path(NAMESPACE))["items"]
        found += [f"Lease {one['metadata']['name']} is held" for one in leases if one["spec"].get("holderIdentity")]
        return found

    def _base_environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI", "GITLAB_", "KUBE"))}
        return {**kept, "HOME": str(self.directory)}


def _rules(roles: list[Object], namespace: str) -> set[str]:
    here = [body for body in roles if body["metadata"]["namespace"] == namespace]
    return {_rule(rule) for body in here for rule in body.get("rules", ())}


def _rule(rule: Mapping[str, Any]) -> str:
    """A rule as text, whoever wrote it."""
    return json.dumps([sorted(rule.get(key) or ()) for key in ("apiGroups", "resources", "verbs", "resourceNames")])
