"""Which program stands for which image: istiod, Istio's proxy, the shop of the sandbox, a client that only waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gitlab_mesh.sandbox.app.behaviour import Behaviour, find_behaviour, parse_image
from gitlab_mesh.sandbox.envoy.bootstrap import find_envoy
from tests.e2e.controlplane.programs import Programs
from tests.e2e.mesh.pod_spec import expand, image_kind

__all__ = ["Command", "Images"]

_SIDECARS = ("istio-proxy",)
_ECHO = Path(__file__).parent.parent / "routing" / "echo.py"


@dataclass(frozen=True, slots=True)
class Command:
    """A container's process. No ``argv``: nothing runs, the container is there and ready (a pod to send from)."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


class Images:
    """The registry of the tests' node.

    Args:
        programs: Istio's programs.
        behaviours: Tag → what the shop of that tag does, before the sandbox's own table; may grow while it runs.
    """

    def __init__(self, programs: Programs, behaviours: dict[str, Behaviour] | None = None) -> None:
        self.behaviours = behaviours if behaviours is not None else {}
        self._programs = programs

    def command(
        self, pod: Mapping[str, Any], container: Mapping[str, Any], env: Mapping[str, str], kubeconfig: Path
    ) -> Command | None:
        """Return what to run for a container; None: the registry has no such image.

        Args:
            pod: Its pod.
            container: From the pod's specification.
            env: Its environment.
            kubeconfig: With the token of the pod's service account, for what talks to the API server.
        """
        kind = image_kind(container["image"])
        args = [expand(one, env) for one in container.get("args") or ()]
        if kind == "pilot":
            argv = [str(self._programs.path("pilot-discovery")), *args]
            return Command(tuple(argv), {**env, "KUBECONFIG": str(kubeconfig)})
        if kind == "proxyv2":
            argv = [str(self._programs.path("pilot-agent")), *args]
            return Command(tuple(argv), {**env, "PROXY_CONFIG": self._proxy_config(env.get("PROXY_CONFIG", ""))})
        if kind == "client":
            return Command((), env)
        if kind == "echo":
            version = container["image"].rpartition(":")[2]
            return Command((sys.executable, str(_ECHO), "--version", version, "--port", "8080"), env)
        return self._shop(pod, container, env) if kind == "shop" else None

    def _proxy_config(self, injected: str) -> str:
        """Return the injected ProxyConfig with Envoy's place; short drains, as each end of a pod waits for them."""
        config = yaml.safe_load(injected) if injected else {}
        own = {
            "binaryPath": str(find_envoy()),
            "proxyBootstrapTemplatePath": str(self._programs.path("envoy_bootstrap.json")),
            "concurrency": 1,
            "drainDuration": "1s",
            "terminationDrainDuration": "1s",
        }
        return json.dumps({**config, **own})

    def _shop(self, pod: Mapping[str, Any], container: Mapping[str, Any], env: Mapping[str, str]) -> Command | None:
        image = parse_image(container["image"])
        behaviour = find_behaviour(image.tag, self.behaviours) if image else None
        if image is None or behaviour is None:
            return None
        spec = pod["spec"]
        names = [one["name"] for one in (*spec["containers"], *(spec.get("initContainers") or ()))]
        # Behind a sidecar it must not be reachable but through it; without one the pod's address is its own.
        host = "127.0.0.1" if any(name in _SIDECARS for name in names) else "0.0.0.0"
        port = next((one["containerPort"] for one in container.get("ports") or ()), 8080)
        argv = [sys.executable, "-m", "gitlab_mesh.sandbox.app", "--version", image.tag]
        argv += ["--behaviour", behaviour.to_json(), "--host", host, "--port", str(port)]
        return Command(tuple(argv), env)
