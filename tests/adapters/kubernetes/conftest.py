"""Fixtures: a scripted API server, and a connection to it through a kubeconfig without current context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitlab_mesh.adapters.kubernetes.client import connect
from gitlab_mesh.adapters.kubernetes.connection import Connection
from gitlab_mesh.testing.clock import FakeClock

from .scripted_api import ScriptedApi, kubeconfig


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    api = ScriptedApi()
    yield api
    api.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def kubeconfig_file(tmp_path: Path, api: ScriptedApi) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(api.url, "group/agents:prod")))
    return path


@pytest.fixture
def open_connection(kubeconfig_file: Path, clock: FakeClock) -> Iterator[Callable[..., Connection]]:
    opened: list[Connection] = []

    def build(**options: Any) -> Connection:
        connection = connect(None, {"KUBECONFIG": str(kubeconfig_file)}, sleep=clock.sleep, **options)
        opened.append(connection)
        return connection

    yield build
    for connection in opened:
        connection.close()


@pytest.fixture
def connection(open_connection: Callable[..., Connection]) -> Connection:
    return open_connection()
