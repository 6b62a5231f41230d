"""Artifacts: whole or not at all, and the reason instead of an exception."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitlab_mesh.adapters.artifacts import DirectoryArtifacts
from gitlab_mesh.adapters.redaction import Redactor


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path / "mesh-out")
    assert artifacts.write("report.json", "{}") == ""
    assert artifacts.write("report.json", "{} – €\ud800") == ""
    assert artifacts.write("shop/note.md", "x") == ""
    assert (tmp_path / "mesh-out/report.json").read_bytes() == "{} – €?".encode()
    assert (tmp_path / "mesh-out/shop/note.md").read_text() == "x"
    assert (tmp_path / "mesh-out/report.json").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in (tmp_path / "mesh-out").iterdir()) == ["report.json", "shop"]


def test_secrets_are_taken_out(tmp_path: Path) -> None:
    DirectoryArtifacts(tmp_path, redact=Redactor(["planted"])).write("note.md", "a planted value")
    assert (tmp_path / "note.md").read_text() == "a [redacted] value"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", ".", ".."])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    assert DirectoryArtifacts(folder).write(name, "x")
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "mesh-out").write_text("in the way")
    reason = DirectoryArtifacts(tmp_path / "mesh-out").write("report.json", "x")
    assert "report.json was not written" in reason
    assert os.strerror(errno.EEXIST) in reason or os.strerror(errno.ENOTDIR) in reason


def test_a_folder_in_the_place_of_the_file_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    assert os.strerror(errno.EISDIR) in DirectoryArtifacts(tmp_path).write("report.json", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_read_only_tree_is_named() -> None:
    """/proc takes no files, not even from root."""
    assert DirectoryArtifacts(Path("/proc")).write("report.json", "x").startswith("/proc/report.json was not written: ")


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 1,000 bytes: the nearest to a full disk that needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_the_former_file(tmp_path: Path, small_files: None) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    assert artifacts.write("report.html", "former") == ""
    reason = artifacts.write("report.html", "x" * 5000)
    assert os.strerror(errno.EFBIG) in reason
    assert (tmp_path / "report.html").read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
