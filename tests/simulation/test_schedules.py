"""Whole rollouts with faults: a sample that changes with the day, and every schedule that once broke a promise."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from gitlab_mesh.testing.simulation.kinds import WORLD_FAULTS, PlannedFault, kinds_for
from gitlab_mesh.testing.simulation.plan import Catalogue, plan_schedule
from gitlab_mesh.testing.simulation.run import catalogue, run_schedule
from gitlab_mesh.testing.simulation.schedule import KILL_MIDWAY, SHAPES, Schedule
from tests.simulation.mutants import MUTANTS, Mutant

TODAY = datetime.datetime.now(tz=datetime.UTC).date().toordinal()
SAMPLE = 120
PROMOTE = SHAPES["promote"]
HTTP_ROUTE = SHAPES["http-route"]
REJECTED = ("reject", "stable-breaks", "crash", "bypassed", "watched-reject", "first-crash", "hotfix-reject")
HTTP_REJECTED = ("http-route-reject", "http-route-stable-breaks")
FAULT = PlannedFault


@pytest.fixture(scope="module")
def plan() -> Catalogue:
    return catalogue()


def test_a_sample_of_the_day_breaks_no_promise(plan: Catalogue) -> None:
    broken = []
    for seed in range(TODAY * 1_000_000, TODAY * 1_000_000 + SAMPLE * 37, 37):
        outcome = run_schedule(plan_schedule(seed, plan))
        broken += [f"{violation}; python benchmarks/faults.py --replay {seed}" for violation in outcome.violations]
    assert not broken, "\n".join(broken)


def test_the_same_schedule_gives_the_same_result(plan: Catalogue) -> None:
    for seed in (TODAY, TODAY + 1000, TODAY + 2000):
        schedule = plan_schedule(seed, plan)
        assert run_schedule(schedule) == run_schedule(schedule)


def test_every_kind_of_fault_can_strike_at_every_boundary(plan: Catalogue) -> None:
    pairs, boundaries = plan.pairs, plan.shapes
    for boundary in boundaries:
        verb = boundary.partition("/")[2].partition(" ")[0]
        assert {kind for _, other, kind in pairs if other == boundary} == set(kinds_for(verb))
    for part in ("canary:set-weight/patch VirtualService", "canary:patch-stable/patch Deployment", "end:restore/"):
        assert any(boundary.startswith(part) for boundary in boundaries)
    assert set(WORLD_FAULTS) <= {kind for _, _, kind in pairs}


@pytest.mark.parametrize("shape", SHAPES)
def test_without_further_faults_the_shapes_end_as_they_should(shape: str) -> None:
    expected = {"silent": "11", "held": "11", "frozen": "16"} | dict.fromkeys(
        (
            "reject",
            "stable-breaks",
            "crash",
            "bypassed",
            "watched-reject",
            "first-crash",
            "hotfix-reject",
            *HTTP_REJECTED,
        ),
        "10",
    )
    outcome = run_schedule(SHAPES[shape])
    assert not outcome.violations
    assert outcome.exits[0] == ("canary", "killed" if "killed" in shape else expected.get(shape, "0"))
    again = ("canary", "16")  # a release that came back, or came in a freeze window
    later = {"held": ("canary", "11")} | dict.fromkeys(("returned", "http-route-returned", "frozen-returned"), again)
    assert {(job, code) for job, code in outcome.exits[1:] if code != "0"} == (
        {later[shape]} if shape in later else set()
    )


def test_the_jobs_that_follow_a_release_run_where_all_goes_well() -> None:
    ends = {name: run_schedule(SHAPES[name]) for name in ("paused", "external", "external-unpromoted", "first")}
    assert [outcome.end for outcome in ends.values()] == ["promoted", "promoted", "rolled-back", "deployed"]
    assert [job for job, _ in ends["external"].exits][:2] == ["canary", "promote"]


def at(boundary: str, *kinds: str, number: int = 0, seconds: float = 45.0) -> tuple[PlannedFault, ...]:
    return tuple(PlannedFault(kind, boundary, number, seconds) for kind in kinds)


FOUND: dict[str, Schedule] = {
    "the autoscaler is read as it was before it was pinned": replace(
        SHAPES["autoscaled-killed"],
        ending="rollback",
        ending_faults=at("end:restore/get HorizontalPodAutoscaler", "stale-read", seconds=3.0),
    ),
    "a sleeper pins the autoscaler after another job has put it back": replace(
        PROMOTE,
        autoscaled=True,
        faults=at("canary:prepare/patch HorizontalPodAutoscaler", "same-job-again", seconds=3.0)
        + at("canary:prepare/patch HorizontalPodAutoscaler", "pause", seconds=90.0),
    ),
    "a sleeper puts the autoscaler back under another job's canary": replace(
        SHAPES["autoscaled-killed"],
        ending="rollback",
        ending_faults=at("end:restore/patch HorizontalPodAutoscaler", "same-job-again", "pause"),
    ),
    "stable is read as it was before it was replaced": replace(
        PROMOTE, faults=at("canary:await-stable/get Deployment", "stale-read", seconds=3.0)
    ),
    "a route that is read as it was before we took over is no takeover": replace(
        SHAPES["held"],
        ending="after-script",
        ending_faults=at("continue:look/get VirtualService", "stale-read", seconds=3.0),
    ),
    "a sleeper's creation was there, and proxies of its successor lag": replace(
        SHAPES["killed-early"],
        rate=400.0,
        lag=20.0,
        ending="recover",
        faults=at("canary:deploy/create Deployment", "same-job-again", seconds=100.0)
        + at("canary:deploy/create Deployment", "pause", seconds=90.0),
    ),
    "the route is written while the pods of a raise start": replace(
        PROMOTE, seed=11, subset=True, lag=4.0, faults=at("canary:look/list Pod", "foreign-flap", number=10)
    ),
    "a foreign weight above the paused one proves no step": replace(
        SHAPES["paused"],
        seed=12,
        ending="recover",
        ending_faults=at("continue:begin/create SelfSubjectAccessReview", "foreign-flap", seconds=12.0),
    ),
    "the token comes back when the drain is over, and proxies lag": replace(
        PROMOTE,
        seed=13,
        rate=400.0,
        lag=20.0,
        faults=at("canary:look/list Pod", "foreign-shift", number=3, seconds=0.0)
        + at("canary:drain/list ReplicaSet", "unauthorized", seconds=40.0),
    ),
    "one of two routes is written, and callers bypass them": replace(
        SHAPES["both-killed"], seed=14, bypass=0.1, rate=400.0, lag=0.0, ending="rollback"
    ),
    "the record is lost while stable is replaced": replace(
        SHAPES["killed-in-promotion"],
        seed=15,
        rate=400.0,
        lag=4.0,
        faults=at("canary:patch-stable/patch Deployment", "kill-after", seconds=0.0)
        + at("canary:patch-stable/patch Deployment", "delete-record", seconds=100.0),
        ending="recover",
        delay=0.0,
    ),
    "weight 0 was written by the job before: the drain is still to be waited for": replace(
        SHAPES["killed"], lag=4.0, ending_faults=at("end:set-weight/patch VirtualService", "kill-after")
    ),
    "the way back begins while the API refuses": replace(
        SHAPES["killed"], ending_faults=at("end:begin/list ReplicaSet", "unauthorized-for-good")
    ),
    "the VirtualService is deleted: the subset is taken back all the same": replace(
        PROMOTE, faults=at("canary:next-step/patch ConfigMap", "delete-virtualservice")
    ),
    "the fence is taken off while it is tidied up": replace(
        PROMOTE, faults=at("canary:scale-down/patch Deployment", "foreign-annotation")
    ),
    "the lease cannot be given back": replace(
        SHAPES["killed"], ending_faults=at("end:release/patch Lease", "forbidden")
    ),
    "the canary is created after a rollback": replace(
        PROMOTE, faults=at("canary:deploy/create Deployment", "after-script", "pause")
    ),
    "the canary is created after the same job went on": replace(
        PROMOTE, faults=at("canary:deploy/create Deployment", "same-job-again", "pause", seconds=12.0)
    ),
    "the route is prepared after a rollback": replace(
        PROMOTE, faults=at("canary:prepare/patch DestinationRule", "after-script", "pause")
    ),
    "preparing is tried again after half of it was done": replace(
        PROMOTE, faults=at("canary:prepare/patch VirtualService", "outage", seconds=6.0)
    ),
    "a promotion that was planned before a rollback": replace(
        PROMOTE, faults=at("canary:patch-stable/patch Deployment", "person-rollback", "pause")
    ),
    "a promotion that was planned before the same job went on": replace(
        PROMOTE, faults=at("canary:patch-stable/patch Deployment", "same-job-again", "pause")
    ),
    "a revocation that was planned before the same job went on": replace(
        SHAPES["killed-in-promotion"],
        ending="after-script",
        ending_faults=at("end:revert-stable/patch Deployment", "same-job-again", "pause", seconds=90.0),
    ),
    "a second rollback meets stable with its old template, but without its pods": replace(
        SHAPES["killed-in-promotion"],
        ending_faults=at("end:revert-stable/patch ConfigMap", "person-rollback"),
        race=0.5,
    ),
    "somebody scaled the canary to nothing while it is awaited": replace(
        PROMOTE, faults=at("canary:deploy/get ConfigMap", "person-rollback"), race=0.5
    ),
    "the process stood still while it drained": replace(
        SHAPES["reject"], lag=4.0, faults=at("canary:drain/get VirtualService", "pause")
    ),
    "a stale list of DestinationRules while it is restored": replace(
        PROMOTE, faults=at("canary:restore/list DestinationRule", "stale-read")
    ),
    "a rollback meets a driver that begins": replace(
        PROMOTE,
        faults=at("canary:prepare/get VirtualService", "unauthorized-for-good"),
        ending_faults=at("end:begin/get VirtualService", "same-job-again", "pause"),
    ),
    "pods of the old template are still ready while stable is replaced": replace(PROMOTE, rate=400.0),
    "metrics are sound only between two troubles": replace(
        PROMOTE,
        faults=(
            *at("canary:preflight/get Lease", "metrics-stale", seconds=12.0),
            *at("canary:next-step/patch ConfigMap", "metrics-nan", seconds=40.0),
        ),
    ),
    "the gate shuts while more pods start": replace(
        PROMOTE, faults=at("canary:scale/patch Deployment", "metrics-stale", seconds=1e9)
    ),
    "the canary of the next rollout is there when a driver wakes up to scale its own down": replace(
        SHAPES["external"],
        ending_faults=at("promote:scale-down/patch Deployment", "same-job-again", "pause", seconds=90.0),
    ),
    "two take over at the same moment": replace(
        SHAPES["killed-in-promotion"], ending_faults=at("end:begin/patch Deployment", "same-job-again"), race=0.5
    ),
    "a weight that was just written, and proxies that do not follow": replace(
        SHAPES["killed"], ending="after-script", lag=20.0, delay=0.0
    ),
    "callers bypass the route, and proxies follow late": replace(SHAPES["killed"], lag=4.0, bypass=0.1, delay=15.0),
    "a job that goes on is refused right after it took over": replace(
        SHAPES["held"], ending_faults=at("continue:begin/list ReplicaSet", "throttled", number=1)
    ),
    "a stale read shows the canary as it was before it was scaled": replace(
        PROMOTE, faults=at("canary:scale/get Deployment", "stale-read", number=5)
    ),
    "a route that never led to the canary, and callers that bypass it": replace(
        SHAPES["killed-early"], bypass=0.1, lag=4.0
    ),
    "one of two routes is deleted while the other has a weight": replace(
        SHAPES["both"], faults=at("canary:look/get VirtualService", "delete-virtualservice")
    ),
    "one of two routes is deleted while it is tidied up": replace(
        SHAPES["both"], faults=at("canary:scale-down/patch Deployment", "delete-virtualservice")
    ),
    "the autoscaler is pinned and the route is not prepared yet": replace(
        SHAPES["autoscaled"], faults=at("canary:prepare/patch VirtualService", "conflict")
    ),
    "an HTTPRoute is reset while it has a weight: the Service of both sides leads to the canary": replace(
        HTTP_ROUTE, faults=at("canary:look/list Pod", "foreign-weight", number=4)
    ),
    "a GitOps controller resets an HTTPRoute while the canary drains": replace(
        SHAPES["http-route-killed-in-promotion"], ending_faults=at("end:set-weight/patch HTTPRoute", "gitops")
    ),
    "the Services of an HTTPRoute's sides are created after a rollback": replace(
        HTTP_ROUTE, faults=at("canary:prepare/create Service", "person-rollback", "pause", number=1)
    ),
    "the Service of an HTTPRoute's side is deleted while it has the weight": replace(
        SHAPES["http-route-stable-breaks"], faults=at("canary:revert-stable/patch Deployment", "delete-destinationrule")
    ),
    "the Service of an HTTPRoute's side is deleted at a step": replace(
        SHAPES["http-route-services"], faults=at("canary:look/get HTTPRoute", "delete-destinationrule", number=3)
    ),
    "the Service of an HTTPRoute's side is deleted while it drains": replace(
        HTTP_ROUTE, faults=at("canary:drain/get HTTPRoute", "delete-destinationrule")
    ),
    "a hotfix without a pod of stable to compare the share with, and proxies lag": replace(
        SHAPES["hotfix-down"], lag=20.0
    ),
    "one of two routes has the weight when the job dies, and its proxies lag": replace(
        SHAPES["both-killed"], lag=20.0, delay=600.0, ending="after-script", race=0.0
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_once_broke_a_promise(name: str) -> None:
    schedule = FOUND[name]
    for seed in range(3):
        outcome = run_schedule(replace(schedule, seed=seed))
        assert not outcome.violations, f"seed {seed}: {[str(violation) for violation in outcome.violations]}"
        struck = {kind for _, kind in outcome.faults}
        assert {fault.kind for fault in (*schedule.faults, *schedule.ending_faults)} <= struck


def of_the_day(mutants: tuple[Mutant, ...], number: int) -> list[Mutant]:
    return [mutants[(TODAY * number + index) % len(mutants)] for index in range(number)]


def test_every_defect_is_about_code_that_exists_and_every_invariant_has_two() -> None:
    for mutant in MUTANTS:
        with mutant.applied():
            pass
    for number in range(1, 11):
        assert sum(f"S{number}" in mutant.breaks for mutant in MUTANTS) >= 2


@pytest.mark.parametrize("mutant", of_the_day(MUTANTS, 3), ids=lambda mutant: mutant.name)
def test_defects_of_the_day_are_found(mutant: Mutant, plan: Catalogue) -> None:
    for seed in range(1, 2000 * 131, 131):
        with mutant.applied():
            outcome = run_schedule(plan_schedule(seed, plan))
        if {violation.invariant for violation in outcome.violations} & set(mutant.breaks):
            return
    pytest.fail(f"{mutant.name}: not found in 2000 schedules")


def test_the_shape_that_is_killed_midway_is_killed() -> None:
    outcome = run_schedule(SHAPES["killed"])
    assert (KILL_MIDWAY.boundary, "kill-after") in outcome.faults
