"""From ``mesh.yaml`` and options to a plan and its thresholds; files come in through a function."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gitlab_mesh.core.load.checks import AnswerChecks, parse_status
from gitlab_mesh.core.load.plan import LoadPlan, TlsPlan
from gitlab_mesh.core.load.profile import Stage
from gitlab_mesh.core.load.request import RequestPlan
from gitlab_mesh.core.load.settings import LoadChecks, LoadConfig, LoadRequest
from gitlab_mesh.core.load.thresholds import CANARY, Threshold, find_threshold_fault, parse_threshold, with_defaults
from gitlab_mesh.errors import UsageError

__all__ = ["Scenario", "parse_rows", "parse_shard", "parse_thresholds", "plan_scenario"]

_MAX_ROWS = 100_000
_LEAST_CONNECTIONS, _MOST_CONNECTIONS, _CONNECTION_SECONDS = 100, 10_000, 2.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to run and what to hold it against.

    Attributes:
        plan: For the engine.
        thresholds: Of the client's side.
        canary: Of the mesh's side; empty where it is not asked.
    """

    plan: LoadPlan
    thresholds: tuple[Threshold, ...]
    canary: tuple[Threshold, ...]


def plan_scenario(config: LoadConfig, read: Callable[[str], str], *, shard: tuple[int, int] = (1, 1)) -> Scenario:
    """Work out what to send.

    Args:
        config: With the options already in it.
        read: Returns the text of a file; raises UsageError.
        shard: Number of this runner (from 1) and how many there are: each sends its part of the rate.

    Raises:
        UsageError: Something is missing, out of bounds, or not allowed.
    """
    if not config.target:
        raise UsageError(
            "load-check: there is no target", hint="give --target URL, or load: {target: URL} in mesh.yaml"
        )
    part = 1 / shard[1]
    stages = _stages(config, part)
    requests = tuple(_request(one, read) for one in config.requests) or (RequestPlan(checks=_checks(config.checks)),)
    plan = LoadPlan(
        url=config.target,
        stages=stages,
        arrivals=config.arrivals,
        connections=config.connections or _connections(stages),
        max_requests=None if config.max_requests is None else max(1, math.ceil(config.max_requests * part)),
        timeout_seconds=config.timeout,
        headers=config.headers,
        origin_header=config.version_header,
        allowed_hosts=config.allowed_hosts,
        requests=requests,
        tls=TlsPlan(config.tls.ca, config.tls.certificate, config.tls.key, config.tls.server_name),
        max_rate=(config.max_rps or math.inf) * part,
        options=config.engine_options,
    )
    plan.packets()  # says now what cannot be sent
    client = with_defaults(parse_thresholds(config))
    canary = tuple(parse_threshold(text) for text in config.mesh.thresholds) if config.mesh.canary != "off" else ()
    scoped = tuple(one for one in client if one.scope == CANARY)
    if scoped and config.mesh.canary == "off":
        raise UsageError(
            f"{scoped[0].text!r} is about the canary's side, which nobody looks at",
            hint="set load: {mesh: {canary: required}} in mesh.yaml",
        )
    return Scenario(plan, tuple(one for one in client if one.scope != CANARY), (*canary, *scoped))


def parse_thresholds(config: LoadConfig) -> tuple[Threshold, ...]:
    """Parse all thresholds, those of single requests with their scope.

    Raises:
        UsageError: One is none, or is about a request that does not exist.
    """
    names = {request.name for request in config.requests}
    places = [("", config.thresholds), *((request.name, request.thresholds) for request in config.requests)]
    found = []
    for place, texts in places:
        for text in texts:
            fault = find_threshold_fault(text, place, names)
            if fault:
                raise UsageError(fault)
            one = parse_threshold(text)
            found.append(replace(one, text=f"{place}.{one.text}", scope=place) if place else one)
    return tuple(found)


def parse_shard(text: str) -> tuple[int, int]:
    """Parse ``2/4``: the second of four runners; "" and "/" are one alone (GitLab's variables without ``parallel``).

    Raises:
        UsageError: It is none.
    """
    number, _, total = text.partition("/")
    if not number.strip() and not total.strip():
        return 1, 1
    if number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total) <= 1000:
        return int(number), int(total)
    raise UsageError(f"--shard {text}: expected NUMBER/TOTAL, such as 2/4")


def parse_rows(text: str, name: str) -> tuple[Mapping[str, str], ...]:
    """Parse a data file: JSON lines where the first character is ``{``, else CSV with a head line.

    Raises:
        UsageError: It is neither, empty, or longer than 100,000 rows.
    """
    try:
        if text.lstrip().startswith("{"):
            rows = [_row(json.loads(line)) for line in text.splitlines() if line.strip()]
        else:
            rows = [dict(row) for row in csv.DictReader(io.StringIO(text), strict=True)]
    except (ValueError, TypeError, csv.Error) as error:
        raise UsageError(f"{name} is no CSV with a head line and no JSON lines", why=str(error)) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise UsageError(f"{name} has no rows, or a row that is longer or shorter than the head line")
    if len(rows) > _MAX_ROWS:
        raise UsageError(f"{name} has {len(rows)} rows; at most {_MAX_ROWS} are read")
    return tuple(rows)


def _row(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {value!r:.40}")
    return {str(key): one if isinstance(one, str) else json.dumps(one) for key, one in value.items()}


def _stages(config: LoadConfig, part: float) -> tuple[Stage, ...]:
    if not config.stages:
        return (Stage(config.rate * part, config.duration),)
    stages = []
    before = 0.0
    for stage in config.stages:
        stages.append(Stage(stage.rate * part, stage.duration, before if stage.ramp else None))
        before = stage.rate * part
    return tuple(stages)


def _connections(stages: tuple[Stage, ...]) -> int:
    top = max(max(stage.rate, stage.start_rate) for stage in stages)
    return max(_LEAST_CONNECTIONS, min(_MOST_CONNECTIONS, math.ceil(top * _CONNECTION_SECONDS)))


def _request(request: LoadRequest, read: Callable[[str], str]) -> RequestPlan:
    if request.body and request.body_file:
        raise UsageError(f"load: request {request.name} has both body and body_file", hint="keep one of them")
    return RequestPlan(
        name=request.name,
        method=request.method,
        path=request.path,
        headers=request.headers,
        body=read(request.body_file) if request.body_file else request.body,
        weight=request.weight,
        rows=parse_rows(read(request.data), request.data) if request.data else (),
        checks=_checks(request.checks),
    )


def _checks(checks: LoadChecks) -> AnswerChecks:
    status = tuple(parse_status(text) for text in checks.status)
    return AnswerChecks(status, checks.headers, checks.contains, checks.json, checks.min_bytes, checks.max_bytes)
