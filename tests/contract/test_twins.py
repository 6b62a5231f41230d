"""Every suite of this folder runs on a real kube-apiserver, too, or says here why not."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
THERE = HERE.parent / "e2e" / "contract"
ONLY_HERE = {
    "test_pod_logs": "nothing runs pods there",
    "test_twins": "this module",
}
SUITES = sorted(path.stem for path in HERE.glob("test_*.py"))


def test_the_exceptions_exist() -> None:
    assert set(ONLY_HERE) <= set(SUITES)
    assert len(SUITES) > len(ONLY_HERE) + 10


@pytest.mark.parametrize("suite", [name for name in SUITES if name not in ONLY_HERE])
def test_a_suite_has_its_twin(suite: str) -> None:
    twin = THERE / f"{suite}.py"
    assert twin.exists(), f"tests/e2e/contract/{suite}.py is to import everything of tests/contract/{suite}.py"
    assert f"from tests.contract.{suite} import *" in twin.read_text()
