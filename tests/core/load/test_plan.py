"""Plans: bounds, mixes, bodies from data, and nothing that could be smuggled into a request."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.profile import Stage
from gitlab_mesh.core.load.request import RequestPlan
from gitlab_mesh.errors import UsageError

URL = "http://127.0.0.1:8080/base?a=b"


def plan(*requests: RequestPlan, **values: object) -> LoadPlan:
    return LoadPlan(url=URL, rate=10, duration_seconds=1, requests=requests, **values)  # type: ignore[arg-type]


def test_rows_fill_path_headers_and_body_and_the_path_is_escaped() -> None:
    request = RequestPlan(
        "buy", "POST", "/items/{{ id }}?q={{q}}", {"X-User": "u{{ id }}"}, '{"name": "{{ q }}"}',
        rows=({"id": "1", "q": "a b&c"}, {"id": "2/3", "q": "ü"}),
    )  # fmt: skip
    first, second = plan(request).packets()[0]
    assert first.startswith(b"POST /items/1?q=a%20b%26c HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nX-User: u1\r\n")
    assert first.endswith(b'content-length: 17\r\n\r\n{"name": "a b&c"}')
    assert second.startswith(b"POST /items/2%2F3?q=%C3%BC ")
    assert second.endswith('{"name": "ü"}'.encode())


def test_common_headers_give_way_to_a_requests_own() -> None:
    packet = plan(RequestPlan(headers={"host": "shop.example", "B": "2"}), headers={"Host": "x", "A": "1"}).packets()[
        0
    ][0]
    assert packet == b"GET /base?a=b HTTP/1.1\r\nA: 1\r\nhost: shop.example\r\nB: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (RequestPlan(method="GET / HTTP/1.1\r\nX:"), "no HTTP method"),
        (RequestPlan(path="http://elsewhere.example/"), "does not begin with /"),
        (RequestPlan(path="/a b"), "blank"),
        (RequestPlan(path="/\r\nX: y"), "control"),
        (RequestPlan(headers={"X": "a\r\nY: b"}), "cannot be sent"),
        (RequestPlan(headers={"X Y": "a"}), "cannot be sent"),
        (RequestPlan(headers={"X": "{{ v }}"}, rows=({"v": "a\nb"},)), "cannot be sent"),
        (RequestPlan(path="/{{ id }}"), "nothing fills"),
        (RequestPlan(path="/{{ id }}", rows=({"other": "1"},)), "nothing fills"),
        (RequestPlan(headers={"X": "日本"}), "Latin-1"),
        (RequestPlan(body=b"x" * 1000, rows=({},) * 70_000), "more than 64 MB"),
    ],
)
def test_what_cannot_be_sent_is_said_before_the_run(request_: RequestPlan, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        plan(request_).packets()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_rate": 5}, "more than the 5 allowed"),
        ({"stages": (Stage(60_000, 1),)}, "more than the 50000 allowed"),
        ({"stages": (Stage(1, 90_000),)}, "a run may last 86400 s"),
        ({"requests": (RequestPlan("a"), RequestPlan("a"))}, "names of their own"),
        ({"requests": (RequestPlan("a", weight=0),)}, "weight must be above 0"),
        ({"url": "http://127.0.0.1:port/"}, "not an http"),
        ({"url": "http://[::1/"}, "not an http"),
        ({"url": "http://127.0.0.1@shop.example/"}, "shop.example may not be loaded"),
    ],
)
def test_a_plan_out_of_bounds_does_not_exist(values: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        LoadPlan(**{"url": URL, "rate": 10, "duration_seconds": 1, **values})  # type: ignore[arg-type]


def test_ipv6_loopback_is_loopback() -> None:
    assert LoadPlan(url="http://[::1]:80/", rate=1, duration_seconds=1).parts.hostname == "::1"
