"""Files for ``artifacts:``: whole or not at all, and never the reason why a rollback fails."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["DirectoryArtifacts"]


class DirectoryArtifacts:
    """Port ``Artifacts`` on a directory, which is made at the first write.

    Args:
        directory: Where the files go.
        redact: Takes secrets out of every file.
    """

    def __init__(self, directory: Path, *, redact: Callable[[str], str] | None = None) -> None:
        self._directory = directory
        self._redact = redact

    def write(self, name: str, text: str) -> str:
        """Write one file atomically (a reader sees the former one or the new one); return "" or why not.

        ``name`` may have folders ("shop/report.json"), but stays inside the directory. What UTF-8 cannot hold
        becomes ``?``.
        """
        target = self._directory / name
        if not target.resolve().is_relative_to(self._directory.resolve()) or not Path(name).name:
            return f"{name} was not written: it would be outside of {self._directory}"
        content = (self._redact(text) if self._redact else text).encode("utf-8", "replace")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, content)
        except OSError as error:
            return f"{target} was not written: {error.strerror or error}"
        return ""


def _replace(target: Path, content: bytes) -> None:
    """Write beside the target and rename; on any failure nothing is left behind.

    No fsync: an artifact that a crash of the machine takes away is no loss, the job is gone with it.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would keep the runner's uploader out where it is another user
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
