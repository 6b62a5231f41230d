"""Shared fixtures: a clean environment, tools with honest skips, fixed Hypothesis profiles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
"""Where `make tools` puts programs that tests need (gitlab-ci-local)."""

OPENAPI = ROOT.parent / "shared" / "gitlab-data" / "openapi_v3.subset.yaml"
"""GitLab's OpenAPI description; its licence (CC BY-SA 4.0) keeps it outside of the project."""

if TYPE_CHECKING:
    from gitlab_mesh.sandbox.gitlab.contract import Contract

settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the CI that it runs in, a proxy, a kubeconfig or a token of the person who runs it."""
    for name in list(os.environ):
        if name.startswith(("CI_", "GITLAB_", "KUBE")) or name in {"CI", "GITLAB_CI", "NO_COLOR", "FORCE_COLOR"}:
            if name != "GITLAB_MESH_REQUIRE_TOOLS":
                monkeypatch.delenv(name)
        elif name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], Path]:
    """Return the path of a program that a bare machine may lack.

    Without it the test is skipped with its reason; with GITLAB_MESH_REQUIRE_TOOLS=1 (CI) it fails, so that no tier
    that CI must have is skipped silently.
    """
    required = os.environ.get("GITLAB_MESH_REQUIRE_TOOLS") == "1"

    def find(name: str) -> Path:
        local = TOOLS / "bin" / name
        found = str(local) if local.exists() else shutil.which(name)
        if found:
            return Path(found)
        reason = f"{name} is not installed (README, section Development, lists what a bare machine lacks)"
        if required:
            pytest.fail(f"required here: {reason}")
        pytest.skip(reason)

    return find


@pytest.fixture(scope="session")
def gitlab_description() -> Contract | None:
    """GitLab's own description for emulated GitLabs to hold every request against; None where it is not at hand."""
    if not OPENAPI.exists() or find_spec("openapi_core") is None:
        return None
    from gitlab_mesh.sandbox.gitlab.contract import Contract

    return Contract.load(OPENAPI)


@pytest.fixture
def gitlab_contract(gitlab_description: Contract | None) -> Iterator[Contract | None]:
    """The same; a request or an answer that GitLab's description does not know fails the test that caused it."""
    if gitlab_description is None:
        yield None
        return
    gitlab_description.violations.clear()
    yield gitlab_description
    assert gitlab_description.violations == []
