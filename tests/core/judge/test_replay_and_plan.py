"""Recorded samples come back as they were; replay and plan say what would happen; their command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gitlab_mesh.cli.judge import judge as judge_command
from gitlab_mesh.core.judge.betting import Tolerance
from gitlab_mesh.core.judge.forecast import growth
from gitlab_mesh.core.judge.model import Look, SideHealth, UserValue
from gitlab_mesh.core.judge.plan import detection_of, pass_seconds, smallest_caught
from gitlab_mesh.core.judge.replay import replay
from gitlab_mesh.core.judge.samples import SampleWriter, parse_samples, read_look_seconds
from gitlab_mesh.core.judge.settings import JudgeSettings
from gitlab_mesh.core.metrics.counts import Counts, Histogram, Side
from gitlab_mesh.errors import GitlabMeshError, InconclusiveError, ReleaseRejectedError, UsageError

SETTINGS = JudgeSettings()


def render(looks: list[Look]) -> str:
    writer = SampleWriter(5.0)
    return "".join(writer.render(look) for look in looks)


def odd_looks() -> list[Look]:
    one = Histogram((0.1, 0.5, math.inf), (1295, 36, 0))
    other = Histogram((0.2, math.inf), (10**12, 35))
    health = {Side.CANARY: SideHealth(2, 1, 3, "CrashLoopBackOff")}
    return [
        Look(5.0, Counts(1331, {"5xx": 2}, one), Counts(0, {}, one), 0.0005, health=health),
        Look(10.0, Counts(5), Counts(7, {"5xx": 1, "no-response": 2}), None, health=health),
        Look(
            15.5,
            Counts(10**12, {}, other),
            Counts(1, {}, other),
            0.5,
            user=(UserValue("queue", Side.STABLE, 1.5), UserValue("lag", None, -2.0)),
            problems=("pod x: 503",),
            faults={"latency": "pod x counts in other buckets"},
        ),
    ]


def test_samples_come_back_as_they_were() -> None:
    text = render(odd_looks())
    assert list(parse_samples(text.splitlines())) == odd_looks()
    assert read_look_seconds(text.splitlines()[0]) == 5.0


def test_an_hour_takes_less_than_200_kb(traffic: Any) -> None:
    fine = (*tuple(0.001 * 1.5**i for i in range(19)), math.inf)
    writer = SampleWriter(5.0)
    size = 0
    for i in range(720):
        counts = Counts(25000, {"5xx": 25}, Histogram(fine, (1250,) * 20))
        size += len(writer.render(Look(5.0 * (i + 1), counts, counts, 0.5)).encode())
    assert size <= 200_000
    assert len(render(list(traffic(rps=500.0).looks(3600.0))).encode()) <= 200_000


BAD_LINES = [
    '{"t":1,"s":[Infinity,{}],"c":[1,{}]}',
    '{"t":1,"s":[1,{}],"c":[1,{}],"w":"half"}',
    '{"t":1,"s":[1,{}],"c":[1,{}],"u":[["m","canary",null]]}',
    '{"t":1,"s":[1,{}],"c":[1,{}],"h":{"canary":[1,1,"many",""]}}',
    '{"t":1,"s":[1,{}],"c":[1,{}],"f":["latency"]}',
]


@pytest.mark.parametrize(
    "line", ['{"t": 1}', "no json", '{"t":1,"s":[1,{},"zz"],"c":[1,{}]}', '{"schema": 7}', "[]", *BAD_LINES]
)
def test_a_line_that_cannot_be_read_is_named(line: str) -> None:
    lines = [*render(odd_looks()[:1]).splitlines(), line]
    with pytest.raises(UsageError, match=f"line {len(lines)} of the samples"):
        list(parse_samples(lines))


@pytest.mark.parametrize("line", ["", "{}", "x", '{"schema": 9, "look_seconds": 5}'])
def test_another_file_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="not a file of recorded samples"):
        read_look_seconds(line)


def test_a_replay_decides_as_the_run_did(traffic: Any) -> None:
    looks = list(traffic(canary_errors=lambda time: 0.05 if time > 300 else 0.001).looks(700.0))
    recorded = parse_samples(render(looks).splitlines())
    one, two = (replay(source, SETTINGS, look_seconds=5.0) for source in (looks, recorded))
    assert one == two
    assert one.rejected_at is not None
    assert one.promotable_at is None
    assert one.lines[-1].what.startswith("rejected: errors")
    early = replay(looks, replace(SETTINGS, bake_seconds=120.0), look_seconds=5.0)
    assert early.promotable_at is not None
    assert 120.0 <= early.promotable_at < 300.0


# --- plan ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rps", "stable", "canary", "share", "seconds", "bad"),
    [(50, 0.01, 0.02, 0.15, 430, 64), (50, 0.001, 0.011, 0.1, 165, 9), (500, 0.001, 0.005, 0.1, 95, 23)],
)
def test_the_plan_agrees_with_simulated_releases(
    rps: float, stable: float, canary: float, share: float, seconds: float, bad: float
) -> None:
    """The numbers beside are medians of simulated releases; a forecast may be off by a third."""
    found = detection_of(rps, stable, canary, share, SETTINGS)
    assert found.usual_seconds == pytest.approx(seconds, rel=0.35)
    assert found.bad_requests == pytest.approx(bad, rel=0.35)
    assert found.most_seconds is not None
    assert found.usual_seconds is not None
    assert found.most_seconds > 1.3 * found.usual_seconds


def test_what_is_tolerated_is_never_found() -> None:
    assert detection_of(5000, 0.01, 0.0105, 0.5, SETTINGS).usual_seconds is None


def test_a_bad_request_teaches_more_at_a_small_share() -> None:
    """The growth a bad request of the canary falls with the share: 0.148 → 0.063 (Kullback–Leibler, by hand)."""
    tolerance = Tolerance(1.1)
    per_bad = {share: growth(1.75, tolerance, share, 0.01, 0.02) / 0.02 for share in (0.001, 0.1, 0.25, 0.5)}
    assert per_bad[0.001] == pytest.approx(0.148, rel=0.05)
    assert per_bad[0.1] == pytest.approx(0.128, rel=0.05)
    assert per_bad[0.25] == pytest.approx(0.102, rel=0.05)
    assert per_bad[0.5] == pytest.approx(0.063, rel=0.05)


def test_longer_bakes_catch_smaller_regressions() -> None:
    caught = [smallest_caught(50, 0.01, 0.25, bake, SETTINGS) for bake in (120, 300, 600, 1800)]
    assert all(ratio is not None for ratio in caught)
    assert caught == sorted(caught, key=lambda ratio: -(ratio or 0))
    assert smallest_caught(0.5, 0.01, 0.01, 60, SETTINGS) is None
    fast, slow = pass_seconds(500, 0.001, 0.25, SETTINGS), pass_seconds(50, 0.001, 0.25, SETTINGS)
    assert fast is not None
    assert slow is not None
    assert fast < slow
    assert pass_seconds(50, 0.001, 0.25, replace(SETTINGS, error_margin=0.0, error_margin_ratio=1.0)) is None


# --- command line --------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(judge_command, arguments)


def test_plan_on_the_command_line() -> None:
    result = run("plan", "--rps", "50", "--error-ratio", "0.01", "--set", "bake=5m")
    assert result.exit_code == 0
    assert "2.000%" in result.output
    assert "300 s (set)" in result.output
    assert "not seen" in result.output


@pytest.fixture
def recorded(tmp_path: Path, traffic: Any) -> Path:
    file = tmp_path / "samples.jsonl"
    file.write_text(render(list(traffic(canary_errors=lambda t: 0.05 if t > 300 else 0.001).looks(700.0))))
    return file


def test_replay_on_the_command_line(recorded: Path) -> None:
    result = run("replay", str(recorded))
    assert isinstance(result.exception, ReleaseRejectedError)
    assert "rejected: errors" in result.output
    shown = run("replay", str(recorded), "--format", "json")
    assert json.loads(shown.output)["rejected_at"] == pytest.approx(320.0, abs=15.0)


def test_a_replay_without_enough_evidence_is_inconclusive(tmp_path: Path, traffic: Any) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(render(list(traffic().looks(60.0))))
    assert isinstance(run("replay", str(file)).exception, InconclusiveError)
    passing = run("replay", str(file), "--set", "bake=0s", "--set", "startup=0s", "--set", "error_margin=50%")
    assert passing.exit_code == 0 or isinstance(passing.exception, InconclusiveError)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "bke=1m"], "did you mean judge.bake"),
        (["--set", "bake"], "no value"),
        (["--service", "shop"], "shop"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(recorded: Path, options: list[str], words: str) -> None:
    result = run("replay", str(recorded), *options)
    assert isinstance(result.exception, GitlabMeshError)
    assert words in str(result.exception)


def test_settings_come_from_mesh_yaml(tmp_path: Path, recorded: Path) -> None:
    config = tmp_path / "mesh.yaml"
    config.write_text(
        "version: 1\nservices:\n  shop: {namespace: shop, judge: {bake: 100s}}\n  cart: {namespace: cart}\n"
    )
    assert isinstance(run("replay", str(recorded), "--config", str(config)).exception, UsageError)
    result = run("replay", str(recorded), "--config", str(config), "--service", "shop")
    assert "may be promoted" in result.output
