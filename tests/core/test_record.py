"""The rollout record: written and read back whole, bounded, and never guessed at."""

from __future__ import annotations

import json

import pytest

from gitlab_mesh.config.model import RouteConfig, ServiceConfig, WorkloadConfig
from gitlab_mesh.core.record import (
    MAX_BYTES,
    Driver,
    PastRelease,
    Record,
    SideIdentity,
    is_newer,
    parse_record,
    render_record,
)
from gitlab_mesh.driver.snapshot import recorded_service, take_snapshot
from gitlab_mesh.errors import ConflictError, UsageError

RECORD = Record(
    id="shop-1",
    service="shop",
    namespace="shop",
    fence=3,
    driver=Driver("100", "1000", "https://gitlab.example/jobs/1000", "abc"),
    phase="step",
    step=1,
    weight=0.25,
    steps=(0.05, 0.25),
    stable=SideIdentity("shop", "shop:1", ("sha256:a",), "h", 3),
    canary=SideIdentity("shop-canary", "shop:2", ("sha256:b",)),
    originals={"VirtualService/shop/shop": {"http": {}}},
    created=("Deployment/shop/shop-canary",),
    rejected_digests=("sha256:c",),
    history=(PastRelease("shop-0", "shop:1", "promoted"),),
    settings={"drain": 30.0},
    previous_template={"spec": {}},
)


def test_it_is_read_back_whole() -> None:
    assert parse_record(render_record(RECORD), name="x") == RECORD


def test_fields_of_a_newer_patch_version_are_passed_over_and_missing_ones_have_their_defaults() -> None:
    raw = json.loads(render_record(RECORD)["record.json"])
    raw["of tomorrow"] = 1
    del raw["history"], raw["settings"], raw["pause_step"]
    found = parse_record({"record.json": json.dumps(raw)}, name="x")
    assert found == RECORD.with_(history=(), settings={})


@pytest.mark.parametrize("text", ['{"schema": 99}', "{", '{"schema": 1}', "[]", '{"schema": 1, "driver": 5}'])
def test_what_cannot_be_read_is_nobodys_to_guess(text: str) -> None:
    with pytest.raises(ConflictError) as caught:
        parse_record({"record.json": text}, name="shop/gitlab-mesh-shop")
    assert "shop/gitlab-mesh-shop" in caught.value.what
    assert caught.value.hint


def test_comfort_gives_way_before_the_record_is_refused() -> None:
    past = tuple(PastRelease(f"shop-{number}", reason="x" * 200) for number in range(20))
    large = RECORD.with_(history=past, previous_template={"spec": "y" * 64_000})
    text = render_record(large)["record.json"]
    assert len(text) <= MAX_BYTES
    found = parse_record({"record.json": text}, name="x")
    assert found is not None
    assert found.originals == large.originals
    assert found.previous_template == {}
    with pytest.raises(UsageError, match="would have"):
        render_record(RECORD.with_(originals={"x": "z" * MAX_BYTES}))


@pytest.mark.parametrize(
    ("there", "ours", "newer"), [("101", "100", True), ("100", "100", False), ("99", "100", False), ("", "1", False)]
)
def test_newer_pipelines_have_greater_ids(there: str, ours: str, newer: bool) -> None:
    assert is_newer(there, ours) is newer


def test_a_rollback_needs_no_mesh_yaml() -> None:
    service = ServiceConfig(
        "checkout",
        "shop",
        RouteConfig("public", also=("inner",), http=("primary",)),
        host="shop",
        workload=WorkloadConfig(name="shop", canary="shop-next"),
    )
    record = RECORD.with_(service="checkout", settings=json.loads(json.dumps(take_snapshot(service))))
    found = recorded_service(record)
    assert found == service
    renamed = ServiceConfig("checkout", "shop", RouteConfig("other"))
    assert recorded_service(record, renamed).route == service.route
