"""The engine against TLS that fails, names that do not exist, bodies without end, servers that come and go."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import LoadEngine, LoadPlan, LoadResult, run_load
from gitlab_mesh.core.load.checks import AnswerChecks
from gitlab_mesh.core.load.plan import TlsPlan
from gitlab_mesh.core.load.profile import Stage
from gitlab_mesh.core.load.request import RequestPlan
from gitlab_mesh.errors import TransientError, UsageError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[[int, bytes, asyncio.StreamWriter], Awaitable[None]]


def drive(answer: Answer, secure: ssl.SSLContext | None = None, **plan: object) -> LoadResult:
    """Run a plan against a server; ``answer`` gets the request's number and head."""

    async def run() -> LoadResult:
        numbers = itertools.count()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    await answer(next(numbers), head, writer)
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=secure)
        scheme = "https" if secure else "http"
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        values: dict[str, object] = {"rate": 100, "duration_seconds": 0.3, "timeout_seconds": 5.0}
        try:
            return await LoadEngine(LoadPlan(url=url, **values | plan)).run()  # type: ignore[arg-type]
        finally:
            server.close()
            await server.wait_closed()

    return asyncio.run(run())


async def good(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], Path]) -> Path:
    """An authority, and certificates of a server (127.0.0.1, shop.example) and of a client."""
    directory = tmp_path_factory.mktemp("pki")
    program = require_tool("openssl")

    def openssl(*argv: str) -> None:
        subprocess.run([program, *argv], cwd=directory, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:shop.example\n")
    for name in ("server", "client"):
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return directory


def server_tls(pki: Path, *, client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    if client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki / "ca.pem")
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the handshake itself fails without a certificate
    return context


def test_https_with_an_authority_of_our_own(pki: Path) -> None:
    result = drive(good, server_tls(pki), tls=TlsPlan(ca=str(pki / "ca.pem")))
    assert (result.requests, result.failed) == (30, 0)
    named = TlsPlan(ca=str(pki / "ca.pem"), server_name="shop.example")
    assert drive(good, server_tls(pki), tls=named).failed == 0


@pytest.mark.parametrize("tls", [{}, {"ca": "ca.pem", "server_name": "other.example"}])
def test_a_certificate_that_nobody_vouches_for_is_a_tls_error(pki: Path, tls: dict[str, str]) -> None:
    if "ca" in tls:
        tls = {**tls, "ca": str(pki / tls["ca"])}
    result = drive(good, server_tls(pki), tls=TlsPlan(**tls))
    assert result.errors == {"tls": 30}


def test_mutual_tls(pki: Path) -> None:
    ours = TlsPlan(str(pki / "ca.pem"), str(pki / "client.pem"), str(pki / "client.key"))
    assert drive(good, server_tls(pki, client=True), tls=ours).failed == 0
    without = drive(good, server_tls(pki, client=True), tls=TlsPlan(ca=str(pki / "ca.pem")))
    assert set(without.errors) <= {"tls", "reset", "connect"}
    assert without.failed == without.requests == 30


def test_a_certificate_that_cannot_be_read_is_said_before_the_run(pki: Path) -> None:
    with pytest.raises(UsageError, match="TLS files cannot be used"):
        drive(good, server_tls(pki), tls=TlsPlan(ca=str(pki / "names")))


def test_plain_text_where_tls_is_expected_is_no_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        plan = LoadPlan(
            f"https://127.0.0.1:{silent.getsockname()[1]}/", rate=20, duration_seconds=0.2, timeout_seconds=0.3
        )
        result = run_load(plan)
    assert result.failed == result.requests == 4
    assert result.duration_seconds < 2


def test_a_name_that_does_not_exist_ends_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    plan = LoadPlan("http://no.example/", rate=10, duration_seconds=60, allowed_hosts=("no.example",))
    with pytest.raises(TransientError, match=r"no\.example has no address"):
        run_load(plan)


@pytest.mark.parametrize("framing", [b"", b"content-length: 99999999999\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_body_without_end_is_cut(framing: bytes) -> None:
    async def endless(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        piece = b"1000\r\n" + b"x" * 4096 + b"\r\n" if b"chunked" in framing else b"x" * 4096
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()

    result = drive(endless, rate=20, duration_seconds=0.2, max_body_bytes=100_000)
    assert result.errors == {"oversize": 4}


def test_slow_headers_end_at_the_deadline() -> None:
    async def drip(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    result = drive(drip, rate=20, duration_seconds=0.2, timeout_seconds=0.4)
    assert result.errors == {"timeout": 4}
    assert result.latency.count == 4  # what nobody answered counts with its whole waiting time
    assert result.latency.quantile(0.5) == pytest.approx(0.45, abs=0.15)


def test_a_server_that_refuses_and_comes_back() -> None:
    """Refused from 0 to 0.5 s, there from then on: the errors stop, and nothing hangs."""

    async def run() -> LoadResult:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(OK)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        engine = LoadEngine(LoadPlan(f"http://127.0.0.1:{port}/", rate=100, duration_seconds=1.5))
        load = asyncio.create_task(engine.run())
        await asyncio.sleep(0.5)
        server = await asyncio.start_server(handle, "127.0.0.1", port)
        result = await load
        server.close()
        await server.wait_closed()
        return result

    result = asyncio.run(run())
    assert result.requests == 150
    assert set(result.errors) == {"connect"}
    assert 20 <= result.failed <= 110
    late = [one for start, one in result.slices.entries() if start >= 1.0]
    assert sum(one.errors for one in late) == 0


def test_no_socket_is_left_open() -> None:
    async def refuse_half(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        if number % 3 == 0:
            raise ConnectionError
        if number % 3 == 1:
            await asyncio.sleep(0.5)
        writer.write(OK)

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    drive(good)
    before = count()
    for _ in range(3):
        result = drive(refuse_half, rate=200, timeout_seconds=0.3)
        assert set(result.errors) == {"reset", "timeout"}
    assert count() <= before


def test_checks_count_what_fails_and_what_passes() -> None:
    async def mixed(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        body = b'{"ok": true}' if number % 2 else b'{"ok": false}'
        status = b"404 No" if number % 10 == 0 else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nx-app: 1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    checks = AnswerChecks(status=((200, 299),), headers={"x-app": ""}, json={"ok": "true"}, max_bytes=12)
    result = drive(mixed, requests=(RequestPlan("one", checks=checks),), rate=200, duration_seconds=0.5)
    assert result.kinds["one"].checks == {
        "status": [90, 10], "header x-app": [100, 0], "json ok": [50, 50], "body size": [50, 50],
    }  # fmt: skip
    assert result.errors == {"status": 10, "check": 40}


def test_kinds_are_mixed_by_weight_and_measured_apart() -> None:
    async def by_path(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        if head.startswith(b"GET /slow"):
            await asyncio.sleep(0.05)
        writer.write(OK)

    kinds = (RequestPlan("fast", weight=4), RequestPlan("slow", path="/slow"))
    result = drive(by_path, requests=kinds, rate=400, duration_seconds=1.0, seed=7)
    fast, slow = result.kinds["fast"], result.kinds["slow"]
    assert fast.requests + slow.requests == 400
    assert slow.requests == pytest.approx(80, abs=30)
    assert slow.latency.quantile(0.1) >= 0.05 > fast.latency.quantile(0.5)


def test_head_has_no_body() -> None:
    async def head_only(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")

    result = drive(head_only, method="HEAD")
    assert (result.requests, result.failed) == (30, 0)


def test_stages_follow_the_profile() -> None:
    stages = (Stage(200, 0.5, 0.0), Stage(200, 0.5), Stage(0, 0.25), Stage(40, 0.5))
    result = drive(good, stages=stages)
    assert result.requests == 170
    slices = dict(result.slices.entries())
    assert slices[0.5].requests == slices[0.75].requests == 50
    assert 1.0 not in slices
    assert slices[1.25].requests == 10


def test_a_target_that_stands_still_gets_no_storm_of_connections() -> None:
    """Its accept queue would overflow, and the repetitions of TCP would be measured instead of the stall."""
    opened: list[int] = []

    async def stall(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        opened.append(id(writer))
        if number >= 100:
            await asyncio.sleep(max(0.0, began + 1.0 - asyncio.get_running_loop().time()))
        elif number == 99:
            began_at()
        writer.write(OK)

    began = 0.0

    def began_at() -> None:
        nonlocal began
        began = asyncio.get_running_loop().time()

    result = drive(stall, rate=500, duration_seconds=1.5, connections=1000)
    assert result.failed == 0
    assert len(set(opened)) <= 250  # one each would be 500
    assert not any("connections" in limit for limit in result.limits)
    assert result.latency.maximum_seconds == pytest.approx(1.0, abs=0.4)
