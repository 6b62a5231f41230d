"""The life of the cluster's credential: GitLab's id_tokens are static JSON Web Tokens that nobody renews."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from gitlab_mesh.adapters.credentials import token_end, token_of
from gitlab_mesh.adapters.kubernetes.kubeconfig import find_target


def jwt(**claims: object) -> str:
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


def kubeconfig(path: Path, user: dict[str, object]) -> Path:
    document = {
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "ci"}}],
        "users": [{"name": "other", "user": {"token": jwt(exp=1)}}, {"name": "ci", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("token", "end"),
    [
        (jwt(exp=1_900_000_000), 1_900_000_000.0),
        (jwt(sub="no end"), None),
        (jwt(exp="never"), None),
        ("glcbt-not-a-jwt", None),
        ("ci:42:glcbt-64_abcdef", None),
        ("a.b.c", None),
        ("a.\N{SNOWMAN}.c", None),
        ("", None),
    ],
)
def test_the_end_of_a_token(token: str, end: float | None) -> None:
    assert token_end(token) == end


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ({"token": "static"}, "static"),
        ({"token": "static", "tokenFile": "/run/token"}, ""),
        ({"exec": {"command": "aws"}}, ""),
        ({}, ""),
    ],
)
def test_only_a_static_token_has_an_end(tmp_path: Path, user: dict[str, object], found: str) -> None:
    file = kubeconfig(tmp_path / "config", user)
    assert token_of(find_target("prod", {"KUBECONFIG": str(file)})) == found


def test_a_file_that_is_gone_meanwhile_is_nobodys_end(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"token": "static"})
    target = find_target("prod", {"KUBECONFIG": str(file)})
    file.unlink()
    assert token_of(target) == ""
