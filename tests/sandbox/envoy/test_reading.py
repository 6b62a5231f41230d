"""Fields that cannot be overlooked, durations, and host names as Istio resolves them."""

from __future__ import annotations

import pytest

from gitlab_mesh.errors import UsageError
from gitlab_mesh.sandbox.envoy.fields import Fields
from gitlab_mesh.sandbox.envoy.hosts import best_match, by_age, intersect, is_subset, resolve_host, service_domains
from gitlab_mesh.sandbox.envoy.model import UntranslatableError


@pytest.mark.parametrize(
    ("text", "envoy"),
    [
        ("2s", "2s"),
        ("500ms", "0.5s"),
        ("1m30s", "90s"),
        ("0.25s", "0.25s"),
        ("1h", "3600s"),
        ("0s", "0s"),
        ("1us", "0.000001s"),
    ],
)
def test_durations_become_what_protobuf_reads(text: str, envoy: str) -> None:
    assert Fields({"timeout": text}, "x", "spec").duration("timeout") == envoy


@pytest.mark.parametrize("text", ["2", "s", "2 s", "-1s", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UntranslatableError, match="not a duration"):
        Fields({"timeout": text}, "x", "spec").duration("timeout")


def test_a_field_that_nobody_took_is_refused_with_object_and_path() -> None:
    fields = Fields({"known": "a", "novel": 1}, "VirtualService shop/shop", "spec.http[0]")
    with pytest.raises(UntranslatableError) as caught, fields:
        fields.text("known")
    assert (caught.value.owner, caught.value.path) == ("VirtualService shop/shop", "spec.http[0].novel")
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 2


def test_null_counts_as_absent() -> None:
    with Fields({"novel": None}, "x", "spec") as fields:
        assert fields.text("novel", "default") == "default"
    Fields({"novel": None}, "x", "spec").finish()


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": 1}, lambda f: f.text("a")),
        ({"a": True}, lambda f: f.integer("a")),
        ({"a": -1}, lambda f: f.integer("a")),
        ({"a": "x"}, lambda f: list(f.children("a"))),
        ({"a": [1]}, lambda f: list(f.children("a"))),
        ({"a": {"b": 1}}, lambda f: f.text_map("a")),
        ({"a": [1]}, lambda f: f.texts("a")),
        ({"a": "X"}, lambda f: f.choice("a", {"Y": 1}, 0)),
        ({"a": 1, "b": 1}, lambda f: f.one_of("a", "b")),
    ],
)
def test_wrong_types_and_values_are_refused(value: dict, read) -> None:
    with pytest.raises(UntranslatableError):
        read(Fields(value, "x", "spec"))


@pytest.mark.parametrize(
    ("host", "full"),
    [("shop", "shop.ns.svc.cluster.local"), ("shop.other", "shop.other"), ("*.example", "*.example"), ("*", "*")],
)
def test_only_names_without_a_dot_are_short(host: str, full: str) -> None:
    assert resolve_host(host, "ns") == full


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        ("a.example", "a.example", True),
        ("A.Example", "a.example", True),
        ("a.example", "*.example", True),
        ("a.example", "*", True),
        ("*.a.example", "*.example", True),
        ("*.example", "*.example", True),
        ("*.example", "a.example", False),
        ("*", "*.example", False),
        ("example", "*.example", False),
        ("b.example", "a.example", False),
    ],
)
def test_subsets_of_names(narrow: str, wide: str, expected: bool) -> None:
    assert is_subset(narrow, wide) is expected


def test_intersection_takes_the_narrower_of_each_pair() -> None:
    assert intersect(["*.example", "b.test"], ["a.example", "*", "c.test"]) == ["a.example", "*.example", "b.test"]


def test_the_most_specific_host_wins_and_keeps_the_order() -> None:
    candidates = [("*", 1), ("*.local", 2), ("shop.local", 3), ("SHOP.local", 4), ("other.local", 5)]
    assert best_match("shop.local", candidates) == [3, 4]
    assert best_match("cart.local", candidates) == [2]
    assert best_match("cart.local", [("x", 1)]) == []


def test_oldest_first_then_by_name() -> None:
    def body(name: str, created: str) -> dict:
        return {"metadata": {"name": name, "namespace": "n", "creationTimestamp": created}}

    listed = [body("c", "2026-01-02T00:00:00Z"), body("b", "2026-01-02T00:00:00Z"), body("z", "2026-01-01T00:00:00Z")]
    assert [one["metadata"]["name"] for one in by_age(listed)] == ["z", "b", "c"]


def test_domains_of_a_service() -> None:
    near = service_domains("shop", "ns", 80, client_namespace="ns", default_port=True)
    assert {"shop", "shop:80", "shop.ns", "shop.ns.svc", "shop.ns.svc.cluster.local:80"} <= set(near)
    far = service_domains("shop", "ns", 8080, client_namespace="else", default_port=False)
    assert far == ["shop.ns.svc.cluster.local:8080", "shop.ns.svc:8080", "shop.ns:8080"]
