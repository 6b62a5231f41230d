"""From ``load:`` in mesh.yaml to a plan."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gitlab_mesh.config.load import load_config
from gitlab_mesh.core.load.profile import Stage
from gitlab_mesh.core.load.scenario import parse_rows, parse_shard, plan_scenario
from gitlab_mesh.core.load.settings import LoadConfig
from gitlab_mesh.errors import ConfigError, UsageError

MESH = """\
version: 1
services:
  shop:
    namespace: shop
    load:
      target: http://127.0.0.1:8080/
      stages:
        - {rate: 100, duration: 30s, ramp: true}
        - {rate: 100, duration: 5m}
        - {rate: 200, duration: 10s, ramp: true}
      headers: {Host: shop.example}
      requests:
        - {name: front, weight: 3}
        - name: buy
          method: POST
          path: /buy/{{ id }}
          data: ids.csv
          body_file: buy.json
          checks: {status: ["201"], json: {ok: "true"}}
          thresholds: [p99 < 500ms]
      thresholds: ["p99 < 300ms", "buy.errors < 2%"]
      mesh: {canary: required}
"""
FILES = {"ids.csv": "id,name\n1,a\n2,b\n", "buy.json": '{"id": {{ id }}}'}


def config(text: str = MESH) -> LoadConfig:
    return load_config(text).config.services["shop"].load


def test_everything_of_a_scenario_reaches_the_plan() -> None:
    scenario = plan_scenario(config(), FILES.__getitem__)
    plan = scenario.plan
    assert plan.stages == (Stage(100, 30, 0.0), Stage(100, 300), Stage(200, 10, 100.0))
    assert [kind.name for kind in plan.kinds] == ["front", "buy"]
    assert plan.packets()[1][1].startswith(b"POST /buy/2 HTTP/1.1\r\nHost: shop.example\r\n")
    assert plan.packets()[1][1].endswith(b'{"id": 2}')
    assert plan.kinds[1].checks.names == ("status", "json ok")
    assert plan.connections == 400  # two seconds of the highest rate
    assert [one.text for one in scenario.thresholds] == [
        "p99 < 300ms", "buy.errors < 2%", "buy.p99 < 500ms", "errors < 1%",
    ]  # fmt: skip
    assert {one.scope for one in scenario.canary} == {"canary"}


def test_a_shard_sends_its_part() -> None:
    scenario = plan_scenario(LoadConfig("http://127.0.0.1/", rate=100, max_rps=120, max_requests=10), str, shard=(2, 4))
    assert scenario.plan.stages == (Stage(25, 60),)
    assert scenario.plan.max_requests == 3


def test_the_leash_counts_all_shards_together() -> None:
    with pytest.raises(UsageError, match="more than the 25 allowed"):
        plan_scenario(LoadConfig("http://127.0.0.1/", rate=101, max_rps=100), str, shard=(1, 4))


def test_a_host_is_loaded_only_if_it_is_listed() -> None:
    stranger = LoadConfig("https://shop.example/")
    with pytest.raises(UsageError, match=r"shop\.example may not be loaded"):
        plan_scenario(stranger, str)
    assert plan_scenario(replace(stranger, allowed_hosts=("shop.example",)), str).plan.url == "https://shop.example/"


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (LoadConfig(), "no target"),
        (LoadConfig("http://127.0.0.1/", thresholds=("canary.p99 < 1s",)), "nobody looks at"),
        (LoadConfig("http://127.0.0.1/", thresholds=("buy.p99 < 1s",)), "does not exist"),
    ],
)
def test_what_is_missing_is_said(load: LoadConfig, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        plan_scenario(load, str)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("p99 < 300ms", "p99 < 300"), r"load\.thresholds\[0\].*cannot be in"),
        (("buy.errors", "sell.errors"), "which does not exist"),
        (('["201"]', "[created]"), "is no status"),
        (("name: buy", "name: front"), "same name twice"),
        (("path: /buy/{{ id }}", "body: x"), "both body and body_file"),
        (("canary: required", "canary: perhaps"), "none of off, required"),
    ],
)
def test_mistakes_in_the_file_are_found_when_it_is_read(change: tuple[str, str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(MESH.replace(*change))
    assert re.search(text, str(caught.value))


def test_rows_come_from_csv_and_json_lines() -> None:
    assert parse_rows('{"id": 1, "name": "a"}\n\n{"id": 2, "name": "b"}\n', "x") == (
        {"id": "1", "name": "a"}, {"id": "2", "name": "b"},
    )  # fmt: skip
    assert parse_rows('id,name\n1,"a, b"\n', "x") == ({"id": "1", "name": "a, b"},)


@pytest.mark.parametrize("text", ["", "id\n", "a,b\n1\n", "a\n1,2\n", '{"a": 1', "{}\n[1]\n", 'a\n"1\n'])
def test_a_broken_data_file_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"data\.csv"):
        parse_rows(text, "data.csv")


@pytest.mark.parametrize(("text", "found"), [("", (1, 1)), ("/", (1, 1)), ("2/4", (2, 4))])
def test_shards(text: str, found: tuple[int, int]) -> None:
    assert parse_shard(text) == found


@pytest.mark.parametrize("text", ["0/4", "5/4", "a/b", "2", "1/9999", "-1/2"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="NUMBER/TOTAL"):
        parse_shard(text)
