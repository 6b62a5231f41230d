"""Fixtures of the end-to-end tier: a real control plane. README.md beside this file says how to use them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.controlplane.control_plane import ControlPlane
from tests.e2e.controlplane.programs import Programs, find_programs, why_not

HERE = Path(__file__).parent
_REQUIRED = os.environ.get("GITLAB_MESH_REQUIRE_E2E") == "1"  # read before a fixture clears the environment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here has the tier's marker and its patience."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The built programs; without them the tier is skipped with the reason (a failure where it is required)."""
    problem = why_not()
    found = None if problem else find_programs()
    if found is not None:
        return found
    reason = problem or "not everything is built: `make e2e`, or python -m tests.e2e.controlplane.build"
    if _REQUIRED:
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def control_plane(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver on loopback, with the CRDs of Istio and the Gateway API; no controllers, no nodes."""
    with ControlPlane(programs, tmp_path_factory.mktemp("control-plane") / "cluster") as plane:
        plane.start()
        plane.install_crds()
        yield plane
