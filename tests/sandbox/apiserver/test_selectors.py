"""Label and field selectors."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.sandbox.apiserver.resources import resource_of_kind
from gitlab_mesh.sandbox.apiserver.selectors import parse_field_selector, parse_label_selector
from gitlab_mesh.sandbox.apiserver.status import StatusError

LABELS = {"app": "shop", "version": "v1", "gitlab-mesh.dev/side": "canary", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=shop", True),
        ("app==shop", True),
        ("app = shop", True),
        ("app=other", False),
        ("app!=other", True),
        ("app!=shop", False),
        ("missing!=x", True),
        ("version in (v1,v2)", True),
        ("version in (v2, v3)", False),
        ("version notin (v2,v3)", True),
        ("version notin (v1)", False),
        ("missing notin (v1)", True),
        ("missing in (v1)", False),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("app=shop,version=v1", True),
        ("app=shop,version=v2", False),
        ("app=shop,version in (v1,v2),!missing", True),
        ("gitlab-mesh.dev/side=canary", True),
        ("empty=", True),
        ("empty", True),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert parse_label_selector(selector)({"metadata": {"labels": LABELS}}) is matches


def test_an_object_without_labels_matches_only_what_asks_for_none() -> None:
    body: dict[str, Any] = {"metadata": {}}
    assert parse_label_selector("!app")(body)
    assert not parse_label_selector("app")(body)


@pytest.mark.parametrize("selector", ["a=b=c", "a in b", "=x", "a in (b", "a b"])
def test_a_selector_that_cannot_be_read_is_refused(selector: str) -> None:
    with pytest.raises(StatusError, match="unable to parse requirement") as caught:
        parse_label_selector(selector)
    assert caught.value.code == 400


POD = {
    "metadata": {"name": "shop-1", "namespace": "shop"},
    "spec": {"nodeName": "node-1"},
    "status": {"phase": "Running"},
}
EVENT = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "shop-1", "uid": "u"}, "reason": "Pulled"}


@pytest.mark.parametrize(
    ("kind", "selector", "matches"),
    [
        ("Pod", "metadata.name=shop-1", True),
        ("Pod", "metadata.name!=shop-1", False),
        ("Pod", "metadata.namespace=shop,status.phase=Running", True),
        ("Pod", "status.phase!=Running", False),
        ("Pod", "spec.nodeName==node-1", True),
        ("Pod", "spec.nodeName=", False),
        ("Event", "involvedObject.name=shop-1,involvedObject.kind=Pod", True),
        ("Event", "involvedObject.uid=v", False),
        ("Event", "reason=Pulled", True),
    ],
)
def test_field_selectors(kind: str, selector: str, matches: bool) -> None:
    body = POD if kind == "Pod" else EVENT
    assert parse_field_selector(resource_of_kind(kind), selector)(body) is matches


def test_a_field_that_the_kind_does_not_select_by_is_refused() -> None:
    with pytest.raises(StatusError, match=r"field label not supported: spec\.hosts"):
        parse_field_selector(resource_of_kind("VirtualService"), "spec.hosts=x")
