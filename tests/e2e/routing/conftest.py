"""Both worlds, once for all shapes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.mesh.mesh import Mesh
from tests.e2e.routing.worlds import Emulated, Real


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """The sandbox's Envoy."""
    with Emulated.start(tmp_path_factory.mktemp("emulated")) as world:
        yield world


@pytest.fixture(scope="session")
def real(mesh: Mesh) -> Real:
    """istiod, its ingress gateway and a client's sidecar."""
    return Real.deploy(mesh)
