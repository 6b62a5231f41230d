"""From Istio's series to counts of two sides: labels, classes of errors, histograms."""

from __future__ import annotations

import math

import pytest

from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side, SideTarget
from gitlab_mesh.core.metrics.exposition import ExpositionError, parse_exposition
from gitlab_mesh.core.metrics.istio import classify, find_target, is_same_host, read_istio

STABLE = SideTarget(Side.STABLE, "shop", "shop", "shop", "stable")
CANARY = SideTarget(Side.CANARY, "shop", "shop-canary", "shop", "canary")
BOTH = (STABLE, CANARY)
FQDN = "shop.shop.svc.cluster.local"


def line(name: str, value: float | str, **labels: str) -> str:
    base = {
        "reporter": "destination",
        "destination_workload": "shop",
        "destination_workload_namespace": "shop",
        "destination_service": FQDN,
        **({"response_code": "200"} if name.endswith("total") else {}),
    }
    joined = ",".join(f'{key}="{value}"' for key, value in {**base, **labels}.items())
    return f"{name}{{{joined}}} {value}\n"


def read(text: str, reporter: str = "destination") -> dict[Side, Counts]:
    return dict(read_istio(parse_exposition(text), reporter=reporter, targets=BOTH).sides)


@pytest.mark.parametrize("prefix", ["", "envoy_"])
def test_sums_all_series_of_a_side(prefix: str) -> None:
    total, bucket = f"{prefix}istio_requests_total", f"{prefix}istio_request_duration_milliseconds_bucket"
    text = (
        line(total, 90, source_workload="a")
        + line(total, 5, source_workload="b")
        + line(total, 3, response_code="404")
        + line(total, 2, response_code="503")
        + line(total, 1, response_code="503", response_flags="UF,URX")
        + line(total, 7, destination_workload="shop-canary")
        + line(total, 1000, destination_workload="other")
        + line(total, 1000, reporter="source")
        + line(total, 1000, destination_workload_namespace="shop2")
        + line(total, 1000, destination_service="shop-admin.shop.svc.cluster.local")
        + line(bucket, 10, le="0.5", source_workload="a")
        + line(bucket, 60, le="250", source_workload="a")
        + line(bucket, 90, le="+Inf", source_workload="a")
        + line(bucket, 1, le="0.5", source_workload="b")
        + line(bucket, 1, le="250", source_workload="b")
        + line(bucket, 5, le="+Inf", source_workload="b")
    )
    assert read(text) == {
        Side.STABLE: Counts(
            101,
            {"5xx": 2, "no-response": 1},
            Histogram((0.0005, 0.25, math.inf), (11, 50, 34)),
            {"connection_failures": 1},
        ),
        Side.CANARY: Counts(7),
    }


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ({"response_code": "200", "response_flags": "-"}, ""),
        ({"response_code": "404"}, ""),
        ({"response_code": "429", "response_flags": "RL"}, ""),
        ({"response_code": "500"}, "5xx"),
        ({"response_code": "599"}, "5xx"),
        ({"response_code": "503", "response_flags": "FI"}, "5xx"),
        ({"response_code": "503", "response_flags": "UH"}, "no-response"),
        ({"response_code": "503", "response_flags": "UF,URX"}, "no-response"),
        ({"response_code": "404", "response_flags": "NR"}, "no-response"),
        ({"response_code": "0", "response_flags": "DC"}, "no-response"),
        ({"response_code": "200", "response_flags": "DC"}, ""),
        ({"response_code": "200", "request_protocol": "grpc", "grpc_response_status": "0"}, ""),
        ({"response_code": "200", "request_protocol": "grpc", "grpc_response_status": "5"}, ""),
        ({"response_code": "200", "request_protocol": "grpc", "grpc_response_status": "14"}, "grpc"),
        ({"response_code": "200", "request_protocol": "grpc", "grpc_response_status": "2"}, "grpc"),
        ({"response_code": "200", "request_protocol": "http", "grpc_response_status": "14"}, ""),
        ({"response_code": "503", "request_protocol": "grpc", "grpc_response_status": "14"}, "5xx"),
    ],
)
def test_classes_of_errors(labels: dict[str, str], kind: str) -> None:
    assert classify(labels) == kind


