"""The plug-in group, and the fake that is public for tests of others."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from gitlab_mesh.adapters.metrics import SOURCES
from gitlab_mesh.adapters.metrics.plugin import SOURCE_API, choose_reporter
from gitlab_mesh.config.model import GatewayPods, MetricsConfig
from gitlab_mesh.core.metrics.counts import Counts, Side, SideTarget, Snapshot, UserSample
from gitlab_mesh.errors import AccessDeniedError, ConfigError, TransientError
from gitlab_mesh.testing.metrics import ScriptedMetrics

S, C = Side.STABLE, Side.CANARY


def test_the_group_brings_both_sources() -> None:
    (builtin,) = [entry for entry in entry_points(group="gitlab_mesh.metric_sources") if entry.name == "builtin"]
    assert builtin.load() is SOURCES
    assert [source.name for source in SOURCES] == ["istio-proxy", "prometheus"]
    assert {source.api for source in SOURCES} == {SOURCE_API}


def test_choosing_from_the_group_imports_no_http_library() -> None:
    code = "import sys, gitlab_mesh.adapters.metrics; print('requests' in sys.modules, 'urllib3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("config", "reporter"),
    [
        (MetricsConfig(), "destination"),
        (MetricsConfig(gateway=GatewayPods()), "source"),
        (MetricsConfig(gateway=GatewayPods(), reporter="destination"), "destination"),
        (MetricsConfig(gateway=GatewayPods(), reporter="source"), "source"),
    ],
)
def test_the_reporter_follows_the_gateway(config: MetricsConfig, reporter: str) -> None:
    assert choose_reporter(config, needs_gateway=True) == reporter


def test_the_source_without_gateway() -> None:
    assert choose_reporter(MetricsConfig(reporter="source"), needs_gateway=False) == "source"
    with pytest.raises(ConfigError):
        choose_reporter(MetricsConfig(reporter="source"), needs_gateway=True)


def test_the_fake_shows_what_a_test_says(targets: tuple[SideTarget, ...], clock: Any) -> None:
    source = ScriptedMetrics(clock.monotonic)
    source.serve(S, "shop-1", 10, errors={"5xx": 1})
    source.serve(S, "shop-1", 5)
    source.serve(C, "shop-canary-1", 0)
    source.serve(C, "shop-canary-9", 3)  # not listed by the cluster
    source.user["queue", C] = 2.0
    clock.advance(7)
    source.freeze("shop-1", 3)
    snapshot = source.read(targets)
    assert [(s.pod, s.time_seconds, s.counts) for s in snapshot.samples] == [
        ("shop-canary-1", 7, Counts()), ("shop-1", 3, Counts(15, {"5xx": 1})),
    ]  # fmt: skip
    assert snapshot.user == (UserSample("queue", C, 2.0, 7),)
    source.freeze("shop-1", None)
    source.silence("shop-1", "503")
    assert source.read(targets).problems == ("pod shop-1: 503",)
    source.silence("shop-1", "")
    source.restart(S, "shop-1")
    source.remove(C, "shop-canary-1")
    assert [(s.pod, s.time_seconds, s.counts) for s in source.read(targets).samples] == [("shop-1", 7, Counts())]
    assert source.reads == [targets] * 3


def test_the_fake_plays_a_script(targets: tuple[SideTarget, ...], clock: Any) -> None:
    source = ScriptedMetrics(clock.monotonic, check_error=AccessDeniedError("no"))
    with pytest.raises(AccessDeniedError):
        source.check(targets)
    source.queue(
        Snapshot(problems=("one",)), TransientError("two"), lambda given: Snapshot(problems=(given[0].workload,))
    )
    assert source.read(targets).problems == ("one",)
    with pytest.raises(TransientError, match="two"):
        source.read(targets)
    assert source.read(targets).problems == ("shop",)
    assert source.read(targets).problems == ()
