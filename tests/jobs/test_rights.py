"""The smallest Role: a whole run passes with exactly it, and fails clearly with each right removed."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gitlab_mesh.cli.main import cli
from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.driver.guarding import guard_rights, render_guard
from gitlab_mesh.driver.rights import needed_rights, optional_rights, render_rbac
from gitlab_mesh.errors import AccessDeniedError, GitlabMeshError
from gitlab_mesh.job import NO_SERVICE
from gitlab_mesh.ports import AccessRule
from gitlab_mesh.sandbox.apiserver.access import User
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from gitlab_mesh_jobs.canary.job import JOB as CANARY
from gitlab_mesh_jobs.recover.job import JOB as RECOVER
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import KillAt, Killed, assert_nothing_left, release, service, user_objects
from tests.jobs.test_policy import autoscaler

SHOP = service()
ALL = needed_rights(SHOP)


def role_of(settings: ServiceConfig, *, without: AccessRule | None = None) -> dict[str, Any]:
    """The rendered Role, one verb on one resource (and name) taken away."""
    role = copy.deepcopy(render_rbac([settings], account="deployer")[0])
    if without is None:
        return role
    rules = []
    for rule in role["rules"]:
        hit = (
            rule["resources"] == [without.resource]
            and rule["apiGroups"] == [without.group]
            and without.verb in rule["verbs"]
            and (not without.name or without.name in rule.get("resourceNames", ()))
            and bool(without.name) == bool(rule.get("resourceNames"))
        )
        if not hit:
            rules.append(rule)
            continue
        rest = [verb for verb in rule["verbs"] if verb != without.verb]
        if rest:
            rules.append({**rule, "verbs": rest})
        others = [name for name in rule.get("resourceNames", ()) if name != without.name]
        if others:
            rules.append({**rule, "resourceNames": others, "verbs": [without.verb]})
    return {**role, "rules": rules}


def ports_with(model: ShopModel, role: dict[str, Any], settings: ServiceConfig = SHOP, **changes: Any) -> ModelPorts:
    number = len(model.cluster.server.users) if hasattr(model.cluster.server, "users") else id(role)
    user = User(f"deployer-{number}", f"token-{number}", (role,))
    return ModelPorts(model, settings, cluster=model.cluster.as_actor("gitlab-mesh", user=user), **changes)


@pytest.mark.parametrize("tag", ["1.5.0", "bad"])
def test_a_whole_run_passes_with_exactly_the_printed_role(tag: str) -> None:
    objects = [*shop_objects(replicas=4), autoscaler(2)]
    objects[2]["spec"]["subsets"] = []
    model = ShopModel(objects)
    before = user_objects(model)
    ports = ports_with(model, role_of(SHOP))
    result = release(ports, tag)
    assert result.exit_code == (10 if tag == "bad" else 0)
    assert "no Events" not in ports.console.text
    if tag == "bad":
        assert_nothing_left(model, before)


def test_a_run_without_destination_rule_creates_and_deletes_its_own_with_the_printed_role() -> None:
    model = ShopModel([item for item in shop_objects() if item["kind"] != "DestinationRule"])
    before = user_objects(model)
    assert release(ports_with(model, role_of(SHOP)), "bad").exit_code == 10
    assert_nothing_left(model, before)


def test_a_lost_run_is_resumed_and_rolled_back_with_the_printed_role() -> None:
    for job in ("resume", "roll back"):
        model = ShopModel()
        cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(16, after=True))
        with pytest.raises(Killed):
            release(ModelPorts(model, SHOP, cluster=cluster), "1.5.0")
        ports = ports_with(model, role_of(SHOP), driver=Driver("100", "1001"))
        result = release(ports, "1.5.0") if job == "resume" else ROLLBACK.run(ports, {})
        assert result.exit_code == 0


@pytest.mark.parametrize("right", ALL, ids=lambda right: f"{right.verb}-{right.resource}-{right.name}".strip("-"))
def test_each_right_that_is_missing_is_named_before_anything_happens(right: AccessRule) -> None:
    model = ShopModel()
    before = user_objects(model)
    ports = ports_with(model, role_of(SHOP, without=right))
    with pytest.raises(GitlabMeshError) as caught:
        CANARY.run(ports, {"image": "registry.example/shop:1.5.0"})
    assert isinstance(caught.value, AccessDeniedError)
    assert right.verb in str(caught.value)
    assert right.resource.partition("/")[0] in str(caught.value)
    assert_nothing_left(model, before)
    assert not model.cluster.list("Lease", "shop")


def test_no_right_is_declared_that_no_run_uses() -> None:
    used: set[tuple[str, str]] = set()
    scaled = [*shop_objects(replicas=4), autoscaler(2)]
    for objects, tag in ((shop_objects(), "1.5.0"), (scaled, "bad"), (shop_objects(), "crash")):
        if tag == "bad":
            objects = [item for item in objects if item["kind"] != "DestinationRule"]
        model = ShopModel(objects)
        cluster = model.cluster.as_actor("gitlab-mesh")
        cluster.fault = Collect(used)
        smoke = replace(SHOP, smoke=())
        release(ModelPorts(model, smoke, cluster=cluster), tag)
    for number in range(3, 12):
        model = ShopModel()
        dying = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=False))
        with pytest.raises(Killed):
            release(ModelPorts(model, SHOP, cluster=dying), "1.5.0")
        cluster = model.cluster.as_actor("gitlab-mesh", fault=Collect(used))
        ROLLBACK.run(ModelPorts(model, SHOP, cluster=cluster), {})
    used.add(("get", "pods/proxy"))  # by the real metric source, which the model replaces
    used |= {("patch", "destinationrules"), ("list", "virtualservices")}  # missing subsets; found by host
    declared = {(right.verb, right.resource) for right in (*ALL, *optional_rights(SHOP))}
    assert declared == used


class Collect:
    """Notes verb and resource of every call."""

    def __init__(self, used: set[tuple[str, str]]) -> None:
        self.used = used

    def before(self, call: Any) -> None:
        if call.kind != "SelfSubjectAccessReview":
            kind, slash, below = call.kind.partition("/")
            self.used.add((call.verb, f"{kind.lower()}s{slash}{below}"))

    def after(self, call: Any) -> None:
        return


def test_the_guard_ends_a_lost_rollout_with_exactly_its_role() -> None:
    role = next(item for item in render_guard(namespace="shop", image="x") if item["kind"] == "Role")
    for at in (8, 16, 24):
        model = ShopModel([*shop_objects(replicas=4), autoscaler(2)])
        before = user_objects(model)
        cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(at, after=True))
        with pytest.raises(Killed):
            release(ModelPorts(model, SHOP, cluster=cluster), "1.5.0")
        ports = ports_with(model, role, NO_SERVICE, driver=Driver("", "local-guard-1"))
        result = RECOVER.run(ports, {"namespace": "shop", "expired": True})
        assert (result.exit_code, result.report.outcome) == (0, Outcome.ROLLED_BACK)
        assert_nothing_left(model, before)


def test_the_guard_may_create_nothing_but_events() -> None:
    rules = next(item for item in render_guard(namespace="shop", image="x") if item["kind"] == "Role")["rules"]
    creates = [rule["resources"] for rule in rules if "create" in rule["verbs"] or "*" in rule["verbs"]]
    assert creates == [["events"]]
    assert {right.verb for right in guard_rights("shop")} <= {"get", "list", "patch", "delete"}


def test_both_are_printed_as_yaml(tmp_path: Any) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("version: 1\nservices:\n  shop:\n    namespace: shop\n    route: {virtualService: shop}\n")
    runner = CliRunner()
    printed = runner.invoke(cli, ["rbac", "render", "--config", str(path), "--account", "ci"], catch_exceptions=False)
    role, binding = yaml.safe_load_all(printed.output)
    assert (role["kind"], binding["subjects"][0]["name"]) == ("Role", "ci")
    assert role == role_of(replace(ServiceConfig("shop", "shop"), route=SHOP.route))
    guard = ["guard", "render", "--namespace", "shop", "--image", "registry.example/gitlab-mesh:1"]
    printed = runner.invoke(cli, guard, catch_exceptions=False)
    kinds = [item["kind"] for item in yaml.safe_load_all(printed.output)]
    assert kinds == ["ServiceAccount", "Role", "RoleBinding", "CronJob"]
    assert re.search(r"recover\n.*--namespace\n.*shop\n.*--expired", printed.output)
    everywhere = runner.invoke(cli, [*guard, "--all-namespaces"], catch_exceptions=False)
    assert "ClusterRole" in everywhere.output
