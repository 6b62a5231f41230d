"""The printed Roles on a real authorizer: every call of whole runs is granted, and each right taken away is noticed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gitlab_mesh.adapters.kubernetes.client import KubernetesAccess, KubernetesCluster, KubernetesPodProxy, connect
from gitlab_mesh.core.kinds import KINDS, find_kind
from gitlab_mesh.core.record import Driver
from gitlab_mesh.driver.guarding import render_guard
from gitlab_mesh.driver.rights import needed_rights, optional_rights
from gitlab_mesh.errors import AccessDeniedError
from gitlab_mesh.job import NO_SERVICE
from gitlab_mesh.ports import AccessRule
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel, shop_objects
from gitlab_mesh_jobs.canary.job import JOB as CANARY
from gitlab_mesh_jobs.recover.job import JOB as RECOVER
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.e2e.controlplane.control_plane import ControlPlane, wait_until
from tests.jobs.releases import KillAt, Killed, assert_nothing_left, release, service, user_objects
from tests.jobs.test_policy import autoscaler
from tests.jobs.test_rights import role_of

SHOP = service()
NEEDED = needed_rights(SHOP)
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop"
_numbers = itertools.count()


@dataclass
class Deployer:
    """A CI job's service account on the real server."""

    plane: ControlPlane
    name: str
    cluster: KubernetesCluster
    proxy: KubernetesPodProxy
    access: KubernetesAccess

    def give(self, role: dict[str, Any], denied: list[AccessRule]) -> None:
        """Give it this Role and wait until exactly these needed rights are missing."""
        body = {"metadata": {"name": self.name}, "rules": role["rules"]}
        self.plane.json("PUT", f"{_RBAC}/roles/{self.name}", body)
        wait_until("the Role to be in force", lambda: self.access.denied(NEEDED) == denied)


@pytest.fixture(scope="module")
def deployer(plane: ControlPlane, accounts: dict[str, Any]) -> Iterator[Deployer]:
    name = f"deployer-{next(_numbers)}"
    plane.json("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": name}})
    plane.json("POST", f"{_RBAC}/roles", {"metadata": {"name": name}, "rules": []})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "shop"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    plane.json(
        "POST", f"{_RBAC}/rolebindings", {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
    )
    link = connect(None, {"KUBECONFIG": str(plane.account_kubeconfig("shop", name))})
    yield Deployer(plane, name, KubernetesCluster(link), KubernetesPodProxy(link), KubernetesAccess(link))
    link.close()


class Collect:
    """Notes every call as the right that it needs; a request that creates carries no name."""

    def __init__(self) -> None:
        self.calls: set[AccessRule] = set()

    def before(self, call: Any) -> None:
        if call.kind == "SelfSubjectAccessReview":
            return
        kind, slash, below = call.kind.partition("/")
        known = KINDS[kind]
        name = "" if call.verb in ("create", "list") else call.name
        self.calls.add(AccessRule(call.verb, known.group, f"{known.plural}{slash}{below}", call.namespace, name))

    def after(self, call: Any) -> None:
        return


def calls_of_releases() -> set[AccessRule]:
    """Good, bad and crashing releases, with an autoscaler and without DestinationRule, lost ones taken back."""
    noted = Collect()
    scaled = [item for item in (*shop_objects(replicas=4), autoscaler(2)) if item["kind"] != "DestinationRule"]
    for objects, tag in ((shop_objects(), "1.5.0"), (scaled, "bad"), (shop_objects(), "crash")):
        model = ShopModel(objects)
        cluster = model.cluster.as_actor("gitlab-mesh", fault=noted)
        release(ModelPorts(model, SHOP, cluster=cluster), tag)
    for number in range(3, 24, 2):
        model = ShopModel()
        dying = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=False))
        with pytest.raises(Killed):
            release(ModelPorts(model, SHOP, cluster=dying), "1.5.0")
        cluster = model.cluster.as_actor("gitlab-mesh", fault=noted)
        ROLLBACK.run(ModelPorts(model, SHOP, cluster=cluster), {})
    return noted.calls


