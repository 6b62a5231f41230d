"""The HTTP side: TLS, keep-alive, restarts on the same port, faults, what kubectl asks apart from objects."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from gitlab_mesh.sandbox.apiserver.certificate import Certificate, make_certificate
from gitlab_mesh.sandbox.apiserver.http_server import Fault, HttpServer
from gitlab_mesh.sandbox.apiserver.messages import Request
from gitlab_mesh.sandbox.apiserver.server import ApiServer
from gitlab_mesh.testing.cluster import MemoryCluster
from tests.sandbox.apiserver.objects import ADMIN, config_map

AS_ADMIN = {"Authorization": f"Bearer {ADMIN.token}"}
MAPS = "/api/v1/namespaces/shop/configmaps"


@contextmanager
def connect(server: HttpServer, timeout: float = 5) -> Iterator[http.client.HTTPConnection]:
    place = urlsplit(server.url)
    assert place.hostname
    if server.certificate:
        context = ssl.create_default_context(cadata=server.certificate.certificate_pem)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            place.hostname, place.port, context=context, timeout=timeout
        )
    else:
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    with closing(connection):
        yield connection


def get(connection: http.client.HTTPConnection, path: str = MAPS) -> tuple[int, bytes]:
    connection.request("GET", path, headers=AS_ADMIN)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture
def plain(api: ApiServer, cluster: MemoryCluster) -> Iterator[HttpServer]:
    with HttpServer(api) as server:
        yield server


def test_a_verifying_client_trusts_the_certificate_and_no_other(http: HttpServer) -> None:
    context = ssl.create_default_context(cadata=http.certificate.certificate_pem if http.certificate else None)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with connect(http) as connection:
        assert get(connection)[0] == 200
    other = HttpServer(http.api, certificate=make_certificate())
    other._address = http._address
    with connect(other) as connection, pytest.raises(ssl.SSLCertVerificationError):
        get(connection)


def test_a_certificate_is_made_anew_each_time(certificate: Certificate) -> None:
    assert make_certificate().certificate_pem != certificate.certificate_pem


def test_one_connection_serves_many_requests_fast(http: HttpServer, cluster: MemoryCluster) -> None:
    cluster.create(config_map("a"))
    with connect(http) as connection:
        assert get(connection, f"{MAPS}/a")[0] == 200
        socket = connection.sock
        begin = time.perf_counter()
        for _ in range(50):
            assert get(connection, f"{MAPS}/a")[0] == 200
        # a delayed acknowledgement against Nagle would cost 40 ms each
        assert (time.perf_counter() - begin) / 50 < 0.03
        assert connection.sock is socket


def test_the_state_outlives_a_stop_and_the_port_stays(plain: HttpServer, cluster: MemoryCluster) -> None:
    cluster.create(config_map("a"))
    url = plain.url
    with connect(plain) as connection:
        assert get(connection)[0] == 200
        plain.stop()
        with pytest.raises((OSError, http.client.HTTPException)):
            get(connection)
    with connect(plain) as connection, pytest.raises(ConnectionRefusedError):
        get(connection)
    plain.start()
    assert plain.url == url
    with connect(plain) as connection:
        assert json.loads(get(connection)[1])["items"][0]["metadata"]["name"] == "a"


def test_a_watch_over_http_ends_with_the_server(http: HttpServer, cluster: MemoryCluster) -> None:
    cluster.create(config_map("a"))
    with connect(http) as connection:
        connection.request("GET", f"{MAPS}?watch=true", headers=AS_ADMIN)
        answer = connection.getresponse()
        assert json.loads(answer.readline())["type"] == "ADDED"
        threading.Thread(target=http.stop).start()
        assert answer.read() == b""


def test_a_client_that_leaves_a_watch_frees_its_thread(plain: HttpServer) -> None:
    before = threading.active_count()
    with connect(plain) as connection:
        connection.request("GET", f"{MAPS}?watch=true", headers=AS_ADMIN)
        connection.getresponse()
        assert threading.active_count() == before + 1
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        threading.Event().wait(0.02)
    assert threading.active_count() == before


def fault_on(method: str, fault: Fault) -> Callable[[Request], Fault | None]:
    return lambda request: fault if request.method == method else None


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault(status=500), 500), (Fault(status=429, retry_after_seconds=3), 429)]
)
def test_a_fault_can_be_an_answer(plain: HttpServer, fault: Fault, status: int) -> None:
    plain.fault = fault_on("GET", fault)
    with connect(plain) as connection:
        connection.request("GET", MAPS, headers=AS_ADMIN)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert (answer.status, body["code"], body["kind"]) == (status, status, "Status")
        assert answer.getheader("Retry-After") == ("3" if status == 429 else None)
        plain.fault = None
        assert get(connection)[0] == 200


def test_a_fault_can_be_a_delay(plain: HttpServer) -> None:
    plain.fault = fault_on("GET", Fault(delay_seconds=0.2))
    with connect(plain) as connection:
        begin = time.monotonic()
        assert get(connection)[0] == 200
        assert time.monotonic() - begin >= 0.2


def test_a_fault_can_be_silence(plain: HttpServer) -> None:
    plain.fault = fault_on("GET", Fault(hang=True))
    with connect(plain, timeout=0.2) as connection, pytest.raises(TimeoutError):
        get(connection)


@pytest.mark.parametrize(("fault", "done"), [(Fault(reset=True), False), (Fault(lose_answer=True), True)])
def test_a_fault_can_be_a_reset_before_or_after_the_work(
    http: HttpServer, cluster: MemoryCluster, fault: Fault, done: bool
) -> None:
    http.fault = fault_on("POST", fault)
    with connect(http) as connection:
        connection.request("POST", MAPS, body=json.dumps(config_map("a")), headers=AS_ADMIN)
        with pytest.raises(ConnectionResetError):
            connection.getresponse()
    assert bool(cluster.list("ConfigMap", "shop")) is done


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/version", 200),
        ("/api", 200),
        ("/apis", 200),
        ("/api/v1", 200),
        ("/apis/apps", 200),
        ("/apis/apps/v1", 200),
        ("/apis/networking.istio.io/v1alpha3", 200),
        ("/apis/networking.istio.io/v9", 404),
        ("/openapi/v2", 200),
        ("/openapi/v3", 200),
        ("/openapi/v3/apis/apps/v1", 200),
        ("/openapi/v3/apis/none/v1", 404),
        ("/metrics", 404),
        ("/api/v1/namespaces/shop/nothings", 404),
        ("/api/v1/namespaces/shop/configmaps/a/scale", 404),
        ("/apis/networking.istio.io/v1/virtualservices/without-namespace", 404),
        ("/", 404),
    ],
)
def test_discovery_and_what_is_not_served(api: ApiServer, path: str, status: int) -> None:
    answer = api.handle(Request("GET", path, headers={"authorization": f"Bearer {ADMIN.token}"}))
    assert answer.status == status


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", f"{MAPS}/a/status"), ("POST", f"{MAPS}/a"), ("PUT", MAPS), ("POST", "/api/v1/configmaps")],
)
def test_methods_that_do_not_fit_the_path(api: ApiServer, method: str, path: str) -> None:
    answer = api.handle(Request(method, path, headers={"authorization": f"Bearer {ADMIN.token}"}, body=b"{}"))
    assert answer.status in (404, 405)


def test_writers_at_the_same_time_lose_no_update(http: HttpServer, cluster: MemoryCluster) -> None:
    cluster.create(config_map("counter", n="0"))

    def count() -> None:
        with connect(http, timeout=30) as connection:
            for _ in range(10):
                while True:
                    live = json.loads(get(connection, f"{MAPS}/counter")[1])
                    live["data"]["n"] = str(int(live["data"]["n"]) + 1)
                    connection.request("PUT", f"{MAPS}/counter", body=json.dumps(live), headers=AS_ADMIN)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 200:
                        break
                    assert answer.status == 409

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert cluster.get("ConfigMap", "shop", "counter")["data"] == {"n": "40"}
