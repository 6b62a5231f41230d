"""A kubeconfig for one user of the sandbox."""

from __future__ import annotations

import json

__all__ = ["render_kubeconfig"]


def render_kubeconfig(url: str, token: str, *, namespace: str = "default") -> str:
    """Return a kubeconfig (JSON, which every reader of YAML reads) with one context.

    Args:
        url: Of the API server, ``http://127.0.0.1:PORT``.
        token: Bearer token of the user.
        namespace: Of the context.
    """
    name = "gitlab-mesh-sandbox"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    return json.dumps(config, indent=2) + "\n"
