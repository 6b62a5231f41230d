"""A Service that selects by the label of the sides is refused before anything happens."""

from __future__ import annotations

from typing import Any

import pytest

from gitlab_mesh.errors import UsageError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from tests.jobs.releases import assert_nothing_left, release, service, user_objects


def world(**selector: str) -> ShopModel:
    objects = shop_objects()
    objects[1]["spec"]["selector"] = {"app": "shop", **selector}
    return ShopModel(objects)


def test_a_service_that_selects_stable_only_is_refused_with_the_remedy() -> None:
    model = world(version="stable")
    before = user_objects(model)
    with pytest.raises(UsageError) as caught:
        release(ModelPorts(model, service()), "1.5.0")
    said = str(caught.value)
    assert "Service shop/shop selects its pods by version=stable" in said
    assert "canary pods have version=canary" in said
    assert (
        """kubectl -n shop patch service shop --type=json -p '[{"op": "remove", "path": "/spec/selector/version"}]'"""
        in said
    )
    assert "services.shop.subsets.label" in said
    assert_nothing_left(model, before)
    assert not model.cluster.list("Lease", "shop")


def test_the_remedy_works() -> None:
    model = world(version="stable")
    model.cluster.patch("Service", "shop", "shop", [{"op": "remove", "path": "/spec/selector/version"}])
    assert release(ModelPorts(model, service()), "1.5.0").exit_code == 0


def test_a_service_that_selects_the_canary_only_leaves_stable_without_requests() -> None:
    with pytest.raises(UsageError, match="stable pods have version=stable and do not belong to it"):
        release(ModelPorts(world(version="canary"), service()), "1.5.0")


def test_other_labels_and_hosts_without_a_service_are_no_hindrance() -> None:
    assert release(ModelPorts(world(), service()), "1.5.0").exit_code == 0
    objects: list[dict[str, Any]] = [item for item in shop_objects() if item["kind"] != "Service"]
    assert release(ModelPorts(ShopModel(objects), service()), "1.5.0").exit_code == 0