def test_every_call_of_whole_runs_is_granted_by_the_printed_role(deployer: Deployer) -> None:
    calls = calls_of_releases()
    assert len(calls) > 25
    deployer.give(role_of(SHOP), [])
    assert deployer.access.denied(calls) == []
    assert deployer.access.denied(optional_rights(SHOP)) == []


def test_the_printed_role_grants_nothing_else(deployer: Deployer) -> None:
    deployer.give(role_of(SHOP), [])
    granted = {(rule.verb, rule.resource) for rule in (*NEEDED, *optional_rights(SHOP))}
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    others = [
        AccessRule(verb, kind.group, kind.plural, "shop")
        for kind in KINDS.values()
        for verb in verbs
        if kind.namespaced and (verb, kind.plural) not in granted
    ]
    assert len(others) > 60
    assert deployer.access.denied(others) == others
    elsewhere = [AccessRule(rule.verb, rule.group, rule.resource, "other", rule.name) for rule in NEEDED]
    assert deployer.access.denied(elsewhere) == elsewhere
    for_other_names = [
        AccessRule(rule.verb, rule.group, rule.resource, "shop", "of-somebody-else") for rule in NEEDED if rule.name
    ]
    assert deployer.access.denied(for_other_names) == for_other_names


@pytest.mark.parametrize("right", NEEDED, ids=lambda right: f"{right.verb}-{right.resource}-{right.name}".strip("-"))
def test_each_right_that_is_missing_is_named_before_anything_happens(deployer: Deployer, right: AccessRule) -> None:
    deployer.give(role_of(SHOP, without=right), [right])
    model = ShopModel()
    before = user_objects(model)
    ports = ModelPorts(model, SHOP)
    ports.access = deployer.access  # type: ignore[assignment]
    with pytest.raises(AccessDeniedError) as caught:
        CANARY.run(ports, {"image": "registry.example/shop:1.5.0"})
    resource = f"{right.resource}.{right.group}" if right.group else right.resource
    assert f"the token may not {right.verb} {resource}" in caught.value.what
    assert_nothing_left(model, before)
    with pytest.raises(AccessDeniedError, match=f"no right to {right.verb} {right.resource}"):
        do(deployer, right)()


def do(deployer: Deployer, right: AccessRule) -> Callable[[], object]:
    """The call that needs the right, as the adapters send it."""
    plural, _, below = right.resource.partition("/")
    kind = next(one for one in KINDS.values() if (one.group, one.plural) == (right.group, plural))
    space, name, cluster = right.namespace, right.name or "anything", deployer.cluster
    if below:
        return lambda: deployer.proxy.get_path(space, name, 8080, "/", timeout=5)
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name, "namespace": space}}
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: cluster.get(kind.name, space, name),
        "list": lambda: cluster.list(kind.name, space),
        "create": lambda: cluster.create(body),
        "patch": lambda: cluster.patch(kind.name, space, name, [{"op": "test", "path": "/kind", "value": ""}]),
        "delete": lambda: cluster.delete(kind.name, space, name),
    }
    return calls[right.verb]


def test_every_call_of_the_guard_is_granted_by_its_role(deployer: Deployer) -> None:
    noted = Collect()
    for at in (8, 16, 24):
        model = ShopModel([*shop_objects(replicas=4), autoscaler(2)])
        cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(at, after=True))
        with pytest.raises(Killed):
            release(ModelPorts(model, SHOP, cluster=cluster), "1.5.0")
        guard = model.cluster.as_actor("gitlab-mesh", fault=noted)
        ports = ModelPorts(model, NO_SERVICE, cluster=guard, driver=Driver("", "local-guard-1"))
        assert RECOVER.run(ports, {"namespace": "shop", "expired": True}).exit_code == 0
    role = next(item for item in render_guard(namespace="shop", image="x") if item["kind"] == "Role")
    body = {"metadata": {"name": deployer.name}, "rules": role["rules"]}
    deployer.plane.json("PUT", f"{_RBAC}/roles/{deployer.name}", body)
    wait_until("the guard's Role to be in force", lambda: deployer.access.denied(noted.calls) == [])
    may_create = [AccessRule("create", "", find_kind("ConfigMap").plural, "shop")]
    assert deployer.access.denied(may_create) == may_create
