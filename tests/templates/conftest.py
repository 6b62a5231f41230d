"""An example project that includes the template, and gitlab-ci-local to run its pipeline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(__file__).parent / "example"


@dataclass(frozen=True)
class Pipeline:
    """How a pipeline ended, as gitlab-ci-local tells it."""

    exit_code: int
    output: str

    @property
    def results(self) -> dict[str, str]:
        """PASS, WARN or FAIL by job, from the summary."""
        found = re.findall(r"^ (PASS|WARN|FAIL)  (\S+)(?:  pre_script)? *$", self.output, re.MULTILINE)
        return {name: word for word, name in found}

    def log(self, job: str) -> str:
        """The lines of one job."""
        return "\n".join(line for line in self.output.split("\n") if line.startswith(f"{job} "))


@dataclass(frozen=True)
class Project:
    """A checkout of the example project with the generated templates in it."""

    path: Path
    program: Path
    home: Path

    def run(
        self, *arguments: str, variables: dict[str, str] | None = None, env: dict[str, str] | None = None,
        timeout: float = 100,
    ) -> Pipeline:  # fmt: skip
        """Run gitlab-ci-local with its shell executor.

        Its CI is not GitLab's: ``retry``, ``timeout``, ``resource_group`` and ``workflow:rules`` do nothing,
        ``CI=true`` but ``GITLAB_CI=false``, and the origin's URL becomes ``CI_SERVER_URL``.
        """
        options = [f"--variable={name}={value}" for name, value in (variables or {}).items()]
        done = subprocess.run(
            [self.program, "--force-shell-executor", *options, *arguments],
            cwd=self.path,
            env={**os.environ, "HOME": str(self.home), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Pipeline(done.returncode, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout))

    def git(self, *arguments: str) -> str:
        """Run git in the checkout; return what it says."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(self.home)},
        )
        return done.stdout.strip()

    def jobs(self, **variables: str) -> dict[str, str]:
        """Return ``when`` by job, as the rules decide for these variables."""
        listed = self.run("--list-csv", variables=variables)
        assert listed.exit_code == 0, listed.output
        rows = [line.split(";") for line in listed.output.split("\n") if line.count(";") >= 4]
        return {row[0]: row[rows[0].index("when")] for row in rows[1:]}


def make_repository(path: Path, program: Path, origin: str) -> Project:
    """Make an empty git repository; ``origin`` decides the URL of the GitLab API."""
    home = path.parent / "home"
    home.mkdir(exist_ok=True)
    path.mkdir(exist_ok=True)
    project = Project(path, program, home)
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("remote", "add", "origin", origin)
    project.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    return project


def commit_all(project: Project) -> None:
    """Commit what lies in the checkout, as the head of origin's main, too; nothing where nothing changed."""
    project.git("add", "--all")
    if not project.git("status", "--porcelain"):
        return
    identity = ["-c", "user.name=Example", "-c", "user.email=example@example.com"]
    project.git(*identity, "commit", "--quiet", "--message=Example")
    project.git("update-ref", "refs/remotes/origin/main", "HEAD")


def make_project(path: Path, program: Path, origin: str) -> Project:
    """Copy the example and the templates into a new git repository."""
    shutil.copytree(EXAMPLE, path)
    shutil.copytree(ROOT / "ci-templates", path / "ci-templates")
    project = make_repository(path, program, origin)
    commit_all(project)
    return project


@pytest.fixture
def new_project(tmp_path: Path, require_tool: Callable[[str], Path]) -> Callable[[str], Project]:
    """Make the example project for an origin."""
    require_tool("rsync")
    program = require_tool("gitlab-ci-local")
    return lambda origin: make_project(tmp_path / "shop", program, origin)


@pytest.fixture
def project(new_project: Callable[[str], Project]) -> Project:
    """The example project, with an origin where nothing listens."""
    return new_project("http://127.0.0.1:9/acme/shop.git")
