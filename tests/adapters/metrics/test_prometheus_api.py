"""Prometheus' HTTP API: authentication, every kind of bad answer, bounds in time and size."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from gitlab_mesh.adapters.metrics import prometheus_api
from gitlab_mesh.adapters.metrics.prometheus_api import PrometheusApi, QueryError
from gitlab_mesh.errors import AccessDeniedError, TransientError


def ask(address: str, timeout: float = 5.0, **env: str) -> Any:
    return PrometheusApi(address, env).query("up", deadline=time.monotonic() + timeout)


def test_the_address_keeps_its_path(prometheus: Any) -> None:
    PrometheusApi(prometheus.address + "/prom/", {}).query("up", deadline=time.monotonic() + 5, at=12.5)
    (request,) = prometheus.requests
    assert request.path == "/prom/api/v1/query"
    assert request.form == {"query": "up", "time": "12.5"}
    assert "Authorization" not in request.headers
    assert request.headers["Accept-Encoding"] == "identity"


def test_tokens(prometheus: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password stolen\n")
    monkeypatch.setenv("NETRC", str(netrc))
    ask(prometheus.address, GITLAB_MESH_PROMETHEUS_TOKEN="abc.def")
    ask(prometheus.address, GITLAB_MESH_PROMETHEUS_TOKEN="reader:pass:word")
    bearer, basic = (request.headers["Authorization"] for request in prometheus.requests)
    assert bearer == "Bearer abc.def"
    assert basic == "Basic " + base64.b64encode(b"reader:pass:word").decode()


@pytest.mark.parametrize("status", [401, 403])
def test_denied(prometheus: Any, status: int) -> None:
    prometheus.answer = lambda request: (status, {"Content-Type": "text/plain"}, b"no")
    with pytest.raises(AccessDeniedError, match=str(status)) as caught:
        ask(prometheus.address, GITLAB_MESH_PROMETHEUS_TOKEN="sesame")
    assert "GITLAB_MESH_PROMETHEUS_TOKEN" in caught.value.hint
    assert "sesame" not in str(caught.value)


def test_a_login_in_the_address_is_never_shown(prometheus: Any) -> None:
    address = prometheus.address.replace("://", "://user:hush@")
    prometheus.answer = lambda request: (503, {}, b"down")
    with pytest.raises(TransientError) as caught:
        ask(address)
    assert "hush" not in str(caught.value)
    with pytest.raises(TransientError) as caught:
        ask("http://user:hush@127.0.0.1:1/")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "body", "message"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>Log in</html>", "answered 200 (text/html), not its JSON"),
        (200, {}, b"", "answered 200 (no content type), not its JSON"),
        (200, {}, b"\xff\xfe\x00", "not its JSON"),
        (200, {}, b"[]", "not its JSON"),
        (200, {}, b'{"status": "success"}', "success without data"),
        (200, {}, b'{"status": "success", "data": {"resultType": "vector"}}', "success without data"),
        (302, {"Location": "https://login.example"}, b"", "answered 302"),
        (404, {}, b"404 page not found", "answered 404"),
        (502, {}, b"Bad Gateway", "answered 502"),
        (200, {}, b'{"status": "success", "da', "not its JSON"),
    ],
)
def test_what_is_not_prometheus_is_said(
    prometheus: Any, status: int, headers: dict[str, str], body: bytes, message: str
) -> None:
    prometheus.answer = lambda request: (status, headers, body)
    with pytest.raises(TransientError) as caught:
        ask(prometheus.address)
    assert message in caught.value.what
    assert prometheus.address in caught.value.what
    assert len(prometheus.requests) == 1


@pytest.mark.parametrize(("status", "kind"), [(400, "bad_data"), (422, "execution"), (503, "timeout")])
def test_prometheus_own_errors_carry_their_text(prometheus: Any, kit: Any, status: int, kind: str) -> None:
    prometheus.answer = lambda request: kit.error(status, kind, "because")
    with pytest.raises(QueryError, match=f"answered {status}: {kind}: because") as caught:
        ask(prometheus.address)
    assert caught.value.kind == kind
    assert caught.value.why == "the query: up"


def test_warnings_are_handed_on(prometheus: Any, kit: Any) -> None:
    prometheus.answer = lambda request: kit.data("vector", [], warnings=["partial"], infos=["fine"])
    assert ask(prometheus.address).warnings == ("partial",)


def test_a_body_that_ends_early(prometheus: Any) -> None:
    prometheus.answer = lambda request: (200, {"Content-Length": "100", "Connection": "close"}, b'{"status"')
    with pytest.raises(TransientError, match="cannot be reached"):
        ask(prometheus.address, timeout=0.5)


def test_a_huge_body_is_not_kept(prometheus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_api, "MAX_BODY_BYTES", 1 << 20)
    prometheus.answer = lambda request: (200, {}, b"x" * (3 << 20))
    with pytest.raises(TransientError, match="larger than 1 MiB"):
        ask(prometheus.address)


def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(TransientError, match="cannot be reached") as caught:
            ask(f"http://127.0.0.1:{port}")
    assert "metrics.address" in caught.value.hint


Talk = Callable[[socket.socket, threading.Event], None]
Talker = Callable[..., str]


@pytest.fixture
def talker() -> Iterator[Talker]:
    """Start a server that talks bytes as it likes."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def start(talk: Talk, *, reads: bool = True) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                if reads:
                    connection.recv(65536)
                with contextlib.suppress(OSError):  # the client hangs up, as it should
                    talk(connection, stop)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def silent(connection: socket.socket, stop: threading.Event) -> None:
    stop.wait(10)


def dripping(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    while not stop.wait(0.02):
        connection.sendall(b" ")


def dripping_chunks(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not stop.wait(0.02):
        connection.sendall(b"1\r\n \r\n")


@pytest.mark.parametrize("talk", [silent, dripping, dripping_chunks])
def test_the_deadline_holds_however_slowly_the_answer_comes(talker: Talker, talk: Talk) -> None:
    address = talker(talk)
    start = time.monotonic()
    with pytest.raises(TransientError, match="did not answer in time"):
        ask(address, timeout=0.3)
    assert time.monotonic() - start < 2


def test_an_own_ca(
    require_tool: Callable[[str], Any], talker: Talker, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())  # outranks what a session says
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(str(require_tool("openssl")), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    body = b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}}'

    def talk(connection: socket.socket, stop: threading.Event) -> None:
        with tls.wrap_socket(connection.dup(), server_side=True) as encrypted:
            received = b""  # all of it: closing with unread bytes would reset the connection
            while b"query=up" not in received:
                received += encrypted.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            encrypted.sendall(head + body)

    def start() -> str:
        return talker(talk, reads=False).replace("http://", "https://")

    assert ask(start(), GITLAB_MESH_PROMETHEUS_CA=str(certificate)).result == [1, "1"]
    with pytest.raises(TransientError, match="certificate is not trusted") as caught:
        ask(start())
    assert "GITLAB_MESH_PROMETHEUS_CA" in caught.value.hint
    with pytest.raises(TransientError, match="cannot be reached"):
        ask("https://127.0.0.1:1", GITLAB_MESH_PROMETHEUS_CA=str(tmp_path / "missing.pem"))


def test_garbage_instead_of_http(talker: Talker) -> None:
    address = talker(lambda connection, stop: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"))
    with pytest.raises(TransientError, match="cannot be reached"):
        ask(address)


def test_a_chunked_body_that_breaks_off(talker: Talker) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"
    with pytest.raises(TransientError, match="cannot be reached"):
        ask(talker(lambda connection, stop: connection.sendall(head)))
