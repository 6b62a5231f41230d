"""A server whose certificate nobody vouches for is a mistake of the configuration, not a fault that passes."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitlab_mesh.adapters.kubernetes.client import KubernetesCluster, connect
from gitlab_mesh.errors import GitlabMeshError, UsageError
from gitlab_mesh.testing.clock import FakeClock

from .scripted_api import kubeconfig


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], Path]) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "cert.pem"
    command = [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return key, certificate


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"kind": "ConfigMap", "metadata": {"name": "a"}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """A client that refuses the handshake is what the test wants."""

    server = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def get(url: str, directory: Path, clock: FakeClock, **cluster: Any) -> None:
    document = kubeconfig(url, "ctx")
    document["clusters"][0]["cluster"].update(cluster)
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    connection = connect(None, {"KUBECONFIG": str(path)}, sleep=clock.sleep)
    try:
        assert KubernetesCluster(connection).get("ConfigMap", "shop", "a")["metadata"] == {"name": "a"}
    finally:
        connection.close()


def test_a_certificate_that_nobody_vouches_for(server: str, tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(UsageError, match=r"certificate is not trusted(.|\n)*certificate-authority") as caught:
        get(server, tmp_path, clock)
    assert caught.value.exit_code == 2
    assert clock.sleeps == []


def test_the_ca_of_the_kubeconfig(
    server: str, certificate: tuple[Path, Path], tmp_path: Path, clock: FakeClock
) -> None:
    get(server, tmp_path, clock, **{"certificate-authority": str(certificate[1])})


def test_https_asked_of_a_server_that_speaks_http(api: Any, tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(GitlabMeshError, match="Kubernetes API https://127"):
        get(api.url.replace("http:", "https:"), tmp_path, clock)
