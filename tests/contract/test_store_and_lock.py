"""What RolloutStore and Lock promise, on the cluster in memory and on the real client alike."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from gitlab_mesh.adapters.kubernetes.lock import JOB_URL_ANNOTATION, LeaseLock
from gitlab_mesh.adapters.kubernetes.store import ConfigMapRolloutStore
from gitlab_mesh.core.record import Driver, Record, SideIdentity
from gitlab_mesh.errors import AccessDeniedError, ConflictError, UsageError
from gitlab_mesh.ports import LeaseState

from .conftest import World

ALICE = Driver(pipeline="77", job="1001", url="https://gitlab.example/shop/-/jobs/1001")
BOB = Driver(pipeline="78", job="1002", url="https://gitlab.example/shop/-/jobs/1002")


def record(**changes: object) -> Record:
    first = Record(
        id="r1",
        service="shop",
        namespace="shop",
        fence=1,
        driver=ALICE,
        phase="step",
        weight=0.05,
        steps=(0.05, 0.5),
        stable=SideIdentity("shop", "shop:1", ("sha256:a",), "h", 3),
        originals={"VirtualService/shop/shop": {"weight": 100, "annotation": None}},
        created=("Deployment/shop/shop-canary",),
    )
    return first.with_(**changes)


@pytest.fixture
def store(world: World) -> ConfigMapRolloutStore:
    return ConfigMapRolloutStore(world.admin.cluster, "shop", "shop")


@pytest.fixture
def new_lock(world: World) -> Callable[[], LeaseLock]:
    return lambda: LeaseLock(world.admin.cluster, "shop", "shop", duration_seconds=29.5, clock=world.clock)


@pytest.fixture
def lock(new_lock: Callable[[], LeaseLock]) -> LeaseLock:
    return new_lock()


# RolloutStore


def test_nothing_is_stored_at_first(store: ConfigMapRolloutStore) -> None:
    assert store.read() == (None, "")


def test_a_record_comes_back_as_it_was(world: World, store: ConfigMapRolloutStore) -> None:
    version = store.write(record(), "")
    assert store.read() == (record(), version)
    found = world.foreign.get("ConfigMap", "shop", "gitlab-mesh-shop")
    assert found["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "gitlab-mesh",
        "gitlab-mesh.dev/service": "shop",
    }


def test_writes_follow_one_another(store: ConfigMapRolloutStore) -> None:
    first = store.write(record(), "")
    second = store.write(record(weight=0.1), first)
    third = store.write(record(weight=0.25), second)
    assert len({first, second, third}) == 3
    assert store.read() == (record(weight=0.25), third)


def test_the_second_writer_loses(store: ConfigMapRolloutStore) -> None:
    version = store.write(record(), "")
    store.write(record(weight=0.1), version)
    for stale in (version, "", "999999"):
        with pytest.raises(ConflictError, match=r"somebody else wrote it(.|\n)*job status --service shop"):
            store.write(record(weight=0.9), stale)
    assert store.read()[0] == record(weight=0.1)


def test_a_record_deleted_meanwhile_is_a_conflict(world: World, store: ConfigMapRolloutStore) -> None:
    version = store.write(record(), "")
    world.foreign.delete("ConfigMap", "shop", "gitlab-mesh-shop")
    with pytest.raises(ConflictError):
        store.write(record(), version)


def test_what_people_noted_beside_it_stays(world: World, store: ConfigMapRolloutStore) -> None:
    store.write(record(), "")
    note = [{"op": "add", "path": "/metadata/annotations", "value": {"note": "do not touch"}}]
    world.foreign.patch("ConfigMap", "shop", "gitlab-mesh-shop", note)
    _, version = store.read()
    store.write(record(weight=0.1), version)
    found = world.foreign.get("ConfigMap", "shop", "gitlab-mesh-shop")
    assert found["metadata"]["annotations"] == {"note": "do not touch"}


def test_a_config_map_without_record(world: World, store: ConfigMapRolloutStore) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gitlab-mesh-shop", "namespace": "shop"}}
    world.foreign.create(body)
    found, version = store.read()
    assert found is None
    store.write(record(), version)
    assert store.read()[0] == record()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1}', "null"])
def test_an_unreadable_record_is_never_guessed(world: World, store: ConfigMapRolloutStore, text: str) -> None:
    metadata = {"name": "gitlab-mesh-shop", "namespace": "shop"}
    world.foreign.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"record.json": text}})
    with pytest.raises(ConflictError, match="shop/gitlab-mesh-shop"):
        store.read()


def test_a_record_too_large_is_refused_before_it_is_sent(store: ConfigMapRolloutStore) -> None:
    with pytest.raises(UsageError, match="bytes"):
        store.write(record(originals={"x": "y" * 70_000}), "")
    assert store.read() == (None, "")


def test_a_missing_right_is_no_conflict(world: World) -> None:
    store = ConfigMapRolloutStore(world.reader.cluster, "shop", "shop")
    with pytest.raises(AccessDeniedError, match="create configmaps"):
        store.write(record(), "")


# Lock


def test_nobody_ever_held_it(lock: LeaseLock) -> None:
    assert lock.read() is None


def test_first_acquire(world: World, lock: LeaseLock) -> None:
    lease = lock.acquire(ALICE, over=None)
    assert (lease.holder, lease.fence, lease.duration_seconds) == ("77/1001", 1, 30.0)
    assert lock.read() == lease
    found = world.foreign.get("Lease", "shop", "gitlab-mesh-shop")
    assert found["metadata"]["annotations"] == {JOB_URL_ANNOTATION: ALICE.url}
    assert found["metadata"]["labels"]["gitlab-mesh.dev/service"] == "shop"
    assert found["spec"]["renewTime"] == found["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"


def test_the_second_driver_reads_who_holds_it(lock: LeaseLock) -> None:
    lock.acquire(ALICE, over=None)
    with pytest.raises(ConflictError) as caught:
        lock.acquire(BOB, over=None)
    said = str(caught.value)
    assert "held by pipeline 77, job 1001 (https://gitlab.example/shop/-/jobs/1001)" in said
    assert "gitlab-mesh job status --service shop" in said


def test_renewals_change_the_stamp_even_if_the_clock_stands(lock: LeaseLock) -> None:
    lease = lock.acquire(ALICE, over=None)
    stamps = [lease.stamp]
    for _ in range(3):
        lease = lock.renew(lease)
        stamps.append(lease.stamp)
    assert all(before != after for before, after in pairwise(stamps))
    assert lease.fence == 1
    assert lock.read() == lease


def test_a_lease_that_stood_still_may_be_taken_over(lock: LeaseLock, new_lock: Callable[[], LeaseLock]) -> None:
    alice = lock.acquire(ALICE, over=None)
    other = new_lock()
    seen = other.read()
    bob = other.acquire(BOB, over=seen)
    assert (bob.holder, bob.fence) == ("78/1002", 2)
    with pytest.raises(ConflictError, match=r"not ours any more: held by pipeline 78, job 1002"):
        lock.renew(alice)
    lock.release(alice)
    assert lock.read() == bob


def test_a_lease_renewed_meanwhile_may_not(lock: LeaseLock, new_lock: Callable[[], LeaseLock]) -> None:
    alice = lock.acquire(ALICE, over=None)
    seen = lock.read()
    renewed = lock.renew(alice)
    with pytest.raises(ConflictError, match="pipeline 77"):
        new_lock().acquire(BOB, over=seen)
    assert lock.read() == renewed


def test_the_same_job_needs_the_lease_it_saw_too(lock: LeaseLock) -> None:
    first = lock.acquire(ALICE, over=None)
    second = lock.acquire(ALICE, over=first)
    assert second.fence == 2
    with pytest.raises(ConflictError):
        lock.renew(first)  # the same holder, but an older fence: a woken process of the same job


def test_release_keeps_the_fence(lock: LeaseLock, new_lock: Callable[[], LeaseLock]) -> None:
    lock.release(lock.acquire(ALICE, over=None))
    free = lock.read()
    assert free is not None
    assert (free.holder, free.fence) == ("", 1)
    assert new_lock().acquire(BOB, over=None).fence == 2


def test_release_twice_and_of_a_lease_that_is_gone(world: World, lock: LeaseLock) -> None:
    lease = lock.acquire(ALICE, over=None)
    lock.release(lease)
    lock.release(lease)
    world.foreign.delete("Lease", "shop", "gitlab-mesh-shop")
    lock.release(lease)
    with pytest.raises(ConflictError, match="its Lease is gone"):
        lock.renew(lease)


def test_two_who_take_it_at_once(world: World, lock: LeaseLock) -> None:
    """The read of both is the same; the write of the second fails, whichever it is."""
    lock.release(lock.acquire(ALICE, over=None))

    class Faster(LeaseLock):
        """Somebody acquires between our read and our write."""

        def _take(self, found: dict[str, object], driver: Driver) -> dict[str, object]:
            lock.acquire(ALICE, over=None)
            return super()._take(found, driver)

    slow = Faster(world.admin.cluster, "shop", "shop", duration_seconds=30, clock=world.clock)
    with pytest.raises(ConflictError, match="held by pipeline 77, job 1001"):
        slow.acquire(BOB, over=None)
    state = lock.read()
    assert state is not None
    assert (state.holder, state.fence) == ("77/1001", 2)


def test_a_lease_of_other_tools_making_is_read(world: World, lock: LeaseLock) -> None:
    world.foreign.create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "gitlab-mesh-shop", "namespace": "shop"},
            "spec": {},
        }
    )
    assert lock.read() == LeaseState("", 0, "", 0.0)
    assert lock.acquire(ALICE, over=None).fence == 1


def test_what_people_annotated_on_the_lease_stays(world: World, lock: LeaseLock) -> None:
    lease = lock.acquire(ALICE, over=None)
    note = [{"op": "add", "path": "/metadata/annotations/note", "value": "mine"}]
    world.foreign.patch("Lease", "shop", "gitlab-mesh-shop", note)
    lock.acquire(BOB, over=lease)
    found = world.foreign.get("Lease", "shop", "gitlab-mesh-shop")
    assert found["metadata"]["annotations"] == {"note": "mine", JOB_URL_ANNOTATION: BOB.url}
