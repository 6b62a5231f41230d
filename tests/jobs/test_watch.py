"""The watch: most users have the release, stable keeps a little as control; whatever begins late is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitlab_mesh.config.model import ServiceConfig, WatchConfig
from gitlab_mesh.core.metrics.counts import Side
from gitlab_mesh.core.record import Driver
from gitlab_mesh.core.report.formatting import format_percent
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.errors import GitlabMeshError
from gitlab_mesh.testing.ports import ModelPorts
from gitlab_mesh.testing.shop import TAGS, ModelBehaviour, ShopModel
from gitlab_mesh_jobs.promote.job import JOB as PROMOTE
from gitlab_mesh_jobs.recover.job import JOB as RECOVER
from gitlab_mesh_jobs.rollback.job import JOB as ROLLBACK
from tests.jobs.releases import (
    FAST,
    Diary,
    KillAt,
    Killed,
    assert_nothing_left,
    promoted,
    release,
    service,
    user_objects,
)

RETRY = Driver("100", "1002", "https://gitlab.example/acme/shop/-/jobs/1002")
SECONDS = 60.0


def watching(**changes: Any) -> ServiceConfig:
    rollout = replace(FAST, watch=WatchConfig(duration=SECONDS, stable_share=5.0), **changes)
    return service(rollout=rollout)


def test_a_good_release_is_watched_at_full_size_and_then_promoted() -> None:
    model = ShopModel()
    ports = ModelPorts(model, watching())
    before = user_objects(model)
    seen: list[tuple[str, int, int]] = []

    def note(now: float, share: float) -> None:
        if share == 0.95:
            record, _ = ports.store.read()
            assert record is not None
            ready = [len(model.workloads.ready(side)) for side in (Side.STABLE, Side.CANARY)]
            seen.append((record.phase, *ready))

    diary = Diary(model, note)
    result = release(ports, "1.5.0")
    assert (result.exit_code, result.report.outcome) == (0, Outcome.PROMOTED)
    assert diary.steps == [0, 0.1, 0.5, 0.95, 1.0, 0]
    assert diary.seconds_at(0.95) >= SECONDS - 2
    assert set(seen) == {("watch", 3, 3)}
    assert_nothing_left(model, promoted(before))
    assert model.lost_by_mesh == 0
    assert f"Watch: stable keeps {format_percent(0.05)} as control" in ports.console.text


@pytest.mark.parametrize("seed", range(3))
def test_a_fault_that_begins_in_the_watch_is_taken_back(seed: int) -> None:
    tags = {**TAGS, "1.5.0": ModelBehaviour()}
    model = ShopModel(tags=tags, seed=seed)
    before = user_objects(model)
    began: list[float] = []

    def break_it(now: float, share: float) -> None:
        if share == 0.95 and not began:
            began.append(now)
            tags["1.5.0"] = ModelBehaviour(error_ratio=0.05)

    diary = Diary(model, break_it)
    result = release(ModelPorts(model, watching()), "1.5.0")
    assert (result.exit_code, result.report.outcome) == (10, Outcome.REJECTED)
    assert 1.0 not in diary.steps
    # The first doubt gave stable requests back; that made the next looks decisive.
    assert any(0 < share <= 0.5 for now, share in diary.shares if now > began[0])
    found = next(now for now, share in diary.shares if share == 0 and now > began[0])
    assert found - began[0] < 120
    assert model.failed[Side.CANARY] < 250  # at 95 % all the time it would be 14 a second
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0


def test_a_short_trouble_lowers_the_share_and_the_release_gets_it_back() -> None:
    tags = {**TAGS, "1.5.0": ModelBehaviour()}
    model = ShopModel(tags=tags)
    trouble: list[float] = []

    def disturb(now: float, share: float) -> None:
        if share == 0.95 and not trouble:
            trouble.append(now)
        ratio = 0.02 if trouble and now - trouble[0] < 4 else 0.0
        tags["1.5.0"] = ModelBehaviour(error_ratio=ratio)

    diary = Diary(model, disturb)
    result = release(ModelPorts(model, watching()), "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    first = diary.steps.index(0.95)
    assert diary.steps[first + 1] < 0.95
    assert 0.95 in diary.steps[first + 1 :]
    assert diary.shares[-1][0] - trouble[0] >= SECONDS


def test_a_foreign_write_in_the_watch_is_written_over_and_its_window_does_not_count() -> None:
    model = ShopModel()
    ports = ModelPorts(model, watching())
    kustomize = model.cluster.as_actor("kustomize-controller")
    done: list[float] = []

    def reset(now: float, share: float) -> None:
        if share == 0.95 and not done:
            done.append(now)
            http = model.route()["spec"]["http"]
            index = next(at for at, entry in enumerate(http) if len(entry["route"]) == 2)
            patch = {"op": "replace", "path": f"/spec/http/{index}/route/1/weight", "value": 0}
            kustomize.patch("VirtualService", "shop", "shop", [patch])

    diary = Diary(model, reset)
    result = release(ports, "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    assert diary.steps[-3:] == [0.95, 1.0, 0]
    assert diary.shares[-1][0] - done[0] >= SECONDS
    assert "kustomize-controller wrote 0.00%" in ports.console.text


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [18, 20, 22, 24, 26, 28])
def test_killed_around_the_watch_one_call_ends_it_and_a_retry_promotes_it(number: int, *, after: bool) -> None:
    for ending in ("rollback", "retry"):
        model = ShopModel()
        before = user_objects(model)
        cluster = model.cluster.as_actor("gitlab-mesh", fault=KillAt(number, after=after))
        with pytest.raises(Killed):
            release(ModelPorts(model, watching(), cluster=cluster), "1.5.0")
        ports = ModelPorts(model, watching(), driver=RETRY)
        if ending == "rollback":
            result = ROLLBACK.run(ports, {})
            assert result.exit_code == 0
            assert model._share() == 0
            patched = model.cluster.get("Deployment", "shop", "shop")["spec"]["template"]["spec"]["containers"][0]
            assert_nothing_left(model, promoted(before) if patched["image"].endswith("1.5.0") else before)
        else:
            assert release(ports, "1.5.0").report.outcome is Outcome.PROMOTED
            assert_nothing_left(model, promoted(before))
        assert model.lost_by_mesh == 0


def kill_in_watch(model: ShopModel) -> None:
    def kill(now: float, share: float) -> None:
        if share == 0.95 and diary.seconds_at(0.95) > 10:
            model.clock.on_sleep = model._pass
            raise Killed

    diary = Diary(model, kill)
    with pytest.raises(Killed):
        release(ModelPorts(model, watching()), "1.5.0")


def test_a_lost_job_goes_on_watching_and_the_watch_begins_anew() -> None:
    model = ShopModel()
    kill_in_watch(model)
    diary = Diary(model)
    result = release(ModelPorts(model, watching(), driver=RETRY), "1.5.0")
    assert result.report.outcome is Outcome.PROMOTED
    assert diary.steps == [0.95, 1.0, 0]
    assert diary.seconds_at(0.95) >= SECONDS - 2


def test_a_watch_that_nobody_drives_is_ended_by_the_nets() -> None:
    model = ShopModel()
    before = user_objects(model)
    kill_in_watch(model)
    result = RECOVER.run(ModelPorts(model, watching(), driver=Driver("guard", "1")), {"expired": True})
    assert result.exit_code == 0
    assert_nothing_left(model, before)
    assert model.lost_by_mesh == 0


def test_an_external_promotion_waits_at_what_was_watched() -> None:
    model = ShopModel()
    ports = ModelPorts(model, watching(promote="external"))
    result = release(ports, "1.5.0")
    assert (result.report.outcome, model._share()) == (Outcome.PAUSED, 0.95)
    record, _ = ports.store.read()
    assert record is not None
    assert record.phase == "awaiting-promotion"
    image = [
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example/shop:1.5.0"}
    ]
    model.cluster.as_actor("argocd").patch("Deployment", "shop", "shop", image)
    model.settle(seconds=30)
    assert PROMOTE.run(ModelPorts(model, watching(promote="external"), driver=RETRY), {}).exit_code == 0


def test_the_deadline_holds_in_the_watch_too() -> None:
    model = ShopModel()
    before = user_objects(model)
    ports = ModelPorts(model, watching(deadline=100.0))

    def stop_traffic(now: float, share: float) -> None:
        if share == 0.95:
            model.rate = 0.0

    Diary(model, stop_traffic)
    result = release(ports, "1.5.0")
    assert result.report.outcome in (Outcome.INCONCLUSIVE, Outcome.NO_DATA)
    assert result.exit_code in (11, 12)
    assert_nothing_left(model, before)


def test_a_watch_longer_than_the_deadline_is_refused_before_anything_moves() -> None:
    model = ShopModel()
    ports = ModelPorts(model, watching(deadline=70.0))
    with pytest.raises(GitlabMeshError, match="steps and watch take 80 s"):
        release(ports, "1.5.0")
    assert not model.cluster.list("Lease", "shop")
