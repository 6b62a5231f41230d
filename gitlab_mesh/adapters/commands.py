"""Programs of the job's own environment, for smoke checks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["SubprocessCommands"]

_TAIL = 4000


class SubprocessCommands:
    """Port ``Commands``; no shell: what ``mesh.yaml`` says is run as it is."""

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> tuple[int, str]:
        """Run to its end; exit code 124 on timeout, 127 if there is no such program."""
        try:
            done = subprocess.run(  # noqa: S603 - the project's own mesh.yaml names the program
                list(argv),
                env={**os.environ, **env},
                timeout=timeout,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            output = error.output.decode("utf-8", "replace") if isinstance(error.output, bytes) else error.output
            return 124, f"{output or ''}\nended after {timeout:g} s"[-_TAIL:]
        except OSError as error:
            return 127, f"{argv[0]}: {error.strerror or error}"
        return done.returncode, done.stdout[-_TAIL:]
