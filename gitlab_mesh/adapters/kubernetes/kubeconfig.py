"""Which cluster we talk to: the choice of kubeconfig and context, and the client configuration for it.

GitLab's agent gives every job a ``KUBECONFIG`` file with one context per authorised agent and **no** default context
(docs.gitlab.com, "Using GitLab CI/CD with a Kubernetes cluster"), so the choice has to be ours and has to be said.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from gitlab_mesh.errors import UsageError

__all__ = ["SERVICE_ACCOUNT", "Target", "find_target", "load_configuration"]

MEMORY = "/dev/shm"  # noqa: S108 - only certificates of a kubeconfig, as mkstemp makes them: mode 0600
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts the token and the CA of a pod's service account."""

CONTEXT_VARIABLES = ("GITLAB_MESH_KUBE_CONTEXT", "KUBE_CONTEXT")
POOL_SIZE = 16
_MINIMUM = "set KUBECONFIG, or authorise a GitLab agent for this project (its jobs get KUBECONFIG by themselves)"


@dataclass(frozen=True, slots=True)
class Target:
    """One cluster and who we are there.

    Attributes:
        context: Name of the kubeconfig's context; "in-cluster" for the pod's own service account.
        chosen_by: What chose it, for the log: "--kube-context", "KUBE_CONTEXT", "current-context", …
        files: The kubeconfig files, as ``KUBECONFIG`` spells them; empty in the cluster.
        service_account: Directory of the mounted service account, in the cluster.
        env: The environment that the choice was made from.
    """

    context: str
    chosen_by: str
    files: str
    service_account: Path
    env: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.context} (chosen by {self.chosen_by})"


@dataclass(frozen=True, slots=True)
class _Contexts:
    names: tuple[str, ...]
    current: str


def find_target(context: str | None, env: Mapping[str, str], *, service_account: Path = SERVICE_ACCOUNT) -> Target:
    """Choose kubeconfig and context.

    ``--kube-context`` > ``GITLAB_MESH_KUBE_CONTEXT`` > ``KUBE_CONTEXT`` > the file's ``current-context`` > the only
    context there is; without a kubeconfig the pod's own service account.

    Args:
        context: Value of ``--kube-context``; None or empty if it was not given.
        env: The job's environment.
        service_account: Directory of the mounted service account.

    Raises:
        UsageError: No cluster is known, the file is unreadable, or several contexts and none chosen.
    """
    files = env.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in files.split(os.pathsep) if part]
    if not paths:
        home = Path(env["HOME"]) if env.get("HOME") else Path.home()
        paths = [home / ".kube" / "config"]
    found = [path for path in paths if path.is_file()]
    if found:
        name, chosen_by = _choose(context, env, _read_contexts(found), files=", ".join(map(str, found)))
        return Target(name, chosen_by, os.pathsep.join(map(str, found)), service_account, env)
    if files:
        raise UsageError(
            f"no cluster: KUBECONFIG names {files}, and no such file exists",
            hint="check the variable's type (it must be a file) and that the agent still authorises this project",
        )
    if env.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").is_file():
        if context:
            raise UsageError(
                f"no kubeconfig has the context {context}: there is only the pod's own service account",
                hint=_MINIMUM,
            )
        return Target("in-cluster", "service account of the pod", "", service_account, env)
    raise UsageError(
        "no cluster: neither a kubeconfig nor a mounted service account was found",
        why=f"looked for KUBECONFIG, {paths[0]} and {service_account}/token",
        hint=_MINIMUM,
    )


def _choose(context: str | None, env: Mapping[str, str], contexts: _Contexts, *, files: str) -> tuple[str, str]:
    wishes = [(context or "", "--kube-context"), *((env.get(name, ""), name) for name in CONTEXT_VARIABLES)]
    wishes.append((contexts.current, "current-context"))
    listed = "".join(f"\n  {name}" for name in contexts.names)
    for name, chosen_by in wishes:
        if not name:
            continue
        if name in contexts.names:
            return name, chosen_by
        near = get_close_matches(name, contexts.names, n=1)
        raise UsageError(
            f"kubeconfig {files} has no context {name} ({chosen_by}); it has:{listed or ' none'}",
            hint=f"did you mean {near[0]}?" if near else "choose one of them with --kube-context or KUBE_CONTEXT",
        )
    if len(contexts.names) == 1:
        return contexts.names[0], "the only context"
    if not contexts.names:
        raise UsageError(f"kubeconfig {files} has no context", hint=_MINIMUM)
    raise UsageError(
        f"kubeconfig {files} has several contexts and none is chosen:{listed}",
        why="GitLab's agent writes one context per agent and chooses none",
        hint="choose one with --kube-context, or with the variable KUBE_CONTEXT",
    )


def _read_contexts(paths: list[Path]) -> _Contexts:
    """Read the names as client-go merges them: the first file that says something wins."""
    names: list[str] = []
    current = ""
    for path in paths:
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            entries = document.get("contexts") or []
            names += [str(entry["name"]) for entry in entries if str(entry["name"]) not in names]
            current = current or str(document.get("current-context") or "")
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
            # Never the content: a kubeconfig holds tokens, and YAML errors quote lines.
            raise UsageError(
                f"kubeconfig {path} cannot be read",
                why=_where(error),
                hint="look at it with: kubectl config view",
            ) from None
    return _Contexts(tuple(names), current)


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"not YAML, line {mark.line + 1}, column {mark.column + 1}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not a kubeconfig (contexts must be a list of objects with a name)"


def load_configuration(target: Target) -> Any:
    """Load credentials and address with the official client; returns ``kubernetes.client.Configuration``.

    Raises:
        UsageError: The kubeconfig is incomplete, or a file that it names is missing.
    """
    from kubernetes.config.config_exception import ConfigException

    try:
        try:
            configuration = _load(target)
        except OSError:
            if not _use_memory_for_files():
                raise
            configuration = _load(target)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"context {target.context}: its credentials or its address cannot be loaded",
            why=str(error) if isinstance(error, (ConfigException, OSError)) else "the kubeconfig is malformed",
            hint=f"check it with: kubectl --context {target.context} version",
        ) from None
    _adjust(configuration, target.env)
    return configuration


def _load(target: Target) -> Any:
    from kubernetes.client import Configuration
    from kubernetes.config.incluster_config import InClusterConfigLoader
    from kubernetes.config.kube_config import load_kube_config

    configuration = Configuration()
    if target.files:
        load_kube_config(target.files, target.context, configuration, persist_config=False)
    else:
        mount = target.service_account
        InClusterConfigLoader(
            token_filename=str(mount / "token"), cert_filename=str(mount / "ca.crt"), environ=target.env
        ).load_and_set(configuration)
    return configuration


def _use_memory_for_files() -> bool:
    """Let temporary files be written to memory; say whether that is anything new.

    The official client writes certificates of the kubeconfig to temporary files. On a full disk, or one that cannot
    be written, a rollback would fail for that alone.
    """
    if tempfile.tempdir == MEMORY or not os.access(MEMORY, os.W_OK):
        return False
    tempfile.tempdir = MEMORY
    return True


def _adjust(configuration: Any, env: Mapping[str, str]) -> None:
    configuration.connection_pool_maxsize = POOL_SIZE
    if not configuration.ssl_ca_cert and env.get("SSL_CERT_FILE"):
        # An agent server (KAS) with a private CA: GitLab's documentation names this variable. Old clients
        # would use certifi's bundle instead.
        configuration.ssl_ca_cert = env["SSL_CERT_FILE"]
    if urlsplit(configuration.host).hostname in ("127.0.0.1", "localhost", "::1"):
        configuration.proxy = None
