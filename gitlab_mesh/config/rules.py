"""What must hold between settings of one service; limits of a single one stand at its field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gitlab_mesh.config.model import ServiceConfig
from gitlab_mesh.config.scalars import render_number
from gitlab_mesh.core.freeze import parse_day, parse_time_of_day
from gitlab_mesh.core.load.checks import parse_status
from gitlab_mesh.core.load.thresholds import CANARY, find_threshold_fault
from gitlab_mesh.errors import UsageError

__all__ = ["check_service"]


def check_service(service: ServiceConfig, broken: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield (path below the service, what is wrong and why) for each rule that is broken.

    Args:
        service: What was loaded.
        broken: Sections with mistakes already reported; rules that read them are left out.
    """
    for rule, reads in _RULES:
        if not set(reads) & set(broken):
            yield from rule(service)


def _check_steps(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    rollout = service.rollout
    weights = [step.weight for step in rollout.steps]
    if not weights:
        yield "rollout.steps", "is empty; a canary needs at least one step, such as [10]"
    for before, after in pairwise(weights):
        if after <= before:
            yield "rollout.steps", f"the weights must rise, but {after:g} follows {before:g}"
            break
    bakes = sum(rollout.step_bake if step.bake is None else step.bake for step in rollout.steps)
    shortest = max(bakes, service.judge.bake_seconds) + rollout.watch.duration
    if shortest > rollout.deadline:
        given, needed = render_number(rollout.deadline, "duration"), render_number(shortest, "duration")
        why = "that a good release takes (steps, judge.bake, watch)"
        yield "rollout.deadline", f"{given} is less than the {needed} {why}"


def _check_route(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    route = service.route
    for key, value in (("virtualService", route.virtual_service), ("host", route.host)):
        if route.http_route and value:
            yield f"route.{key}", f"is {value} beside httpRoute {route.http_route}; a service has one kind of route"


def _check_sides(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    if service.subsets.stable == service.subsets.canary:
        yield "subsets.canary", f"is {service.subsets.canary} like subsets.stable; the sides need two subsets"
    if service.stable_workload == service.canary_workload:
        yield "workload.canary", f"is {service.canary_workload} like the stable Deployment; it would be overwritten"


def _check_metrics(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    if service.metrics.source == "prometheus" and not service.metrics.address:
        yield (
            "metrics.address",
            "is missing: source prometheus needs its URL, such as http://prometheus.istio-system:9090",
        )
    for name, count in Counter(query.name for query in service.metrics.queries).items():
        if count > 1:
            yield "metrics.queries", f'the name "{name}" stands there {count} times; each metric needs its own'


def _check_smoke(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    for index, check in enumerate(service.smoke):
        if (check.http is None) == (not check.command):
            both = "both http and command" if check.command else "neither http nor command"
            yield f"smoke[{index}]", f"has {both}; a check is exactly one of them"


def _check_freeze(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    for index, window in enumerate(service.freeze):
        for key, text, parse in (
            ("from", window.begin, parse_time_of_day),
            ("until", window.end, parse_time_of_day),
            ("first", window.first_day, parse_day),
            ("last", window.last_day, parse_day),
        ):
            try:
                if text is not None:
                    parse(text)
            except ValueError as error:
                yield f"freeze[{index}].{key}", str(error)
        try:
            ZoneInfo(window.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            yield f"freeze[{index}].timezone", f'"{window.timezone}" is no time zone such as Europe/Berlin'


def _check_load(service: ServiceConfig) -> Iterator[tuple[str, str]]:
    load = service.load
    names = {request.name for request in load.requests}
    if len(names) < len(load.requests):
        yield "load.requests", "has the same name twice; each request needs its own"
    for scope, texts, path in (
        ("", load.thresholds, "load.thresholds"),
        (CANARY, load.mesh.thresholds, "load.mesh.thresholds"),
        *((one.name, one.thresholds, f"load.requests[{index}].thresholds") for index, one in enumerate(load.requests)),
    ):
        for index, text in enumerate(texts):
            problem = find_threshold_fault(text, scope, names)
            if problem:
                yield f"{path}[{index}]", problem
    for path, checks in (
        ("load.checks", load.checks),
        *((f"load.requests[{index}].checks", one.checks) for index, one in enumerate(load.requests)),
    ):
        for text in checks.status:
            try:
                parse_status(text)
            except UsageError as error:
                yield f"{path}.status", f"{error.what}; {error.hint}"
    for index, request in enumerate(load.requests):
        if request.body and request.body_file:
            yield f"load.requests[{index}]", "has both body and body_file; keep one of them"


_RULES: tuple[tuple[Callable[[ServiceConfig], Iterator[tuple[str, str]]], tuple[str, ...]], ...] = (
    (_check_steps, ("rollout", "judge")),
    (_check_route, ("route",)),
    (_check_sides, ("subsets", "workload")),
    (_check_metrics, ("metrics",)),
    (_check_smoke, ("smoke",)),
    (_check_load, ("load",)),
    (_check_freeze, ("freeze",)),
)
"""Each rule with the sections that it reads."""
