"""Rendering of PromQL: escaping, selectors, the blanks of the user's queries."""

from __future__ import annotations

import pytest

from gitlab_mesh.core.metrics.counts import Side, SideTarget
from gitlab_mesh.core.metrics.promql import (
    is_per_side,
    quote,
    quote_any_of,
    render_counts_query,
    render_range,
    render_up_query,
    render_user_query,
)
from gitlab_mesh.errors import UsageError

STABLE = SideTarget(Side.STABLE, "shop", "shop", "shop", "stable")
CANARY = SideTarget(Side.CANARY, "shop", "shop-canary", "shop", "canary")
NAMES = (
    "envoy_istio_request_duration_milliseconds_bucket|envoy_istio_requests_total"
    "|istio_request_duration_milliseconds_bucket|istio_requests_total"
)


def test_counts_query_of_the_destination() -> None:
    assert render_counts_query((STABLE, CANARY), reporter="destination", window_seconds=60) == (
        f'{{__name__=~"{NAMES}",reporter="destination",destination_workload=~"shop|shop-canary",'
        'destination_workload_namespace=~"shop"}[60000ms]'
    )


def test_counts_query_of_the_source_also_asks_for_requests_that_reached_no_host() -> None:
    assert render_counts_query(
        (STABLE, CANARY), reporter="source", window_seconds=30, source_namespace="istio-system"
    ) == (
        f'{{__name__=~"{NAMES}",reporter="source",destination_workload=~"|-|shop|shop-canary|unknown",'
        'destination_service=~"shop([.].*)?",source_workload_namespace="istio-system"}[30000ms]'
    )


def test_values_are_escaped() -> None:
    assert quote('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
    assert quote_any_of({"v1.2", "a|b"}) == '"a\\\\|b|v1\\\\.2"'
    assert render_up_query({"p-1", "p-0"}, pod_label="pod", window_seconds=0.5) == 'up{pod=~"p-0|p-1"}[500ms]'
    assert render_range(0) == "1ms"


def test_user_queries_get_their_blanks_filled() -> None:
    query = 'sum(rate(x{side="{{ side }}",ns="{{namespace}}",w="{{ workload }}"}[1m]))'
    assert render_user_query(query, CANARY) == 'sum(rate(x{side="canary",ns="shop",w="shop-canary"}[1m]))'
    assert is_per_side(query)
    assert is_per_side("x{w='{{ workload }}'}")
    assert not is_per_side('x{ns="{{ namespace }}"} / y')
    assert render_user_query("up{a='b'}", CANARY) == "up{a='b'}"


def test_an_unknown_blank_is_named() -> None:
    with pytest.raises(UsageError, match=r"blank \{\{ version \}\}"):
        render_user_query("x{{ version }}", CANARY)
