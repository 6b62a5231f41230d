"""``mesh.yaml`` in ``validate``: its mistakes are findings, its services are checked against the objects."""

from __future__ import annotations

import pytest

from tests.jobs.validate.conftest import Run
from tests.jobs.validate.samples import GOOD, ROUTE

MESH = """\
version: 1
services:
  shop:
    namespace: shop
    route: {virtualService: shop}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: shop}
spec: {template: {metadata: {labels: {app: shop}}}}
"""


@pytest.fixture
def repository(run: Run) -> Run:
    run.write(GOOD + "---\n" + DEPLOYMENT, "objects.yaml")
    run.write(MESH)
    return run


def test_a_service_that_can_be_released(repository: Run) -> None:
    assert repository.codes(".") == []


def test_mistakes_have_their_place(repository: Run) -> None:
    repository.write(MESH.replace("virtualService", "virtualServce").replace("version: 1", "version: 2"))
    found = [(item["code"], item["file"], item["line"], item["column"]) for item in repository.json(".")["findings"]]
    assert found == [("GM0030", "mesh.yaml", 1, 10), ("GM0030", "mesh.yaml", 5, 13)]
    assert repository(".")[0] == 13


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("virtualService: shop", "virtualService: store", "GM1801", 5),
        ("route:", "workload: {name: store}\n    route:", "GM1802", 5),
    ],
)
def test_what_a_release_would_miss(repository: Run, old: str, new: str, code: str, line: int) -> None:
    repository.write(MESH.replace(old, new))
    (found,) = repository.json(".")["findings"]
    assert (found["code"], found["resource"], found["line"]) == (code, "mesh.yaml shop/shop", line)
    assert f"{line} |" in repository(".")[1], "the line of mesh.yaml is shown"


def test_a_route_that_cannot_be_moved(repository: Run) -> None:
    two = GOOD.replace("  - route:", "  - name: a\n    route:\n    - destination: {host: shop}\n  - route:")
    repository.write(two + "---\n" + DEPLOYMENT, "objects.yaml")
    found = [item for item in repository.json(".")["findings"] if item["code"] == "GM1803"]
    assert [item["resource"] for item in found] == ["VirtualService shop/shop"]
    assert "2 HTTP routes lead to" in found[0]["message"]


def test_inventory_and_assumptions_of_the_file(repository: Run) -> None:
    repository.write(ROUTE.partition("---")[0] + "---\n" + DEPLOYMENT, "objects.yaml")
    assert "GM0100" in repository.codes("objects.yaml")
    repository.write(MESH + "assume: shpo.shop.svc.cluster.local\n")
    assert "GM0100" not in repository.codes("objects.yaml")
    repository.write(GOOD.partition("---\n")[2].replace("shop,", "shpo,", 1), "elsewhere.yaml")
    repository.write(MESH + "inventory: [elsewhere.yaml]\n")
    assert "GM0100" not in repository.codes("objects.yaml")
    repository.write(MESH + "inventory: [nowhere.yaml]\n")
    assert repository("objects.yaml")[0] == 2
    repository.write(MESH + "assume: [1]\n")
    assert "GM0030" in repository.codes("objects.yaml")


def test_a_manifest_of_that_name_is_none_of_ours(repository: Run) -> None:
    repository.write(GOOD)
    assert repository.codes("mesh.yaml") == []


def test_a_path_from_the_environment(repository: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write(MESH.replace("version: 1", "version: 9"), "other.yaml")
    monkeypatch.setenv("GITLAB_MESH_CONFIG", "other.yaml")
    assert repository.codes("objects.yaml") == ["GM0030"]
