"""Logs of containers through the real client; nothing runs on a kube-apiserver without nodes, so only here."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitlab_mesh.adapters.kubernetes.client import KubernetesPodProxy, connect
from gitlab_mesh.errors import TransientError, UsageError
from gitlab_mesh.sandbox.apiserver.http_server import Fault, HttpServer
from gitlab_mesh.sandbox.apiserver.kubeconfig import render_kubeconfig
from gitlab_mesh.testing.cluster import ADMIN, MemoryCluster
from tests.contract.api_objects import pod


def test_the_last_lines_of_a_container(tmp_path: Path) -> None:
    cluster = MemoryCluster(namespaces=["shop"])
    cluster.create(pod(namespace="shop"))
    asked: list[tuple[str, str, str]] = []

    def log(namespace: str, name: str, container: str) -> bytes:
        asked.append((namespace, name, container))
        return b"one\ntwo\n\xffthree\n"

    with HttpServer(cluster.server) as http:
        config = tmp_path / "kubeconfig"
        config.write_text(render_kubeconfig(http.url, ADMIN.token))
        connection = connect(None, {"KUBECONFIG": str(config)}, sleep=lambda _: None)
        proxy = KubernetesPodProxy(connection)
        with pytest.raises(UsageError, match="has no log"):
            proxy.get_log("shop", "shop-1", "app", lines=2, timeout=5)
        cluster.server.pod_logs = log
        assert proxy.get_log("shop", "shop-1", "app", lines=2, previous=True, timeout=5) == "two\n\ufffdthree\n"
        assert asked == [("shop", "shop-1", "app")]
        http.fault = lambda request: Fault(hang=True)
        with pytest.raises(TransientError):
            proxy.get_log("shop", "shop-1", "app", lines=2, timeout=0.2)
        connection.close()
