"""VirtualServices and Gateways become the routes that Istio would make of them."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.sandbox.envoy.model import MeshSettings, Translation
from gitlab_mesh.sandbox.envoy.translate import translate

SHOP = "shop.shop.svc.cluster.local"


@pytest.fixture
def run(make, mesh_settings: MeshSettings):
    def run(*objects: dict[str, Any], pods=None) -> Translation:
        return translate(objects, pods if pods is not None else [make.inbound("v1"), make.inbound("v2")], mesh_settings)

    return run


def routes(translation: Translation, domain: str = "shop", listener: str = "mesh") -> list[dict[str, Any]]:
    hosts = translation.config.routes[listener]["virtual_hosts"]
    (found,) = [host for host in hosts if domain in host["domains"]]
    return found["routes"]


def first(translation: Translation, **kw: Any) -> dict[str, Any]:
    return routes(translation, **kw)[0]


def test_a_service_without_virtual_service_gets_istios_default_route(run, make) -> None:
    route = first(run(make.service()))
    assert route["match"] == {"prefix": "/"}
    assert route["route"]["cluster"] == f"outbound|80||{SHOP}"
    assert route["route"]["timeout"] == "0s"
    assert route["route"]["retry_policy"]["num_retries"] == 2


@pytest.mark.parametrize(
    ("match", "envoy"),
    [
        ({}, {"prefix": "/"}),
        ({"uri": {"exact": "/a"}}, {"path": "/a"}),
        ({"uri": {"prefix": "/a"}}, {"prefix": "/a"}),
        ({"uri": {"regex": "/a.*"}}, {"safe_regex": {"regex": "/a.*"}}),
        ({"uri": {"prefix": "/A"}, "ignoreUriCase": True}, {"prefix": "/A", "case_sensitive": False}),
        (
            {"headers": {"b": {"exact": "1"}, "a": {"prefix": "x"}}},
            {
                "prefix": "/",
                "headers": [
                    {"name": "a", "string_match": {"prefix": "x"}},
                    {"name": "b", "string_match": {"exact": "1"}},
                ],
            },
        ),
        ({"headers": {"a": {}}}, {"prefix": "/", "headers": [{"name": "a", "present_match": True}]}),
        ({"headers": {"a": {"regex": "*"}}}, {"prefix": "/", "headers": [{"name": "a", "present_match": True}]}),
        (
            {"headers": {"a": {"regex": "v[12]"}}},
            {"prefix": "/", "headers": [{"name": "a", "string_match": {"safe_regex": {"regex": "v[12]"}}}]},
        ),
        (
            {"withoutHeaders": {"a": {"exact": "1"}}},
            {
                "prefix": "/",
                "headers": [
                    {
                        "name": "a",
                        "string_match": {"exact": "1"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                ],
            },
        ),
        (
            {"withoutHeaders": {"a": {}}},
            {"prefix": "/", "headers": [{"name": "a", "present_match": True, "invert_match": True}]},
        ),
        (
            {"method": {"exact": "GET"}, "authority": {"prefix": "a"}, "scheme": {"exact": "http"}},
            {
                "prefix": "/",
                "headers": [
                    {"name": ":method", "string_match": {"exact": "GET"}},
                    {"name": ":authority", "string_match": {"prefix": "a"}},
                    {"name": ":scheme", "string_match": {"exact": "http"}},
                ],
            },
        ),
        (
            {"queryParams": {"q": {"exact": "1"}}},
            {"prefix": "/", "query_parameters": [{"name": "q", "string_match": {"exact": "1"}}]},
        ),
    ],
)
def test_matches(run, make, match: dict[str, Any], envoy: dict[str, Any]) -> None:
    virtual_service = make.route([{"match": [match], "route": [make.to()]}])
    assert first(run(make.service(), virtual_service))["match"] == envoy


def test_order_is_kept_and_nothing_follows_a_catch_all(run, make) -> None:
    found = routes(
        run(
            make.service(),
            make.route(
                [
                    {
                        "name": "a",
                        "match": [{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}],
                        "route": [make.to()],
                    },
                    {"name": "rest", "route": [make.to()]},
                    {"name": "never", "match": [{"uri": {"prefix": "/c"}}], "route": [make.to()]},
                ]
            ),
        )
    )
    assert [(one["name"], one["match"]["prefix"]) for one in found] == [("a", "/a"), ("a", "/b"), ("rest", "/")]


@pytest.mark.parametrize(
    ("match", "kept"),
    [
        ({"port": 80}, True),
        ({"port": 81}, False),
        ({"gateways": ["mesh"]}, True),
        ({"gateways": ["public"]}, False),
        ({"sourceLabels": {"app": "client"}}, True),
        ({"sourceLabels": {"app": "other"}}, False),
        ({"sourceNamespace": "shop"}, True),
        ({"sourceNamespace": "other"}, False),
    ],
)
def test_a_match_may_concern_other_proxies_only(run, make, match: dict[str, Any], kept: bool) -> None:
    http = [{"name": "some", "match": [match], "route": [make.to()]}, {"name": "rest", "route": [make.to()]}]
    names = [one["name"] for one in routes(run(make.service(), make.route(http)))]
    # Envoy's match takes everything then, so that nothing follows it.
    assert names == (["some"] if kept else ["rest"])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((90, 10), {"v1": 90, "v2": 10}),
        ((1, 1999), {"v1": 1, "v2": 1999}),
        ((100, 0), {"v1": 100}),
        ((0, 3), {"v2": 3}),
    ],
)
def test_weights_are_relative_and_zero_is_left_out(run, make, weights, expected) -> None:
    pairs = zip(("v1", "v2"), weights, strict=True)
    action = first(run(make.service(), make.rule("v1", "v2"), make.weights(*pairs)))["route"]
    found = {one["name"].split("|")[2]: one["weight"] for one in action["weighted_clusters"]["clusters"]}
    assert found == expected


def test_a_single_destination_needs_no_weight(run, make) -> None:
    action = first(run(make.service(), make.rule("v1"), make.route([{"route": [make.to("v1")]}])))["route"]
    assert action["cluster"] == f"outbound|80|v1|{SHOP}"


@pytest.mark.parametrize(
    ("ports", "destination", "port"),
    [
        ((8080,), {"host": "shop"}, 8080),
        ((80, 9090), {"host": "shop", "port": {"number": 9090}}, 9090),
        ((80, 9090), {"host": "shop"}, 80),
        ((80,), {"host": SHOP}, 80),
    ],
)
def test_the_port_of_a_destination(run, make, ports, destination, port) -> None:
    virtual_service = make.route([{"route": [{"destination": destination}]}])
    action = first(run(make.service(ports=ports), virtual_service))["route"]
    assert action["cluster"] == f"outbound|{port}||{SHOP}"


def test_each_port_of_a_service_has_its_routes(run, make) -> None:
    translation = run(make.service(ports=(80, 9090)), make.route([{"route": [make.to()]}]))
    assert first(translation, domain="shop:9090")["route"]["cluster"] == f"outbound|9090||{SHOP}"


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        (
            {"attempts": 3},
            {
                "num_retries": 3,
                "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            },
        ),
        ({"attempts": 1, "retryOn": "5xx"}, {"num_retries": 1, "retry_on": "5xx"}),
        (
            {"attempts": 1, "retryOn": "gateway-error, 503,500"},
            {"retry_on": "gateway-error,retriable-status-codes", "retriable_status_codes": [503, 500]},
        ),
        ({"attempts": 1, "perTryTimeout": "250ms"}, {"per_try_timeout": "0.25s"}),
        ({"attempts": 1, "backoff": "10ms"}, {"retry_back_off": {"base_interval": "0.01s"}}),
    ],
)
def test_retries(run, make, retries: dict[str, Any], expected: dict[str, Any]) -> None:
    policy = first(run(make.service(), make.route([{"route": [make.to()], "retries": retries}])))["route"][
        "retry_policy"
    ]
    assert expected.items() <= policy.items()


def test_zero_attempts_switch_retries_off(run, make) -> None:
    virtual_service = make.route([{"route": [make.to()], "retries": {"attempts": 0}}])
    assert "retry_policy" not in first(run(make.service(), virtual_service))["route"]


def test_previous_hosts_can_be_tried_again(run, make) -> None:
    retries = {"attempts": 2, "retryIgnorePreviousHosts": False}
    policy = first(run(make.service(), make.route([{"route": [make.to()], "retries": retries}])))["route"][
        "retry_policy"
    ]
    assert "retry_host_predicate" not in policy


def test_headers_of_a_route_and_of_its_single_destination_add_up(run, make) -> None:
    http = {
        "headers": {"request": {"set": {"a": "1", "Host": "other"}, "remove": ["x", ":path"]}},
        "route": [make.to(headers={"request": {"add": {"b": "2"}}, "response": {"remove": ["y"]}})],
    }
    route = first(run(make.service(), make.route([http])))
    assert route["request_headers_to_add"] == [
        {"header": {"key": "a", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        {"header": {"key": "b", "value": "2"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"},
    ]
    assert route["request_headers_to_remove"] == ["x"]
    assert route["response_headers_to_remove"] == ["y"]
    assert route["route"]["host_rewrite_literal"] == "other"


def test_headers_of_weighted_destinations_stay_with_them(run, make) -> None:
    response = {"response": {"set": {"x-side": "canary"}}}
    http = [{"route": [make.to("v1", weight=1), make.to("v2", weight=1, headers=response)]}]
    action = first(run(make.service(), make.rule("v1", "v2"), make.route(http)))["route"]
    stable, canary = action["weighted_clusters"]["clusters"]
    assert "response_headers_to_add" not in stable
    assert canary["response_headers_to_add"][0]["header"] == {"key": "x-side", "value": "canary"}


@pytest.mark.parametrize(
    ("field", "value", "envoy"),
    [
        ("timeout", "3s", {"timeout": "3s"}),
        ("rewrite", {"uri": "/v2", "authority": "b"}, {"prefix_rewrite": "/v2", "host_rewrite_literal": "b"}),
        (
            "rewrite",
            {"uriRegexRewrite": {"match": "^/a/(.*)", "rewrite": "/\\1"}},
            {"regex_rewrite": {"pattern": {"regex": "^/a/(.*)"}, "substitution": "/\\1"}},
        ),
        (
            "mirror",
            {"host": "shop", "subset": "v2"},
            {
                "request_mirror_policies": [
                    {
                        "cluster": f"outbound|80|v2|{SHOP}",
                        "runtime_fraction": {"default_value": {"numerator": 1_000_000, "denominator": "MILLION"}},
                    }
                ]
            },
        ),
    ],
)
def test_what_a_route_does(run, make, field: str, value: Any, envoy: dict[str, Any]) -> None:
    virtual_service = make.route([{"route": [make.to()], field: value}])
    action = first(run(make.service(), make.rule("v2"), virtual_service))["route"]
    assert envoy.items() <= action.items()


def test_mirrors_without_a_share_are_dropped(run, make) -> None:
    http = {
        "route": [make.to()],
        "mirror": {"host": "shop"},
        "mirrorPercentage": {"value": 0},
        "mirrors": [{"destination": {"host": "shop"}, "percentage": {"value": 12.5}}],
    }
    (policy,) = first(run(make.service(), make.route([http])))["route"]["request_mirror_policies"]
    assert policy["runtime_fraction"]["default_value"]["numerator"] == 125_000


@pytest.mark.parametrize(
    ("redirect", "envoy"),
    [
        ({"uri": "/new"}, {"path_redirect": "/new", "response_code": "MOVED_PERMANENTLY"}),
        (
            {"authority": "a", "redirectCode": 308, "scheme": "https", "port": 443},
            {"host_redirect": "a", "response_code": "PERMANENT_REDIRECT", "scheme_redirect": "https"},
        ),
        ({"port": 8443}, {"port_redirect": 8443, "response_code": "MOVED_PERMANENTLY"}),
        ({"derivePort": "FROM_REQUEST_PORT"}, {"response_code": "MOVED_PERMANENTLY"}),
    ],
)
def test_redirects(run, make, redirect: dict[str, Any], envoy: dict[str, Any]) -> None:
    assert first(run(make.service(), make.route([{"redirect": redirect}])))["redirect"] == envoy


def test_direct_responses(run, make) -> None:
    http = [{"directResponse": {"status": 418, "body": {"string": "tea"}}}]
    assert first(run(make.service(), make.route(http)))["direct_response"] == {
        "status": 418,
        "body": {"inline_string": "tea"},
    }


def test_faults_without_percentage_do_nothing(run, make) -> None:
    fault = {"delay": {"fixedDelay": "2s", "percentage": {"value": 0.1}}, "abort": {"httpStatus": 503}}
    (made,) = first(run(make.service(), make.route([{"fault": fault, "route": [make.to()]}])))[
        "typed_per_filter_config"
    ].values()
    assert made["delay"] == {"fixed_delay": "2s", "percentage": {"numerator": 1000, "denominator": "MILLION"}}
    assert made["abort"] == {"http_status": 503, "percentage": {"numerator": 0, "denominator": "MILLION"}}


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ({"host": "shop", "subset": "v9"}, "has a subset v9"),
        ({"host": "cart"}, "no Service cart.shop.svc.cluster.local"),
        ({"host": "shop.shop"}, "no Service shop.shop"),
        ({"host": "shop", "port": {"number": 81}}, "has no HTTP port 81"),
    ],
)
def test_a_destination_that_leads_nowhere_is_kept_with_a_warning(run, make, destination, why) -> None:
    translation = run(make.service(), make.rule("v1"), make.route([{"route": [{"destination": destination}]}]))
    assert any("spec.http[0].route[0].destination" in one and why in one for one in translation.warnings)
    action = first(translation)["route"]
    assert action["cluster"] not in translation.config.clusters
    assert translation.config.routes["mesh"]["validate_clusters"] is False
    assert translation.config.routes["gateway"]["validate_clusters"] is True


def test_of_two_virtual_services_in_the_mesh_the_oldest_wins_with_a_warning(run, make) -> None:
    young = make.route([{"route": [make.to("v1")]}], name="young", age=1)
    old = make.route([{"route": [make.to("v2")]}], name="old", age=9)
    translation = run(make.service(), make.rule("v1", "v2"), young, old)
    assert first(translation)["route"]["cluster"] == f"outbound|80|v2|{SHOP}"
    (warning,) = translation.warnings
    assert "VirtualService shop/young" in warning
    assert "VirtualService shop/old" in warning
    assert "undefined in Istio" in warning


def test_a_wildcard_host_in_the_mesh_gives_way_to_the_exact_one(run, make) -> None:
    wide = make.route([{"route": [make.to("v1")]}], name="wide", hosts=("*.svc.cluster.local",), age=9)
    exact = make.route([{"route": [make.to("v2")]}], name="exact")
    translation = run(make.service(), make.service("cart"), make.rule("v1", "v2"), wide, exact)
    assert first(translation)["route"]["cluster"] == f"outbound|80|v2|{SHOP}"
    assert first(translation, domain="cart")["route"]["cluster"] == f"outbound|80|v1|{SHOP}"
    assert translation.warnings == ()


def test_a_host_without_a_service_is_served_in_the_mesh(run, make) -> None:
    translation = run(make.service(), make.route([{"route": [make.to()]}], hosts=("api.example", "*.wild.example")))
    assert first(translation, domain="api.example")["route"]["cluster"] == f"outbound|80||{SHOP}"
    assert first(translation, domain="*.wild.example")["route"]["cluster"] == f"outbound|80||{SHOP}"
    assert first(translation, domain="*")["direct_response"] == {"status": 502}


def test_one_host_in_two_spellings_is_one_host(run, make) -> None:
    translation = run(make.service(), make.rule("v2"), make.route([{"route": [make.to("v2")]}], hosts=("shop", SHOP)))
    assert translation.warnings == ()
    assert first(translation)["route"]["cluster"] == f"outbound|80|v2|{SHOP}"


def test_a_host_that_is_another_name_of_a_service_is_not_used_with_a_warning(run, make) -> None:
    translation = run(make.service(), make.rule("v2"), make.route([{"route": [make.to("v2")]}], hosts=("shop.shop",)))
    assert "host shop.shop belongs to shop.shop.svc.cluster.local:80 already" in translation.warnings[0]
    domains = [one for host in translation.config.routes["mesh"]["virtual_hosts"] for one in host["domains"]]
    assert len(domains) == len(set(domains))


def test_gateway_hosts_are_the_intersection(run, make) -> None:
    gateway = make.gateway("*.example", "other/only.other", "shop/mine")
    virtual_service = make.route(
        [{"route": [make.to()]}], hosts=("a.example", "only.other", "mine", "b.test"), gateways=["public"]
    )
    translation = run(make.service(), gateway, virtual_service)
    domains = [one for host in translation.config.routes["gateway"]["virtual_hosts"] for one in host["domains"]]
    # "mine" is a short name: in a VirtualService it means a Service, never the gateway's host "mine".
    assert domains == ["a.example"]
    assert first(translation)["name"] == "default"  # not bound to the mesh


def test_virtual_services_on_one_gateway_host_are_merged_with_catch_alls_last(run, make) -> None:
    rest = make.route(
        [{"name": "rest", "route": [make.to()]}], name="old", age=9, hosts=("a.example",), gateways=["public"]
    )
    some = make.route(
        [{"name": "api", "match": [{"uri": {"prefix": "/api"}}], "route": [make.to()]}],
        name="young",
        hosts=("a.example",),
        gateways=["shop/public"],
    )
    translation = run(make.service(), make.gateway("a.example"), rest, some)
    found = routes(translation, domain="a.example", listener="gateway")
    assert [one["name"] for one in found] == ["api", "rest"]
    assert translation.warnings == ()


@pytest.mark.parametrize(
    ("gateway", "virtual_service", "warning"),
    [
        ({"selector": {"istio": "egress"}}, {}, "matches no gateway here"),
        ({}, {"gateways": ["missing"]}, "there is no Gateway shop/missing"),
        ({}, {"hosts": ("b.test",)}, "none of its hosts is a host of Gateway shop/public"),
    ],
)
def test_what_never_reaches_the_gateway_is_said(run, make, gateway, virtual_service, warning) -> None:
    about = {"hosts": ("a.example",), "gateways": ["public"], **virtual_service}
    translation = run(
        make.service(), make.gateway("a.example", **gateway), make.route([{"route": [make.to()]}], **about)
    )
    assert any(warning in one for one in translation.warnings)


def test_https_redirect_of_a_server(run, make) -> None:
    gateway = make.gateway("a.example", tls={"httpsRedirect": True})
    (host,) = run(make.service(), gateway).config.routes["gateway"]["virtual_hosts"]
    assert (host["domains"], host["require_tls"]) == (["a.example"], "ALL")


def test_servers_of_several_ports_share_the_one_that_is_here(run, make) -> None:
    other = make.gateway("b.example", port=8080)
    other["metadata"]["name"] = "other"
    (warning,) = run(make.service(), make.gateway("a.example"), other).warnings
    assert "one port serves them all" in warning
