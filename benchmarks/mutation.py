"""Mutation testing of the judge's sequential arithmetic: is there a test that notices each small change?

    python benchmarks/mutation.py                           # the sequential part, in one process
    python benchmarks/mutation.py betting excess            # some of its modules
    python benchmarks/mutation.py --minutes 30 --seed 3     # a random sample, as large as half an hour allows

Each mutant changes one operator, comparison, number or call of one module. The tests run in a forked child that has
everything but the mutated module imported already, and stop at the first failure. Survivors are printed with their
line; ``EQUIVALENT`` lists those that change nothing that the judge promises, with the reason. Exit code 1 if fewer
than 90 % of the mutants that matter were noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "gitlab_mesh.core.judge"
TESTS = {
    "betting": ["test_by_hand.py", "test_betting.py"],
    "excess": ["test_by_hand.py", "test_calibration.py", "-k", "interval or excess"],
    "limit": ["test_parts.py", "-k", "limit or likelihood or outage"],
    "dispersion": [
        "test_by_hand.py",
        "test_parts.py",
        "-k",
        "dispersion or noise or clusters or ramp or outage_speaks",
    ],
    "share": ["test_by_hand.py", "test_parts.py", "-k", "share or ramp or looks or all_or_nothing"],
    "drift": ["test_by_hand.py", "test_drift.py"],
    "startup": ["test_by_hand.py", "test_parts.py", "-k", "startup or outage or start"],
    "user": ["test_by_hand.py", "test_parts.py", "-k", "user or reading or coin or direction"],
    "track": ["test_by_hand.py", "test_parts.py", "-k", "track or stakes or bets"],
    "weighing": ["test_by_hand.py", "-k", "weigh"],
}
"""Module of the sequential part → the tests that are about it; ``-k`` leaves out what is about others."""
SECONDS = 60
"""Processor time of one mutant; one that runs longer hangs, and is noticed."""
CALLS = {"min": "max", "max": "min", "log1p": "log", "exp": "abs"}
OPERATORS: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Div(),
    ast.Div: ast.Mult(),
    ast.FloorDiv: ast.Mult(),
    ast.Mod: ast.Mult(),
    ast.Pow: ast.Mult(),
}
COMPARISONS: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.GtE(),
    ast.LtE: ast.Gt(),
    ast.Gt: ast.LtE(),
    ast.GtE: ast.Lt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
}
EQUIVALENT: dict[str, str] = {
    "OUTAGE: Mapping": "which alternatives are betted on: changes power, not validity",
    "ABOVE = (": "which alternatives are betted on: changes power, not validity",
    "BELOW = (": "which alternatives are betted on: changes power, not validity",
    "WORSE = (": "which alternatives are betted on: changes power, not validity",
    "SLOWER = (": "which alternatives are betted on: changes power, not validity",
    "BETTER = (": "which alternatives are betted on: changes power, not validity",
    "FINE = (": "which alternatives are betted on: changes power, not validity",
    "COARSE = (": "which alternatives are betted on: changes power, not validity",
    "_FIRST_CLOCK": "tuning of the late start: changes power, not validity",
    "_RELEASE_POWER": "tuning of the late start: changes power, not validity",
    "floor = best": "what is e^-700 of the best bet is nothing either way",
    "value > best - 700.0": "what is e^-700 of the best bet is nothing either way",
    "value - best, -700.0": "what is e^-700 of the best bet is nothing either way",
    "_CLOSE": "accuracy of the interval's ends, far below a request's worth",
    "_STEPS": "accuracy of the interval's ends, or which shares are betted on: power, not validity",
    "690.0": "ceiling of a number that is only shown",
    "300.0": "keeps exp() finite; the alarm is at 1,000",
    "1.001": "rounding room of the cap",
}


def mutants(tree: ast.Module) -> Iterator[tuple[ast.Module, int, str]]:
    """Yield each mutated tree with the line and a description."""
    for index, node in enumerate(ast.walk(tree)):
        for change, what in changes(node):
            mutated = copy.deepcopy(tree)
            target = next(other for i, other in enumerate(ast.walk(mutated)) if i == index)
            change(target)
            yield ast.fix_missing_locations(mutated), getattr(node, "lineno", 0), what


def changes(node: ast.AST) -> Iterator[tuple[object, str]]:
    """Yield the ways to change one node."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        new = OPERATORS[type(node.op)]
        yield lambda target: setattr(target, "op", new), f"{type(node.op).__name__} → {type(new).__name__}"
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        other = COMPARISONS[type(node.ops[0])]
        yield lambda target: setattr(target, "ops", [other]), f"{type(node.ops[0]).__name__} → {type(other).__name__}"
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
        yield lambda target: setattr(target, "value", value + 1), f"{value} → {value + 1}"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        name = CALLS[node.func.id]
        yield lambda target: setattr(target.func, "id", name), f"{node.func.id} → {name}"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda target: setattr(target, "op", ast.UAdd()), "sign"
    elif isinstance(node, ast.Return) and node.value is not None:
        falsy = isinstance(node.value, ast.Constant) and not node.value.value
        other_value = 1.0 if falsy else 0.0
        yield lambda target: setattr(target, "value", ast.Constant(other_value)), f"return {other_value}"


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a mutated tree, everything else as usual."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name, self.tree = name, tree

    def find_spec(self, fullname: str, path: object, target: object = None) -> object:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, self.name, "exec"), module.__dict__)


