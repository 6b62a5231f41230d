"""An API server with two users, in process and over HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitlab_mesh.sandbox.apiserver.certificate import Certificate, make_certificate
from gitlab_mesh.sandbox.apiserver.http_server import HttpServer
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.sandbox.apiserver.store import ObjectStore
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import ADMIN, VIEWER


@pytest.fixture
def api() -> ApiServer:
    return ApiServer([ADMIN, VIEWER], ObjectStore(seed=7))


@pytest.fixture
def cluster(api: ApiServer) -> MemoryCluster:
    return MemoryCluster(api, user=ADMIN, namespaces=["shop"])


@pytest.fixture
def viewer(api: ApiServer) -> MemoryCluster:
    return MemoryCluster(api, user=VIEWER, manager="viewer")


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return make_certificate()


@pytest.fixture
def http(api: ApiServer, cluster: MemoryCluster, certificate: Certificate) -> Iterator[HttpServer]:
    """The server of ``api`` over HTTPS; namespace shop exists."""
    with HttpServer(api, certificate=certificate) as server:
        yield server


@pytest.fixture
def kubeconfig(http: HttpServer, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(http.render_kubeconfig(ADMIN.token, namespace="shop"))
    return path
