"""The command line: light start, errors with their codes, plug-ins that are checked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from gitlab_mesh import errors
from gitlab_mesh.cli.plugins import load_group, load_jobs
from gitlab_mesh.errors import GitlabMeshError, UsageError

HEAVY = ("kubernetes", "gitlab", "jinja2", "rich", "requests", "yaml", "urllib3")


def run(*argv: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-m", "gitlab_mesh", *argv]
    return subprocess.run([sys.executable, *program], capture_output=True, text=True, timeout=60, check=False)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['gitlab-mesh', '--help']\n"
        "from gitlab_mesh.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = run(code=code)
    assert done.stderr.strip() == "[]"
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("argv", [("--help",), ("job", "--help"), ("job", "canary", "--help"), ("config", "--help")])
def test_every_level_has_help(argv: tuple[str, ...]) -> None:
    done = run(*argv)
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("job", "no-such"), "No such command"),
        (("job", "canary", "--no-such"), "No such option"),
        (("job", "canary", "--config", "/no/mesh.yaml"), "does not exist"),
        (("job", "canary", "--set", "novalue"), "expected PATH=VALUE"),
    ],
)
def test_wrong_usage_ends_with_2_and_no_traceback(argv: tuple[str, ...], message: str) -> None:
    done = run(*argv)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_error_class_owns_one_code() -> None:
    classes = [getattr(errors, name) for name in errors.__all__ if name != "GitlabMeshError"]
    direct = [item for item in classes if item.__base__ is GitlabMeshError]
    codes = [item.exit_code for item in direct if item is not errors.InterruptedRunError]
    assert sorted(codes) == sorted(set(codes))
    assert set(codes) == {2, 10, 11, 12, 13, 14, 16, 20, 21, 22, 23}
    assert errors.InterruptedRunError("x", signal_number=2).exit_code == 130
    assert errors.InterruptedRunError("x", signal_number=15).exit_code == 143


def test_exit_codes_of_the_readme_are_those_of_the_code(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / "README.md").read_text()
    for code in (2, 10, 11, 12, 13, 14, 16, 20, 21, 22):
        assert f"| {code} |" in text


def test_builtin_jobs_are_registered() -> None:
    assert {"canary", "rollback", "status"} <= set(load_jobs())


@dataclass
class Plugin:
    name: str
    api: int = 1


@dataclass
class Entry:
    plugins: Any
    name: str = "x"
    value: str = "x:Y"

    def load(self) -> Any:
        if isinstance(self.plugins, Exception):
            raise self.plugins
        return self.plugins


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Entry(ImportError("no module"))], "cannot be loaded"),
        ([Entry((Plugin("a", 7),))], "made for API 7"),
        ([Entry((Plugin("a"),)), Entry((Plugin("a"),))], "two plug-ins"),
    ],
)
def test_plugins_that_do_not_fit_are_refused(entries: list[Entry], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_group("gitlab_mesh.jobs", 1, find=lambda group: entries)  # type: ignore[arg-type]


def test_a_job_about_files_loads_no_http_client() -> None:
    done = run(code="import sys, gitlab_mesh_jobs.validate\nprint('http.client' in sys.modules)")
    assert done.stdout.strip() == "False"