def survives(name: str, tree: ast.Module, tests: list[str]) -> bool:
    """Run the tests on one mutant in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.meta_path.insert(0, Mutated(name, tree))
            code = run_tests(tests)
        except BaseException:
            code = 1
        os._exit(int(code))
    _, status = os.waitpid(child, 0)
    return status == 0


def run_tests(tests: list[str]) -> int:
    """Run the tests in this process, in a fixed order, with few examples of each property."""
    import pytest
    from hypothesis import HealthCheck, settings

    # A busy machine must not fail a health check: that would look like a mutant that was noticed.
    unhurried: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    settings.register_profile("mutation", derandomize=True, max_examples=20, database=None, **unhurried)
    settings.load_profile("mutation")
    folder = ROOT / "tests" / "core" / "judge"
    off = [word for plugin in ("randomly", "xdist", "cacheprovider") for word in ("-p", f"no:{plugin}")]
    chosen = [str(folder / test) if test.endswith(".py") else test for test in tests]
    return int(pytest.main([*off, "--assert=plain", "-o", "filterwarnings=", "-q", "-x", *chosen]))


def all_mutants(names: list[str]) -> Iterator[tuple[str, ast.Module, str]]:
    """Yield module, mutated tree and description of each mutant that matters."""
    for short in names:
        source = (ROOT / "gitlab_mesh" / "core" / "judge" / f"{short}.py").read_text(encoding="utf-8")
        lines = source.splitlines()
        for mutated, line, what in mutants(ast.parse(source)):
            text = lines[line - 1].strip()
            if not any(key in text for key in EQUIVALENT):
                yield short, mutated, f"{short}.py:{line} ({what}): {text}"


def check_sound(names: list[str]) -> str:
    """Return the first module whose tests fail without a mutation; empty if none does."""
    for short in names:
        source = (ROOT / "gitlab_mesh" / "core" / "judge" / f"{short}.py").read_text(encoding="utf-8")
        if not survives(f"{PACKAGE}.{short}", ast.parse(source), TESTS[short]):
            return short
    return ""


def main() -> int:
    """Test the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(TESTS)}; all if none is given")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop then; the mutants are drawn at random")
    parser.add_argument("--seed", type=int, default=1, help="of the order under --minutes")
    options = parser.parse_args()
    import hypothesis  # noqa: F401 - imported once, before the children
    import numpy as np  # noqa: F401
    import pytest  # noqa: F401

    names = options.modules or list(TESTS)
    started = time.monotonic()
    if unsound := check_sound(names):
        print(f"{unsound}: its tests fail without a mutation")
        return 2
    chosen = list(all_mutants(names))
    if options.minutes:
        random.Random(options.seed).shuffle(chosen)
    noticed: dict[str, list[bool]] = {short: [] for short in names}
    for short, mutated, what in chosen:
        if options.minutes and time.monotonic() - started > 60.0 * options.minutes:
            break
        survived = survives(f"{PACKAGE}.{short}", mutated, TESTS[short])
        noticed[short].append(not survived)
        if survived:
            print(f"  survived {what}", flush=True)
    for short, results in noticed.items():
        print(f"{short}: {sum(results)} of {len(results)} mutants noticed")
    total, killed = sum(map(len, noticed.values())), sum(map(sum, noticed.values()))
    spent = time.monotonic() - started
    print(f"all: {killed} of {total} = {killed / max(total, 1):.1%}; {len(chosen) - total} not tried; {spent:.0f} s")
    for key, reason in EQUIVALENT.items():
        print(f"not counted: lines with `{key}`: {reason}")
    return 0 if killed >= 0.9 * total else 1


if __name__ == "__main__":
    raise SystemExit(main())
