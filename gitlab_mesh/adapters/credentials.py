"""How long the cluster's credential lives, where that is known and nothing renews it.

A static token in a kubeconfig is often one of GitLab's ``id_tokens`` (a JSON Web Token that lives as long as the
job's timeout, or 5 minutes where GitLab knows none; GitLab docs, "OpenID Connect authentication using ID tokens").
GitLab gives a job no second one, so a release must be over before it ends. ``tokenFile``, ``exec`` and the mounted
service account are read anew by the client and have no end here; GitLab's agent has its own token, which is no JWT and
lives as long as the job.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from os import pathsep
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.kubernetes.kubeconfig import Target

__all__ = ["token_end", "token_of"]


def token_of(target: Target) -> str:
    """Return the static token of the context's user, "" where there is none or it renews itself; never raises."""
    import yaml

    for name in filter(None, target.files.split(pathsep)):
        try:
            document: Any = yaml.safe_load(Path(name).read_text(encoding="utf-8")) or {}
            context = _named(document.get("contexts"), target.context).get("context") or {}
            user = _named(document.get("users"), str(context.get("user"))).get("user") or {}
            if user and not {"tokenFile", "exec", "auth-provider"} & set(user):
                return str(user.get("token") or "")
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError):
            continue  # whoever connects says what is wrong with the file
    return ""


def _named(entries: Any, name: str) -> Mapping[str, Any]:
    return next((entry for entry in entries or () if entry.get("name") == name), {})


def token_end(token: str) -> float | None:
    """Return the claim ``exp`` (Unix seconds) of a JSON Web Token, None for anything else; unverified."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
