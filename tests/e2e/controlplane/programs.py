"""Which programs the tier needs, from which Go modules, and where the built ones are.

Five modules under ``go/``, each with its own go.mod and go.sum, so that none raises another's versions. A module's
programs and data files live in one folder of the user's cache whose name is the digest of everything that they
depend on: another version is another folder, and nothing there is ever changed in place.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["MODULES", "GoModule", "Programs", "cache_root", "find_programs", "go_version", "why_not"]

_HERE = Path(__file__).parent / "go"
_MIN_GO = (1, 26)
_KUBERNETES = "1.36.3"
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class GoModule:
    """One tools module.

    Attributes:
        name: Folder under ``go/``.
        packages: Program → Go package.
        link: Further flags of the linker.
        data: File in the cache → (module, path in it); a path that is a folder means its YAML files, joined.
        optional: Not part of the tier: built only when it is asked for by name.
    """

    name: str
    packages: Mapping[str, str]
    link: tuple[str, ...] = ()
    data: Mapping[str, tuple[str, str]] | None = None
    optional: bool = False

    @property
    def directory(self) -> Path:
        """Where its go.mod is."""
        return _HERE / self.name

    def folder(self, version: str) -> Path:
        """Return where its programs belong when they are built by this Go version."""
        digest = hashlib.sha256(f"{version}\n{self!r}\n".encode())
        for name in ("go.mod", "go.sum"):
            digest.update((self.directory / name).read_bytes())
        return cache_root() / f"{self.name}-{digest.hexdigest()[:16]}"


MODULES: Sequence[GoModule] = (
    GoModule("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    GoModule(
        "kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler")
        },
        # Unlinked, the API server calls itself v0.0.0-master, and clients compare versions.
        link=(
            f"-X {_VERSION_PACKAGE}.gitVersion=v{_KUBERNETES}",
            f"-X {_VERSION_PACKAGE}.gitMajor=1",
            f"-X {_VERSION_PACKAGE}.gitMinor={_KUBERNETES.split('.')[1]}",
        ),
    ),
    GoModule(
        "kwok",
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        data={
            "stages-node-fast.yaml": ("sigs.k8s.io/kwok", "kustomize/stage/node/fast"),
            "stages-node-heartbeat.yaml": ("sigs.k8s.io/kwok", "kustomize/stage/node/heartbeat"),
            "stages-pod-fast.yaml": ("sigs.k8s.io/kwok", "kustomize/stage/pod/fast"),
            "crd-port-forward.yaml": ("sigs.k8s.io/kwok", "kustomize/crd/bases/kwok.x-k8s.io_portforwards.yaml"),
        },
    ),
    GoModule(
        "istio",
        {
            "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
            "pilot-agent": "istio.io/istio/pilot/cmd/pilot-agent",
            "istioctl": "istio.io/istio/istioctl/cmd/istioctl",
        },
        data={
            "crd-istio.yaml": ("istio.io/istio", "manifests/charts/base/files/crd-all.gen.yaml"),
            "crd-gateway-api.yaml": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
            "envoy_bootstrap.json": ("istio.io/istio", "tools/packaging/common/envoy_bootstrap.json"),
        },
    ),
    GoModule(
        "flagger",
        {"flagger": "github.com/fluxcd/flagger/cmd/flagger"},
        data={"crd-flagger.yaml": ("github.com/fluxcd/flagger", "kustomize/base/flagger/crd.yaml")},
        optional=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """Everything that was built: programs and the modules' data files, by name."""

    folders: tuple[Path, ...]

    def path(self, name: str) -> Path:
        """Return the path of a program or data file.

        Raises:
            FileNotFoundError: It is not among what was built.
        """
        for folder in self.folders:
            if (folder / name).exists():
                return folder / name
        raise FileNotFoundError(f"{name} is not built: python -m tests.e2e.controlplane.build")


def cache_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the tier's folder in the user's cache (XDG Base Directory Specification)."""
    base = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gitlab-mesh-e2e"


@cache
def go_version() -> str:
    """Return what `go env GOVERSION` says ("go1.26.8"), or "" without Go."""
    if not shutil.which("go"):
        return ""
    run = subprocess.run(
        ["go", "env", "GOVERSION"], env={**os.environ, "GOTOOLCHAIN": "local"}, capture_output=True, text=True
    )
    return run.stdout.strip()


def why_not() -> str:
    """Return why the tier cannot run on this machine, or ""."""
    found = re.match(r"go(\d+)\.(\d+)", go_version())
    if not found or (int(found[1]), int(found[2])) < _MIN_GO:
        wanted = ".".join(str(number) for number in _MIN_GO)
        return f"Go {wanted} or newer is needed to build Kubernetes and Istio, found {go_version() or 'none'}"
    missing = [name for name in ("ip", "nsenter", "unshare", "curl") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not found (Debian: apt-get install iproute2 util-linux curl)"
    if subprocess.run(["unshare", "-rnm", "true"], capture_output=True).returncode:
        return "this system does not let this user make user namespaces (`unshare -rnm true` fails)"
    return ""


def find_programs(*, optional: Sequence[str] = ()) -> Programs | None:
    """Return what is built for this machine's Go, or None if something lacks.

    Args:
        optional: Names of optional modules that are wanted, too.
    """
    folders = []
    for module in MODULES:
        if module.optional and module.name not in optional:
            continue
        folder = module.folder(go_version())
        if any(not (folder / name).exists() for name in (*module.packages, *(module.data or {}))):
            return None
        folders.append(folder)
    return Programs(tuple(folders))
