"""Speed of ``job validate`` beside ``istioctl analyze`` on the same generated mesh.

``python benchmarks/validate.py [--istioctl PATH] [--pairs 5] [--services 1000]`` prints walls, their ratio, the
growth to ten times the objects, the peak of memory, and the wall of ``--changed`` for a merge request that touches one
file of a repository with as many objects; exit code 1 where a goal of the project is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OBJECTS = """\
apiVersion: v1
kind: Service
metadata:
  name: svc-{i}
  namespace: ns-{n}
spec:
  selector:
    app: svc-{i}
  ports:
  - name: http
    port: 80
    targetPort: 8080
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: svc-{i}
  namespace: ns-{n}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: svc-{i}
  template:
    metadata:
      labels:
        app: svc-{i}
        version: v1
        sidecar.istio.io/inject: "true"
    spec:
      containers:
      - name: app
        image: registry.example/svc-{i}:1.0
        ports:
        - containerPort: 8080
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: svc-{i}
  namespace: ns-{n}
spec:
  hosts:
  - svc-{i}
  http:
  - match:
    - uri:
        prefix: /api
    route:
    - destination:
        host: svc-{i}
        subset: v1
      weight: 100
    timeout: 5s
  - route:
    - destination:
        host: svc-{i}
        subset: v1
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: svc-{i}
  namespace: ns-{n}
spec:
  host: svc-{i}
  trafficPolicy:
    connectionPool:
      http:
        http2MaxRequests: 100
  subsets:
  - name: v1
    labels:
      version: v1
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: svc-{i}
  namespace: ns-{n}
spec:
  selector:
    matchLabels:
      app: svc-{i}
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/ns-{n}/sa/web
    to:
    - operation:
        methods: [GET]
        paths: [/api/*]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: svc-{i}
  namespace: ns-{n}
spec:
  selector:
    matchLabels:
      app: svc-{i}
  mtls:
    mode: STRICT
---
"""


def generate(path: Path, services: int) -> None:
    path.write_text("".join(OBJECTS.format(i=i, n=i % 50) for i in range(services)), encoding="utf-8")


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Python keeps its bytecode, as an installed package has it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def wall(command: list[str], environ: dict[str, str], folder: Path | None = None) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, cwd=folder, env=environ)
    took = time.perf_counter() - started
    if done.returncode not in (0, 13, 79):
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return took


def generate_repository(folder: Path, services: int) -> None:
    """Write a file a service, commit, change one file, and commit that, too."""

    def git(*words: str) -> None:
        identity = ("-c", "user.email=bench@example.com", "-c", "user.name=bench")
        subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)

    for i in range(services):
        path = folder / f"ns-{i % 50}" / f"svc-{i}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OBJECTS.format(i=i, n=i % 50), encoding="utf-8")
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "before")
    git("checkout", "-b", "change")
    changed = folder / "ns-7" / "svc-7.yaml"
    changed.write_text(
        changed.read_text(encoding="utf-8").replace("host: svc-7\n", "host: svc-x\n", 1), encoding="utf-8"
    )
    git("commit", "-am", "now")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--istioctl", default=shutil.which("istioctl") or "")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--services", type=int, default=1000)
    arguments = parser.parse_args()
    ours = [sys.executable, "-m", "gitlab_mesh", "job", "validate", "--fail-on", "never", "--format", "json"]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "mesh.yaml", Path(folder) / "mesh10.yaml"
        generate(small, arguments.services)
        generate(large, arguments.services * 10)
        environ = environment(Path(folder))
        wall([*ours, str(small)], environ)
        pairs = []
        for _ in range(arguments.pairs):
            mine = wall([*ours, str(small)], environ)
            theirs = 0.0
            if arguments.istioctl:
                theirs = wall([arguments.istioctl, "analyze", "-A", "--use-kube=false", str(small)], environ)
            pairs.append((mine, theirs))
        mine = statistics.median(pair[0] for pair in pairs)
        print(f"gitlab-mesh job validate: {mine:.2f} s for {6 * arguments.services} objects (median of {len(pairs)})")
        if arguments.istioctl:
            theirs = statistics.median(pair[1] for pair in pairs)
            ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
            print(f"istioctl analyze: {theirs:.2f} s; ratio {ratio:.2f} (goal: at most 1.0)")
            failed |= ratio > 1.0
        else:
            print("istioctl: not found; name it with --istioctl")
        tenfold = wall([*ours, str(large)], environ)
        print(f"ten times the objects: {tenfold:.2f} s, {tenfold / mine:.1f} × (goal: at most 11)")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"largest process of all, that of the tenfold run included: {peak:.0f} MB")
        failed |= tenfold / mine > 11
        repository = Path(folder) / "repository"
        repository.mkdir()
        generate_repository(repository, arguments.services)
        runs = [wall([*ours, ".", "--changed", "main"], environ, repository) for _ in range(arguments.pairs)]
        changed = statistics.median(runs)
        print(f"--changed, one of {arguments.services} files: {changed:.2f} s (goal: at most 1.0)")
        failed |= changed > 1.0
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
