"""Lock and record of one run: who may still write."""

from __future__ import annotations

from gitlab_mesh.core.record import Record
from gitlab_mesh.driver.ledger import Ledger
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import ShopModel
from tests.jobs.releases import service


def ledger(ports: ModelPorts) -> Ledger:
    record, version = ports.store.read()
    return Ledger(ports, record or Record("shop-1", "shop", "shop", 0, ports.driver, "lock"), version)


def test_a_job_that_lives_on_beside_its_after_script_stops_even_before_the_record_says_so() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    job, after_script = ledger(ports), ledger(ports)
    job.acquire(over=None)
    job.write()
    after_script.acquire(over=ports.lock.read())  # the same CI job, the same identity; its record is not written yet
    model.clock.sleep(service().rollout.lease / 2)
    assert "not ours any more" in job.heartbeat()
    assert job.lease is None
    assert not after_script.heartbeat()


def test_a_lease_that_somebody_deleted_is_taken_anew() -> None:
    model = ShopModel()
    ports = ModelPorts(model, service())
    job = ledger(ports)
    job.acquire(over=None)
    job.write()
    model.cluster.as_actor("kubectl").delete("Lease", "shop", "gitlab-mesh-shop")
    model.clock.sleep(service().rollout.lease / 2)
    assert job.heartbeat() == ""
    assert job.lease is not None
