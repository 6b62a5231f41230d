"""``traffic: synthetic``: sent while a release runs, never on the path of a rollback, refused before anything moves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from gitlab_mesh.core.load.plan import LoadPlan
from gitlab_mesh.core.load.result import KindResult, LoadResult
from gitlab_mesh.core.load.settings import LoadConfig
from gitlab_mesh.driver.synthetic import HEADER
from gitlab_mesh.errors import TransientError, UsageError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import release, service, user_objects

LOAD = LoadConfig("http://127.0.0.1:8080/", rate=70, headers={"host": "shop.example"})


class Sending:
    """Runs until it is stopped, like the real ones; remembers from when to when."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.plans: list[LoadPlan] = []
        self.stopped = threading.Event()

    def run(
        self, plan: LoadPlan, *, progress: Callable[[LoadResult], None], interrupted: Callable[[], int]
    ) -> LoadResult:
        self.plans.append(plan)
        if self.fault:
            raise self.fault
        patience = threading.Event()
        while not interrupted():
            patience.wait(0.005)
        self.stopped.set()
        result = LoadResult(70.0, {"all": KindResult("all", 1234)})
        progress(result)
        return result


def ports_with(load: Sending, config: LoadConfig = LOAD, traffic: str = "synthetic") -> ModelPorts:
    ports = ModelPorts(ShopModel(), replace(service(), load=config, traffic=traffic))
    ports.load = load  # type: ignore[assignment]
    return ports


def test_it_is_sent_from_the_begin_to_the_end_and_summed_up() -> None:
    ports = ports_with(load := Sending())
    assert release(ports, "1.5.0").exit_code == 0
    (plan,) = load.plans
    assert (plan.profile.mean_rate, plan.profile.seconds) == (70, ports.service.rollout.deadline)
    assert plan.headers == {"host": "shop.example", HEADER: "shop"}
    assert load.stopped.is_set()
    assert "synthetic traffic: 1\N{NARROW NO-BREAK SPACE}234 requests" in ports.console.text


@pytest.mark.parametrize("tag", ["bad", "1.5.0"])
@pytest.mark.parametrize("fault", [TransientError("no address"), RuntimeError("a bug")])
def test_its_failure_changes_no_verdict(tag: str, fault: Exception) -> None:
    ports = ports_with(Sending(fault))
    expected = release(ModelPorts(ShopModel(), service()), tag).exit_code
    assert release(ports, tag).exit_code == expected
    why = "no address" if isinstance(fault, TransientError) else "RuntimeError"
    assert f"synthetic traffic failed: {why}" in ports.console.text


def test_nothing_is_sent_for_natural_traffic_and_for_a_dry_run() -> None:
    ports = ports_with(load := Sending(), traffic="natural")
    release(ports, "1.5.0")
    assert not load.plans
    ports = ports_with(load := Sending())
    release(ports, "1.5.0", dry_run=True)
    assert not load.plans


@pytest.mark.parametrize(
    ("config", "leash", "text"),
    [
        (replace(LOAD, target=None), None, "there is no target"),
        (replace(LOAD, target="http://shop.example/"), None, "may not be loaded"),
        (LOAD, "10", "more than the 10 allowed"),
        (replace(LOAD, max_rps=20.0), "1000", "more than the 20 allowed"),
        (LOAD, "many", "is no number"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_moves(config: LoadConfig, leash: str | None, text: str) -> None:
    ports = ports_with(load := Sending(), config)
    before = user_objects(ports.model)
    with pytest.raises(UsageError, match=text):
        release(ports, "1.5.0", load_max_rps=leash)
    assert user_objects(ports.model) == before
    assert not load.plans
