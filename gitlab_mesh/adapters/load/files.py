"""Files of the project: bodies, data, a baseline. Bounded, and never above what a load test can use."""

from __future__ import annotations

from pathlib import Path

from gitlab_mesh.errors import ObjectMissingError, UsageError

__all__ = ["ProjectFiles"]

_MAX_BYTES = 64 * 1024 * 1024


class ProjectFiles:
    """Port ``Files`` on the file system; relative paths count from the working directory."""

    def read(self, path: str) -> str:
        """Return the text of a file.

        Raises:
            ObjectMissingError: There is none.
            UsageError: It cannot be read, is no UTF-8, or is larger than 64 MB.
        """
        try:
            with Path(path).open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
            if len(raw) > _MAX_BYTES:
                raise UsageError(f"{path} is larger than {_MAX_BYTES >> 20} MB")
            return raw.decode("utf-8-sig")
        except FileNotFoundError:
            raise ObjectMissingError(f"{path} does not exist", hint="paths count from the job's directory") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read", why=error.strerror or str(error)) from None
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not text in UTF-8", why=f"byte {error.start} is none of it") from None
