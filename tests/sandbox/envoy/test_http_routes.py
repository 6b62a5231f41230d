"""HTTPRoutes and Gateway API Gateways become the routes that istiod would make of them."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.sandbox.envoy.model import MeshSettings, Translation, UntranslatableError
from gitlab_mesh.sandbox.envoy.route_status import route_statuses
from gitlab_mesh.sandbox.envoy.translate import translate

API = "gateway.networking.k8s.io/v1"
SHOP = "outbound|80||shop.shop.svc.cluster.local"
Json = dict[str, Any]


@pytest.fixture
def run(make, mesh_settings: MeshSettings):
    def run(*objects: Json) -> Translation:
        services = [make.service(), make.service("shop-canary")]
        return translate([*services, *objects], [make.inbound("v1"), make.inbound("v2")], mesh_settings)

    return run


@pytest.fixture
def gateway(make) -> Json:
    return listener(make)


def listener(make, gateway_class: str = "istio", **fields: Any) -> Json:
    listed = {"name": "http", "port": 80, "protocol": "HTTP", **fields}
    return {
        **make.body("Gateway", "public", {"gatewayClassName": gateway_class, "listeners": [listed]}),
        "apiVersion": API,
    }


def http_route(make, *rules: Json, hosts: tuple[str, ...] = ("shop.example",), **kw: Any) -> Json:
    parents = kw.pop("parents", [{"name": "public"}])
    spec = {"parentRefs": parents, "hostnames": list(hosts), "rules": list(rules)}
    return {**make.body("HTTPRoute", kw.pop("name", "shop"), spec, **kw), "apiVersion": API}


def to(name: str = "shop", **fields: Any) -> Json:
    return {"name": name, "port": 80, **fields}


def rule(*refs: Json, **fields: Any) -> Json:
    return {"backendRefs": list(refs or (to(),)), **fields}


def routes(translation: Translation, domain: str = "shop.example", listener: str = "gateway") -> list[Json]:
    (found,) = [one for one in translation.config.routes[listener]["virtual_hosts"] if domain in one["domains"]]
    return found["routes"]


@pytest.mark.parametrize(
    ("match", "envoy"),
    [
        ({}, {"prefix": "/"}),
        ({"path": {"type": "PathPrefix", "value": "/"}}, {"prefix": "/"}),
        ({"path": {"value": "/a"}}, {"path_separated_prefix": "/a"}),
        ({"path": {"type": "PathPrefix", "value": "/a/"}}, {"path_separated_prefix": "/a"}),
        ({"path": {"type": "Exact", "value": "/a"}}, {"path": "/a"}),
        ({"path": {"type": "RegularExpression", "value": "/a.*"}}, {"safe_regex": {"regex": "/a.*"}}),
        ({"method": "GET"}, {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]}),
        (
            {"headers": [{"name": "x", "value": "1"}, {"type": "RegularExpression", "name": "y", "value": "2.*"}]},
            {
                "prefix": "/",
                "headers": [
                    {"name": "x", "string_match": {"exact": "1"}},
                    {"name": "y", "string_match": {"safe_regex": {"regex": "2.*"}}},
                ],
            },
        ),
        (
            {"queryParams": [{"name": "q", "value": "1"}]},
            {"prefix": "/", "query_parameters": [{"name": "q", "string_match": {"exact": "1"}}]},
        ),
    ],
)
def test_matches(run, make, gateway: Json, match: Json, envoy: Json) -> None:
    assert routes(run(gateway, http_route(make, rule(matches=[match]))))[0]["match"] == envoy


def test_weights_are_relative_and_weight_0_is_left_out(run, make, gateway: Json) -> None:
    (route,) = routes(
        run(gateway, http_route(make, rule(to(weight=1999), to("shop-canary", weight=1), to("x", weight=0))))
    )
    weights = {one["name"]: one["weight"] for one in route["route"]["weighted_clusters"]["clusters"]}
    assert weights == {SHOP: 1999, SHOP.replace("||shop", "||shop-canary"): 1}
    assert route["route"]["cluster_not_found_response_code"] == "INTERNAL_SERVER_ERROR"


def test_a_missing_weight_is_1(run, make, gateway: Json) -> None:
    (route,) = routes(run(gateway, http_route(make, rule(to(), to("shop-canary", weight=3)))))
    assert [one["weight"] for one in route["route"]["weighted_clusters"]["clusters"]] == [1, 3]


def test_without_any_weight_the_answer_is_500(run, make, gateway: Json) -> None:
    (route,) = routes(run(gateway, http_route(make, rule(to(weight=0)))))
    assert route["direct_response"] == {"status": 500}


def test_the_most_specific_match_goes_first_across_routes(run, make, gateway: Json) -> None:
    paths = [{"value": "/"}, {"value": "/a"}, {"type": "Exact", "value": "/a"}, {"value": "/a/b"}]
    older = http_route(make, *(rule(matches=[{"path": path}]) for path in paths), age=2)
    younger = http_route(
        make,
        rule(
            matches=[
                {"path": {"value": "/a"}, "method": "GET"},
                {"path": {"value": "/a"}, "headers": [to("h", value="1")]},
            ]
        ),
        name="other",
    )
    for match in younger["spec"]["rules"][0]["matches"]:
        for header in match.get("headers", ()):
            del header["port"]
    found = [route["match"] for route in routes(run(gateway, younger, older))]
    assert [{**match, "headers": len(match.get("headers", ()))} for match in found] == [
        {"path": "/a", "headers": 0},
        {"path_separated_prefix": "/a/b", "headers": 0},
        {"path_separated_prefix": "/a", "headers": 1},
        {"path_separated_prefix": "/a", "headers": 1},
        {"path_separated_prefix": "/a", "headers": 0},
        {"prefix": "/", "headers": 0},
    ]
    assert found[2]["headers"][0]["name"] == ":method"


@pytest.mark.parametrize(
    ("filters", "where", "envoy"),
    [
        (
            {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}},
            "redirect",
            {"scheme_redirect": "https", "response_code": "MOVED_PERMANENTLY"},
        ),
        (
            {"type": "RequestRedirect", "requestRedirect": {"hostname": "x.example", "port": 8443}},
            "redirect",
            {"host_redirect": "x.example", "port_redirect": 8443, "response_code": "FOUND"},
        ),
        (
            {
                "type": "RequestRedirect",
                "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}},
            },
            "redirect",
            {"path_redirect": "/new", "response_code": "FOUND"},
        ),
    ],
)
def test_redirects(run, make, gateway: Json, filters: Json, where: str, envoy: Json) -> None:
    (route,) = routes(run(gateway, http_route(make, {"filters": [filters]})))
    assert route[where] == envoy


def test_rewrites(run, make, gateway: Json) -> None:
    def rewritten(**modifier: Any) -> Json:
        rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example", "path": modifier}}
        (route,) = routes(run(gateway, http_route(make, rule(matches=[{"path": {"value": "/a"}}], filters=[rewrite]))))
        return route["route"]

    assert rewritten(type="ReplacePrefixMatch", replacePrefixMatch="/b/")["prefix_rewrite"] == "/b"
    assert rewritten(type="ReplacePrefixMatch", replacePrefixMatch="/")["regex_rewrite"] == {
        "pattern": {"regex": "^/a(/?)(.*)"},
        "substitution": r"/\2",
    }
    whole = rewritten(type="ReplaceFullPath", replaceFullPath="/c")
    assert whole["regex_rewrite"] == {"pattern": {"regex": "/.*"}, "substitution": "/c"}
    assert whole["host_rewrite_literal"] == "inner.example"


def test_headers_mirrors_timeouts_and_retries(run, make, gateway: Json) -> None:
    headers = {"set": [{"name": "a", "value": "1"}], "add": [{"name": "b", "value": "2"}], "remove": ["c"]}
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": headers},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["d"]}},
        {"type": "RequestMirror", "requestMirror": {"backendRef": to("shop-canary"), "percent": 10}},
        {
            "type": "RequestMirror",
            "requestMirror": {"backendRef": to("shop-canary"), "fraction": {"numerator": 1, "denominator": 1000}},
        },
    ]
    found = rule(
        filters=filters,
        timeouts={"request": "5s", "backendRequest": "1s"},
        retry={"attempts": 3, "codes": [503], "backoff": "100ms"},
    )
    (route,) = routes(run(gateway, http_route(make, found)))
    assert [(one["header"]["key"], one["append_action"]) for one in route["request_headers_to_add"]] == [
        ("a", "OVERWRITE_IF_EXISTS_OR_ADD"),
        ("b", "APPEND_IF_EXISTS_OR_ADD"),
    ]
    assert (route["request_headers_to_remove"], route["response_headers_to_remove"]) == (["c"], ["d"])
    action = route["route"]
    shares = [one["runtime_fraction"]["default_value"]["numerator"] for one in action["request_mirror_policies"]]
    assert shares == [100_000, 1_000]
    assert action["timeout"] == "5s"
    assert action["retry_policy"]["per_try_timeout"] == "1s"
    assert action["retry_policy"]["num_retries"] == 3
    assert action["retry_policy"]["retriable_status_codes"] == [503]
    assert action["retry_policy"]["retry_back_off"] == {"base_interval": "0.1s"}


def test_inside_the_mesh_a_route_hangs_on_a_service(run, make) -> None:
    parents = [{"group": "", "kind": "Service", "name": "shop"}]
    found = run(http_route(make, rule(to("shop-canary")), parents=parents))
    (route,) = routes(found, "shop", "mesh")
    assert route["route"]["cluster"] == SHOP.replace("||shop", "||shop-canary")
    (canary,) = routes(found, "shop-canary", "mesh")
    assert "cluster_not_found_response_code" not in canary["route"]


def test_a_listener_chooses_hosts_namespaces_and_sections(run, make) -> None:
    narrow = listener(make, hostname="*.example")
    assert routes(run(narrow, http_route(make, rule(), hosts=("shop.example", "shop.other"))))
    assert not run(narrow, http_route(make, rule(), hosts=("shop.other",))).config.routes["gateway"]["virtual_hosts"]
    parents = [{"name": "public", "namespace": "shop"}]
    foreign = http_route(make, rule(), namespace="other", parents=parents)
    assert not run(listener(make), foreign).config.routes["gateway"]["virtual_hosts"]
    everybody = listener(make, allowedRoutes={"namespaces": {"from": "All"}})
    assert run(everybody, foreign).config.routes["gateway"]["virtual_hosts"]
    section = http_route(make, rule(), parents=[{"name": "public", "sectionName": "https"}])
    assert run(listener(make), section).warnings


def test_a_gateway_of_another_class_is_not_served(run, make) -> None:
    found = run(listener(make, "other"), http_route(make, rule()))
    assert not found.config.routes["gateway"]["virtual_hosts"]
    assert any("class other is not served" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"sessionPersistence": {"type": "Cookie"}}, "spec.rules[0].sessionPersistence"),
        ({"filters": [{"type": "CORS", "cors": {}}]}, "spec.rules[0].filters[0].type"),
        ({"backendRefs": [to(kind="ServiceImport")]}, "spec.rules[0].backendRefs[0].kind"),
        ({"backendRefs": [to(filters=[{"type": "RequestMirror"}])]}, "spec.rules[0].backendRefs[0].filters[0].type"),
        ({"backendRefs": [to(namespace="x")]}, "spec.rules[0].backendRefs[0].namespace"),
        ({"matches": [{"path": {"type": "Fancy"}}]}, "spec.rules[0].matches[0].path.type"),
    ],
)
def test_what_is_not_translated_is_named(run, make, gateway: Json, fields: Json, path: str) -> None:
    with pytest.raises(UntranslatableError) as caught:
        run(gateway, http_route(make, {**rule(), **fields}))
    assert caught.value.path == path


def test_the_status_is_about_the_generation_in_force_and_stays_as_it_is(make, gateway: Json) -> None:
    parents = [{"name": "public"}, {"group": "", "kind": "Service", "name": "shop"}, {"name": "elsewhere"}]
    route = http_route(make, rule(to("gone", weight=0)), parents=parents)
    route["metadata"]["generation"] = 7
    service = {**make.service(), "apiVersion": "v1"}
    ((_, status),) = route_statuses([gateway, service, route], "2026-01-01T00:00:00Z")
    assert [one["parentRef"] for one in status["parents"]] == parents[:2]
    for parent in status["parents"]:
        assert [(one["type"], one["status"], one["observedGeneration"]) for one in parent["conditions"]] == [
            ("Accepted", "True", 7),
            ("ResolvedRefs", "True", 7),
        ]
    ((_, again),) = route_statuses([gateway, service, {**route, "status": status}], "2026-02-02T00:00:00Z")
    assert again == status
    gone = http_route(make, rule(to("gone")), parents=parents)
    ((_, status),) = route_statuses([gateway, service, gone], "2026-01-01T00:00:00Z")
    assert status["parents"][0]["conditions"][1]["reason"] == "BackendNotFound"
