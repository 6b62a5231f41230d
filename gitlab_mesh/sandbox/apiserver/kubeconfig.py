"""A kubeconfig for one user of the sandbox."""

from __future__ import annotations

import base64
import json

__all__ = ["render_kubeconfig"]


def render_kubeconfig(url: str, token: str, *, authority_pem: str = "", namespace: str = "default") -> str:
    """Return a kubeconfig (JSON, which every reader of YAML reads) with one context.

    Args:
        url: Of the API server. With ``http://`` kubectl sends no token (the official Python client does).
        token: Bearer token of the user.
        authority_pem: Certificate that the client trusts, for ``https://``.
        namespace: Of the context.
    """
    name = "gitlab-mesh-sandbox"
    cluster = {"server": url}
    if authority_pem:
        cluster["certificate-authority-data"] = base64.b64encode(authority_pem.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    return json.dumps(config, indent=2) + "\n"
