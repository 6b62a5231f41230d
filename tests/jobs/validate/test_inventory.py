"""The inventory: what the cluster has becomes something that rules read and never report about."""

from __future__ import annotations

import pytest

from gitlab_mesh.adapters.inventory import READ_KINDS, export_inventory, read_live
from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.core.analysis.inspection import Request, inspect
from gitlab_mesh.core.istio_schema.catalog import engine_kind
from gitlab_mesh.core.kinds import INVENTORY_KINDS, find_kind
from gitlab_mesh.testing.shop import ShopModel

ROUTE = b"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: shop}
spec: {hosts: [edge], http: [{route: [{destination: {host: %s}}]}]}
"""


def codes(host: bytes) -> list[str]:
    request = Request(paths=("-",), extra=read_live(ShopModel().cluster))
    return [
        item.code for item in inspect(FileManifests(ROUTE % host), request).summary.findings if item.level == "error"
    ]


def test_live_objects_answer_references() -> None:
    assert codes(b"shop") == []
    assert codes(b"shpo") == ["GM0101"]


def test_an_export_can_be_read_again() -> None:
    text, left_out = export_inventory(ShopModel().cluster)
    assert left_out == list(INVENTORY_KINDS), "the model serves what a release needs"
    found = FileManifests(text.encode()).read(["-"], assumed=True)
    assert not found.problems
    assert {"Service shop/shop", "Namespace shop"} <= {item.resource for item in found.documents}
    assert all(item.assumed for item in found.documents)
    assert "Secret" not in text
    assert "managedFields" not in text


@pytest.mark.parametrize("word", READ_KINDS)
def test_every_kind_of_the_inventory_is_one_that_rules_read(word: str) -> None:
    kind = find_kind(word)
    assert engine_kind(kind.api_version, kind.name)
