"""Fixtures of the end-to-end tier: a real control plane. README.md beside this file says how to use them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.controlplane.control_plane import ControlPlane
from tests.e2e.controlplane.programs import Programs, find_programs, why_not
from tests.e2e.mesh import isolation
from tests.e2e.mesh.mesh import Mesh
from tests.e2e.mesh.shop import Shop
from tests.e2e.runner import Runner

HERE = Path(__file__).parent
_REQUIRED = os.environ.get("GITLAB_MESH_REQUIRE_E2E") == "1"  # read before a fixture clears the environment


LEAST = {"contract": 200, "controlplane": 8, "jobs": 29, "mesh": 6, "routing": 100}
"""Suite → so many of its tests must have passed where the tier is required, so that nothing is skipped silently."""

_passed: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what passed, by suite: the folder, or "jobs" for the modules beside this file."""
    place = Path(report.nodeid.partition("::")[0]).parts  # the location may be where a shared test is defined
    if report.when == "call" and report.passed and place[:2] == ("tests", "e2e"):
        _passed[place[2] if len(place) > 3 else "jobs"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a required run of the whole tier in which a suite shrank."""
    whole = [Path(str(argument)).resolve() for argument in session.config.args] == [HERE]
    small = {suite: least for suite, least in LEAST.items() if _passed[suite] < least}
    if _REQUIRED and whole and small and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        said = ", ".join(f"{suite} {_passed[suite]} of {least}" for suite, least in small.items())
        sys.stderr.write(f"\nend-to-end tier: fewer tests than there must be: {said}\n")


def pytest_configure(config: pytest.Config) -> None:
    """Enter a network of our own; a worker of xdist stays where it was started."""
    if not hasattr(config, "workerinput") and not config.option.collectonly and not why_not():
        isolation.restart_inside(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here has the tier's marker and its patience."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))


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


@pytest.fixture(scope="session")
def mesh(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A cluster with Istio as istioctl installs it: ingress gateway, injection, STRICT mutual TLS, request metrics."""
    if not isolation.is_inside():
        pytest.fail("the end-to-end tier runs in one process: start pytest without -n")
    with Mesh(programs, tmp_path_factory.mktemp("mesh") / "mesh") as running:
        running.start()
        yield running
        assert running.node.problems == []


@pytest.fixture(scope="session")
def shop(mesh: Mesh) -> Shop:
    """The sandbox's shop on the real mesh, in namespace ``shop``; shared, so leave it as it was (``shop.reset``)."""
    return Shop.deploy(mesh)


@pytest.fixture(scope="session")
def _runner(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(shop, tmp_path_factory.mktemp("jobs") / "runner")


@pytest.fixture
def runner(_runner: Runner) -> Iterator[Runner]:
    """Runs jobs for the shop with the printed Role; afterwards the shop is as it was deployed."""
    _runner.configure()
    _runner.grant()
    yield _runner
    _runner.shop.reset()
