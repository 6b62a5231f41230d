"""The drawing in docs/rollout.md is the machine: every transition that happens is drawn, every drawn one happens."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

from gitlab_mesh.config.model import RolloutConfig
from gitlab_mesh.core.judge.model import Gate, Importance, Judgement, SideHealth, Verdict, VerdictKind
from gitlab_mesh.core.record import WAITING_PHASES
from gitlab_mesh.core.report.model import Outcome
from gitlab_mesh.core.rollout import (
    Done,
    Drift,
    End,
    Evidence,
    Phase,
    Plan,
    RolloutState,
    Step,
    Verb,
    advance,
    after_failure,
    decide_next,
    worst_seconds,
)
from gitlab_mesh.driver.guarding import render_guard
from gitlab_mesh.driver.sweeping import POLL_SECONDS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "rollout.md"
EDGE = re.compile(r"^\s*(\S+) --> (\S+?)(?:: (.*))?$", re.MULTILINE)

PLAN = Plan(
    steps=(Step(0.1, 0), Step(0.5, 0, pause=True)),
    stable_replicas=3,
    deadline_seconds=300,
    ready_seconds=60,
    confirm_seconds=30,
    drain_seconds=20,
)


def judged(luck: random.Random) -> Judgement | None:
    if luck.random() < 0.2:
        return None
    gates = [Gate(open=luck.random() < 0.7) for _ in range(2)]
    verdict = Verdict("errors", VerdictKind.UNDECIDED, Importance.CRITICAL)
    return Judgement((verdict,), *gates, rejected=luck.random() < 0.05, reason="because")


def evidence(luck: random.Random) -> Evidence:
    side = SideHealth(3, 3 if luck.random() < 0.8 else 1, reason="CrashLoopBackOff" if luck.random() < 0.02 else "")
    return Evidence(
        judgement=judged(luck),
        contradicts=luck.choice([False, False, None, True]),
        canary=side,
        stable=replace(side, reason=""),
        drift=Drift("argocd", luck.choice([0.0, None])) if luck.random() < 0.05 else None,
        signal=15 if luck.random() < 0.02 else 0,
        canary_flat=luck.choice([True, None, False]),
        canary_gone=luck.random() < 0.5,
        canary_down=luck.random() < 0.05,
        stable_down=luck.random() < 0.05,
    )


def walk(luck: random.Random) -> set[tuple[str, str]]:
    """One rollout under random evidence and random failures; return its transitions."""
    plan = replace(
        PLAN,
        promote=luck.choice(["image", "external"]),
        hold_inconclusive=luck.random() < 0.3,
        first=luck.random() < 0.1,
        watch_seconds=luck.choice([0.0, 60.0]),
    )
    if plan.first:
        plan = replace(plan, steps=())
    state, seen, now, known = RolloutState(plan, continued=luck.choice([-1, 1])), set(), 0.0, Evidence()
    if luck.random() < 0.2 and not plan.first:  # by chance alone few come as far as the watch and the promotion
        done = Done(locked=True, prepared=True, deployed=True, ready=True, smoked=True)
        phase = Phase.PROMOTE if plan.promote == "image" and luck.random() < 0.5 else Phase.WATCH
        if phase is Phase.PROMOTE or plan.watch_seconds:
            state = state.with_(phase=phase, step=1, written=0.5, replicas=3, exposed=True, done=done)
    for _ in range(500):
        action = decide_next(state, known, now)
        if action.verb is Verb.FINISH:
            break
        now += luck.choice([0.5, 5.0, 40.0])
        before = state.phase
        touched = before not in (Phase.PREFLIGHT, Phase.LOCK)
        if luck.random() < 0.02 and state.end is None and touched and action.verb is not Verb.END:
            state = after_failure(state, action).with_(end=End(Outcome.FAILED, "the API server is gone"))
            continue
        known = evidence(luck)
        state = advance(state, action, known, now)
        if state.phase != before:
            seen.add((before.value, state.phase.value))
    return seen


def observed() -> set[tuple[str, str]]:
    luck = random.Random(1)
    seen: set[tuple[str, str]] = set()
    for _ in range(2500):
        seen |= walk(luck)
    return seen


def drawn() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Edges of the machine itself, and those that another job takes (their label begins with "job ")."""
    block = re.search(r"```mermaid\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    own, by_jobs = set(), set()
    for start, end, label in EDGE.findall(block[1]):
        if "[*]" in (start, end):
            continue
        (by_jobs if label.startswith("job ") else own).add((start, end))
    return own, by_jobs


def test_every_transition_of_the_machine_is_drawn_and_every_drawn_one_happens() -> None:
    own, _ = drawn()
    happens = observed()
    assert happens - own == set(), "not drawn"
    assert own - happens == set(), "never happens"


def test_every_phase_is_drawn_and_every_waiting_one_has_its_ways_on() -> None:
    own, by_jobs = drawn()
    places = {place for edge in own | by_jobs for place in edge}
    assert places == {phase.value for phase in Phase}
    for phase in WAITING_PHASES:
        assert (phase, "roll-back") in by_jobs
        assert any(start == phase and end != "roll-back" for start, end in by_jobs)


def test_the_table_of_traps_is_whole_and_names_tests_that_exist() -> None:
    text = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*$", text, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 26))
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) >= 25
    for path, name in named:
        source = (DOCS.parents[1] / path).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"{path}::{name}"


def test_the_windows_of_the_nets_are_what_lease_and_schedule_make() -> None:

    text = (DOCS.parent / "when-the-runner-dies.md").read_text(encoding="utf-8")
    lease = RolloutConfig().lease
    cron = render_guard(namespace="x", image="y")[3]["spec"]["schedule"]
    assert cron == "*/2 * * * *"
    assert f"**{120 + 10 + lease + POLL_SECONDS:.0f} s**" in text
    assert f"**{300 + 60 + lease + POLL_SECONDS:.0f} s**" in text
    assert f"{600 + 60 + lease + POLL_SECONDS:.0f} s" in text


def test_the_sum_of_the_deadlines_fits_the_templates_script() -> None:

    rollout = RolloutConfig()
    plan = replace(
        PLAN,
        deadline_seconds=rollout.deadline,
        ready_seconds=rollout.ready_deadline,
        drain_seconds=rollout.drain,
    )
    assert worst_seconds(plan) == 2790 < 50 * 60
    assert "2,790 s" in DOCS.read_text(encoding="utf-8")
