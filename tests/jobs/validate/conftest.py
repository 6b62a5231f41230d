"""The command, run in a directory of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.cli.main import main


class Run:
    """Runs the command in a directory of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        self.errors = ""
        monkeypatch.chdir(folder)
        for name in ("CI", "GITLAB_CI", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)

    def write(self, text: str, name: str = "mesh.yaml") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def __call__(self, *arguments: str, job: str = "validate") -> tuple[int, str]:
        self.monkeypatch.setattr(sys, "argv", ["gitlab-mesh", "job", job, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self.capsys.readouterr()
        self.errors = captured.err
        return int(ended.value.code or 0), captured.out

    def json(self, *arguments: str, job: str = "validate") -> Any:
        return json.loads(self(*arguments, "--format", "json", job=job)[1])

    def codes(self, *arguments: str, job: str = "validate") -> list[str]:
        return [item["code"] for item in self.json(*arguments, job=job)["findings"]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, monkeypatch, capsys)
