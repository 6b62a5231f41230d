"""``--dry-run`` prints the patches of the whole release: exactly those that the release then makes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from gitlab_mesh.config.model import RouteConfig, ServiceConfig, StepConfig, WatchConfig
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.report.model import Outcome, TableSection, TextSection
from gitlab_mesh.job import JobResult
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import FAST, release, service

ANY = "of the rollout"


def neutral(operations: Any) -> Any:
    """The operations without what names the rollout or a version of an object."""
    found = []
    for item in json.loads(json.dumps(operations, default=list)):
        if item["path"] == "/metadata/resourceVersion":
            continue
        if "gitlab-mesh.dev~1rollout" in item["path"] and "value" in item:
            item["value"] = ANY
        if item["path"] == "/metadata/annotations" and "value" in item:
            item["value"] = dict.fromkeys(item["value"], ANY)
        found.append(item)
    return found


def planned(result: JobResult, kind: str) -> list[Any]:
    return [
        neutral(json.loads(section.text))
        for section in result.report.sections
        if isinstance(section, TextSection) and f": patch {kind} " in section.title
    ]


def made(settings: ServiceConfig, kind: str) -> list[Any]:
    """Every patch of a kind that a release makes, in its order."""
    model = ShopModel()
    cluster = model.cluster.as_actor("gitlab-mesh")
    seen: list[Any] = []

    class Witness:
        def before(self, call: Any) -> None:
            if call.verb == "patch" and call.kind == kind:
                seen.append((call.name, neutral(call.body)))

        def after(self, call: Any) -> None:
            return

    cluster.fault = Witness()
    assert release(ModelPorts(model, settings, cluster=cluster), "1.5.0").exit_code == 0
    bodies = [body for name, body in seen if name == "shop"]
    return [body for body, _ in groupby(bodies)]  # several at once are tried first, without being kept


SETTINGS = {
    "two steps": service(),
    "three steps and a watch": service(
        rollout=replace(
            FAST, steps=(StepConfig(1), StepConfig(20), StepConfig(50)), watch=WatchConfig(10.0), step_bake=5.0
        )
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "Deployment"])
def test_it_prints_the_patches_that_the_release_makes(name: str, kind: str) -> None:
    settings = SETTINGS[name]
    result = release(ModelPorts(ShopModel(), settings), "1.5.0", dry_run=True)
    assert result.report.outcome is Outcome.PLANNED
    patches = planned(result, kind)
    assert patches
    assert patches == made(settings, kind)


def test_it_names_each_step_and_when_it_comes() -> None:
    ports = ModelPorts(ShopModel(), SETTINGS["three steps and a watch"])
    result = release(ports, "1.5.0", dry_run=True)
    titles = [section.title for section in result.report.sections]
    order = [
        next(at for at, title in enumerate(titles) if title.startswith(start))
        for start in ("prepare:", "step 1,", "step 2,", "step 3,", "watch,", "promote,", "weight 0,", "put back:")
    ]
    assert order == sorted(order)
    table = next(section for section in result.report.sections if isinstance(section, TableSection))
    assert [row[0] for row in table.rows] == ["1", "2", "3", "watch", "promote"]
    assert '"path": "/spec/template"' in ports.console.text


def test_an_external_promotion_ends_with_the_last_step() -> None:
    settings = service(rollout=replace(FAST, promote="external"))
    result = release(ModelPorts(ShopModel(), settings), "1.5.0", dry_run=True)
    assert not planned(result, "Deployment")
    assert not any(section.title.startswith("promote,") for section in result.report.sections)


def test_a_budget_says_what_the_first_share_follows_from() -> None:
    settings = ServiceConfig(
        "shop",
        "shop",
        RouteConfig(virtual_service="shop"),
        rollout=replace(FAST, schedule="budget"),
        judge=JudgeSettings(bake_seconds=20.0),
    )
    result = release(ModelPorts(ShopModel(), settings), "1.5.0", dry_run=True)
    table = next(section for section in result.report.sections if isinstance(section, TableSection))
    assert table.rows[1][0] == "first, at 50 requests/s"
    assert "a budget of 20 bad requests" in result.report.headline
