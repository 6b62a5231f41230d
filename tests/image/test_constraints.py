"""The locked versions: all that the tool needs is in them, by hash, and nothing of the machine that wrote them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "gitlab_mesh/constraints.txt").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+) \\$", TEXT, re.MULTILINE))
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def closure() -> dict[str, list[Requirement]]:
    """Everything that the runtime dependencies need here, by name, with every demand on its version."""
    found: dict[str, list[Requirement]] = {}
    open_ = [Requirement(line) for line in NEEDED]
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        known = name in found
        found.setdefault(name, []).append(requirement)
        if known:
            continue
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        extras = [*requirement.extras, ""]
        for line in lines:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                open_.append(needed)
    return found


def test_everything_that_the_tool_needs_is_locked_at_a_version_that_fits() -> None:
    for name, demands in closure().items():
        assert name in PINS, f"{name} is missing: make constraints"
        for demand in demands:
            assert demand.specifier.contains(PINS[name], prereleases=True), f"{demand} is not met: make constraints"


def test_every_version_has_its_hashes() -> None:
    blocks = re.split(r"\n(?=[a-z])", TEXT.partition("\n#\n")[2].partition("\n#\n")[2] or TEXT)
    pinned = [block for block in blocks if "==" in block]
    assert len(pinned) == len(PINS) > 10
    for block in pinned:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:60]


def test_nothing_of_the_machine_is_in_it() -> None:
    assert not re.findall(r"^--.*|https?://\S+|file:\S+|(?<![a-z])/\w+/\S*", TEXT, re.MULTILINE)
    assert "make constraints" in TEXT.splitlines()[4]


def test_locked_and_tested_versions_are_not_far_apart() -> None:
    """The suite runs on what pip chose; the same major versions must be what jobs get."""
    for requirement in NEEDED:
        name = canonicalize_name(Requirement(requirement).name)
        assert PINS[name].split(".")[0] == version(name).split(".")[0], f"{name}: make constraints"


@pytest.mark.parametrize("name", ["USER 65532", "--require-hashes", "FROM ${BASE}"])
def test_the_image_recipe_keeps_its_promises(name: str) -> None:
    assert name in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_an_image_without_a_digest_is_refused() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--silent", "image", "BASE=python:3.12-slim", "--old-file=.venv/.dev"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "by digest" in done.stdout
