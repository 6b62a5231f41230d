"""Files of the project: text, bounded, and every failure in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitlab_mesh.adapters.load import files
from gitlab_mesh.adapters.load.files import ProjectFiles
from gitlab_mesh.errors import GitlabMeshError, ObjectMissingError, UsageError


def test_text_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeffid\n1\n".encode())
    assert ProjectFiles().read(str(tmp_path / "a.csv")) == "id\n1\n"


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [(None, ObjectMissingError, "does not exist"), (b"\xff", UsageError, "UTF-8"), (b"x" * 11, UsageError, "larger")],
)
def test_each_failure_has_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, error: type[GitlabMeshError], text: str
) -> None:
    monkeypatch.setattr(files, "_MAX_BYTES", 10)
    path = tmp_path / "data"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=text):
        ProjectFiles().read(str(path))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        ProjectFiles().read(str(tmp_path))
