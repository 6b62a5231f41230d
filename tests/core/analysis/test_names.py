"""Hosts, as Istio's webhook takes and refuses them (facts held against a real ``istioctl validate``)."""

from __future__ import annotations

import pytest

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.engine import analyze
from gitlab_mesh.core.analysis.model import Options
from gitlab_mesh.core.analysis.names import is_host_label, is_subdomain, is_wildcard_host


@pytest.mark.parametrize(
    ("host", "whole", "wildcard"),
    [
        ("shop", True, True),
        ("Shop.Example.COM", True, True),
        ("shop.example.com.", True, True),
        ("*.example.com", False, True),
        ("*-api.example.com", False, True),
        ("*", False, True),
        ("a.*.example.com", False, False),
        ("a_b.example.com", False, False),
        ("a_b", False, False),
        ("65536", False, True),
        ("10.0.0.1", False, False),
        ("shop.example.123", False, False),
        ("-shop", False, False),
        ("a..b", False, False),
        ("", False, False),
        ("x" * 64, False, False),
        (".".join(["x" * 60] * 5), False, False),
    ],
)
def test_hosts(host: str, whole: bool, wildcard: bool) -> None:
    assert is_subdomain(host) is whole
    assert is_wildcard_host(host) is wildcard


def test_names_of_subsets() -> None:
    assert is_host_label("V2")
    assert not is_host_label("v_2")


HEADS = {
    "AuthorizationPolicy": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1",
}


def refused(kind: str, spec: str) -> list[str]:
    version = HEADS.get(kind, "networking.istio.io/v1")
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec: {{{spec}}}\n"
    problems, _ = analyze(FileManifests(text.encode()).read(["-"]).documents, Options())
    return [item.code for item in problems if "GM0010" <= item.code <= "GM0017" or "GM0200" <= item.code < "GM0300"]


PORTS = "ports: [{number: 80, name: a, protocol: HTTP}]"
TO = "route: [{destination: {host: pay}}]"
SNI = "outbound_.80_._.pay.bank.svc.cluster.local"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", f"hosts: [{SNI}], gateways: [edge], tls: [{{match: [{{sniHosts: [{SNI}]}}], {TO}}}]"),
        ("VirtualService", f"hosts: [pay], tls: [{{match: [{{sniHosts: [192.0.2.1]}}], {TO}}}]"),
        ("DestinationRule", "host: pay, trafficPolicy: {connectionPool: {http: {}}}"),
        ("DestinationRule", "host: pay, subsets: [{name: V1, labels: {version: v1}}]"),
        ("AuthorizationPolicy", "selector: {matchLabels: {app: a/b}}, rules: [{}]"),
        (
            "ServiceEntry",
            f"hosts: [pay.example.com], {PORTS}, resolution: DNS, workloadSelector: {{labels: {{a: a/b}}}}",
        ),
        ("ServiceEntry", f"hosts: [pay.example.com], {PORTS}, resolution: STATIC, endpoints: [{{network: n1}}]"),
    ],
)
def test_what_istio_takes(kind: str, spec: str) -> None:
    assert refused(kind, spec) == []


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", f"hosts: [pay], tls: [{{match: [{{sniHosts: [{SNI}]}}], {TO}}}]"),
        ("DestinationRule", "host: 192.0.2.1"),
        ("DestinationRule", "host: pay, trafficPolicy: {connectionPool: {http: {http2KeepAlive: {interval: 5s}}}}"),
        ("Gateway", "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*a.example.com']}]"),
        ("AuthorizationPolicy", "action: CUSTOM, provider: {name: opa}, rules: []"),
        ("AuthorizationPolicy", "rules: [{from: [{source: {serviceAccounts: [/web]}}]}]"),
        ("RequestAuthentication", "jwtRules: [{jwks: '{\"keys\": []}'}]"),
        ("ServiceEntry", f"hosts: [pay.example.com], {PORTS}, resolution: STATIC, endpoints: [{{address: ''}}]"),
        ("ServiceEntry", f"hosts: ['*.example.com'], {PORTS}, resolution: DNS, workloadSelector: {{labels: {{a: b}}}}"),
    ],
)
def test_what_istio_refuses(kind: str, spec: str) -> None:
    assert refused(kind, spec)
