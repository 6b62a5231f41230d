"""Mutation testing of the judge's sequential arithmetic: is there a test that notices each small change?

    python benchmarks/mutation.py                 # all modules of the sequential part
    python benchmarks/mutation.py betting excess  # some of them

Each mutant changes one operator, comparison, number or call of one module. The tests run in a forked child that has
everything but the mutated module imported already, and stop at the first failure. Survivors are printed with their
line; ``EQUIVALENT`` lists those that change nothing that the judge promises, with the reason.
"""

from __future__ import annotations

import ast
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PACKAGE = "gitlab_mesh.core.judge"
TESTS = {
    "betting": ["test_betting.py"],
    "excess": ["test_calibration.py"],
    "limit": ["test_parts.py"],
    "dispersion": ["test_parts.py"],
    "share": ["test_parts.py"],
    "latency": ["test_parts.py"],
    "schedule": ["test_schedule.py"],
}
SECONDS = 90
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
    "BETTER = (": "which alternatives are betted on: changes power, not validity",
    "FINE = (": "which alternatives are betted on: changes power, not validity",
    "COARSE = (": "which alternatives are betted on: changes power, not validity",
    "_FIRST_CLOCK": "tuning of the late start: changes power, not validity",
    "_RELEASE_POWER": "tuning of the late start: changes power, not validity",
    "floor = best": "what is e^-700 of the best bet is nothing either way",
    "value > best - 700.0": "what is e^-700 of the best bet is nothing either way",
    "value - best, -700.0": "what is e^-700 of the best bet is nothing either way",
    "_CLOSE": "accuracy of the interval's ends, far below a request's worth",
    "_STEPS": "accuracy of the interval's ends, or the spread of the share's bets",
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
        yield lambda target: setattr(target, "value", ast.Constant(0.0)), "return 0.0"


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
            signal.alarm(SECONDS)
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
    from hypothesis import settings

    settings.register_profile("mutation", derandomize=True, max_examples=20, deadline=None, database=None)
    settings.load_profile("mutation")
    folder = ROOT / "tests" / "core" / "judge"
    plain = [
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
        "-o",
        "filterwarnings=",
        "-q",
        "-x",
    ]
    return int(pytest.main([*plain, *[str(folder / test) for test in tests]]))


def main(names: list[str]) -> int:
    """Test the tests; 1 if fewer than 90 % of the mutants that matter are noticed."""
    import hypothesis  # noqa: F401 - imported once, before the children
    import numpy as np  # noqa: F401
    import pytest  # noqa: F401

    killed = total = 0
    started = time.time()
    for short in names or list(TESTS):
        path = ROOT / "gitlab_mesh" / "core" / "judge" / f"{short}.py"
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        tree = ast.parse(source)
        if not survives(f"{PACKAGE}.{short}", tree, TESTS[short]):
            print(f"{short}: its tests fail without a mutation")
            return 2
        here = noticed = 0
        for mutated, line, what in mutants(tree):
            text = lines[line - 1].strip()
            if any(key in text for key in EQUIVALENT):
                continue
            here += 1
            if survives(f"{PACKAGE}.{short}", mutated, TESTS[short]):
                print(f"  survived {short}.py:{line} ({what}): {text}", flush=True)
            else:
                noticed += 1
        killed, total = killed + noticed, total + here
        print(f"{short}: {noticed} of {here} mutants noticed, {time.time() - started:.0f} s", flush=True)
    print(f"all: {killed} of {total} = {killed / max(total, 1):.1%}")
    for key, reason in EQUIVALENT.items():
        print(f"not counted: lines with `{key}`: {reason}")
    return 0 if killed >= 0.9 * total else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
