"""Writes that an admission policy refuses (HTTP 400): the way back goes on trying and ends in a state with a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitlab_mesh.core.kube_status import map_status
from gitlab_mesh.errors import UnsafeError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import Calls, KillAt, Killed, release, service

DENIED = {"message": 'admission webhook "validate.policies.example" denied the request: no owner label'}


def refusing(model: ShopModel, kind: str, times: int) -> Calls:
    left = [times]

    def patch(do: Callable[[], Any], patched: str, namespace: str, name: str, *_: Any) -> Any:
        if patched != kind or not left[0]:
            return do()
        left[0] -= 1
        raise map_status(400, DENIED, verb="patch", kind=kind, namespace=namespace, name=name)

    return Calls(model, patch=patch)


def killed_with_a_weight() -> ShopModel:
    model = ShopModel()
    with pytest.raises(Killed):
        release(
            ModelPorts(model, service(), cluster=model.cluster.as_actor("gitlab-mesh", fault=KillAt(14, after=True))),
            "1.5.0",
        )
    assert model._share() > 0
    return model


def test_a_rollback_outlasts_a_policy_that_refuses_its_writes() -> None:
    model = killed_with_a_weight()
    assert ROLLBACK.run(ModelPorts(model, service(), cluster=refusing(model, "VirtualService", 3)), {}).exit_code == 0
    assert model._share() == 0


def test_a_policy_that_refuses_for_good_ends_as_23_and_is_quoted() -> None:
    model = killed_with_a_weight()
    with pytest.raises(UnsafeError, match=r'admission webhook "validate.policies.example"'):
        ROLLBACK.run(ModelPorts(model, service(), cluster=refusing(model, "VirtualService", 10**6)), {})
    assert model._share() > 0


def test_a_policy_that_refuses_writes_to_deployments_does_not_stand_before_weight_0() -> None:
    model = killed_with_a_weight()
    ROLLBACK.run(ModelPorts(model, service(), cluster=refusing(model, "Deployment", 10**6)), {})
    assert model._share() == 0