@pytest.mark.parametrize(
    ("label", "host", "same"),
    [
        (FQDN, "shop", True),
        (FQDN, "shop.shop", True),
        (FQDN, "shop.shop.svc", True),
        (FQDN, FQDN, True),
        ("shop.shop.svc.acme.internal", "shop", True),
        ("shop.other.svc.cluster.local", "shop", False),
        ("shop-canary.shop.svc.cluster.local", "shop", False),
        ("api.example.com", "api.example.com", True),
        ("api.example.com.evil.net", "api.example.com", False),
        ("shop", "shop", True),
    ],
)
def test_hosts(label: str, host: str, same: bool) -> None:
    assert is_same_host(label, host, "shop") is same


def labels_of(**labels: str) -> dict[str, str]:
    return {"reporter": "source", "destination_service": FQDN, **labels}


def test_a_request_that_reached_no_host_goes_to_the_side_it_names_or_to_nobody() -> None:
    own_host = SideTarget(Side.CANARY, "shop", "shop-canary", "shop-canary", "canary")
    unknown = labels_of(destination_workload="unknown")
    assert find_target(unknown, "source", BOTH) is None
    assert find_target({**unknown, "destination_subset": "canary"}, "source", BOTH) is CANARY
    assert find_target(unknown, "source", (STABLE, own_host)) is STABLE
    other = {**unknown, "destination_service": "shop-canary.shop.svc.cluster.local"}
    assert find_target(other, "source", (STABLE, own_host)) is own_host
    assert find_target({**unknown, "reporter": "destination"}, "destination", (STABLE,)) is None
    assert find_target({**unknown, "destination_service": "unknown"}, "source", (STABLE,)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line("istio_requests_total", "NaN"), "nan, which is not a count"),
        (line("istio_requests_total", "+Inf"), "inf, which is not a count"),
        (line("istio_requests_total", -1), "-1.0, which is not a count"),
        (line("istio_requests_total", 1.5), "1.5, which is not a count"),
        (line("istio_requests_total", 1) * 2, "line 2: the same series comes twice"),
        (line("istio_request_duration_milliseconds_bucket", 1, le="5") * 2, "line 2: the same series comes twice"),
        (line("istio_requests_total", 1, response_code=""), "has no response_code"),
        (line("istio_requests_total", 1) + line("envoy_istio_requests_total", 1), "every request would count twice"),
        (line("istio_request_duration_milliseconds_bucket", 1, le="x"), "bucket bound le='x'"),
        (line("istio_request_duration_milliseconds_bucket", 1), "bucket bound le=''"),
        (line("istio_request_duration_milliseconds_bucket", 1, le="5"), "lack le=+Inf"),
        (
            line("istio_request_duration_milliseconds_bucket", 3, le="5")
            + line("istio_request_duration_milliseconds_bucket", 2, le="+Inf"),
            "le=inf counts less",
        ),
        (
            line("istio_request_duration_milliseconds_bucket", 3, le="+Inf")
            + line("istio_request_duration_milliseconds_bucket", 2, le="1", source_workload="b")
            + line("istio_request_duration_milliseconds_bucket", 2, le="+Inf", source_workload="b"),
            "different buckets",
        ),
    ],
)
def test_what_cannot_be_summed_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpositionError) as caught:
        read(text)
    assert message in caught.value.what


def test_says_what_it_saw() -> None:
    counts = read_istio(
        parse_exposition(line("istio_requests_total", 1, destination_workload="cart", reporter="source")),
        reporter="destination",
        targets=BOTH,
    )
    assert counts.seen == frozenset()
    assert (counts.hosts, counts.workloads, counts.reporters) == ({FQDN}, {"shop/cart"}, {"source"})
