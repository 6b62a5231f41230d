r"""The job's log: GitLab's collapsible sections in CI, plain text on a terminal; it never raises.

Protocol of the sections (GitLab docs, "Job logs"): ``\e[0Ksection_start:UNIX_TIME:NAME[collapsed=true]\r\e[0KTITLE``
and ``\e[0Ksection_end:UNIX_TIME:NAME\r\e[0K``. GitLab's runner adds times to lines itself (``FF_TIMESTAMPS``), so
we print none. A log is cut at 4 MiB (``output_limit``), so progress is written now and then only.
"""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from gitlab_mesh.adapters.redaction import Redactor
from gitlab_mesh.core.report.markdown import clean_text

__all__ = ["CIConsole"]

_WIDTH = 80
_SYMBOLS = {"good": "✓ ", "bad": "✗ ", "warn": "! "}
_COLOURS = {"good": "32", "bad": "31", "warn": "33", "title": "1;36", "soft": "2"}
_NO_BREAK = str.maketrans({"\u202f": " ", "\u00a0": " "})
_ASCII = str.maketrans(
    {"✓": "OK", "✗": "X", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "·": "-", "×": "x", "█": "#", "∞": "inf"}
)


class CIConsole:
    """Port ``Console`` on a text stream.

    Args:
        stream: Where to write; the process' standard error, so that standard output stays free for machines.
        environ: The environment: ``CI`` or ``GITLAB_CI`` switch sections and colour on, ``NO_COLOR`` switches colour
            off, ``FORCE_COLOR`` on.
        redact: Takes secrets out of every line.
        progress_seconds: Shortest time between two lines of progress where lines cannot be rewritten.
        monotonic: Clock of that limit.
        unix_time: Wall clock for the sections' times.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        redact: Callable[[str], str] | None = None,
        progress_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._stream = sys.stderr if stream is None else stream
        self._redact = Redactor() if redact is None else redact
        self._progress_seconds = progress_seconds
        self._monotonic = monotonic
        self._unix_time = unix_time
        self._lock = threading.RLock()
        self._off = False
        self._last_progress: float | None = None
        self._rewriting = False
        self._sections: dict[str, int] = {}
        self._in_ci = _is_true(environ.get("CI")) or _is_true(environ.get("GITLAB_CI"))
        self._terminal = not self._in_ci and self._is_terminal() and environ.get("TERM") != "dumb"
        if environ.get("NO_COLOR"):
            self._colour = False
        else:
            self._colour = self._in_ci or _is_true(environ.get("FORCE_COLOR")) or self._terminal

    @contextmanager
    def section(self, name: str, title: str, *, collapsed: bool = False) -> Iterator[None]:
        """Open a section; it is closed whatever happens inside, so that the rest of the log is not swallowed."""
        heading = self._paint(self._clean(title).replace("\n", " "), "title")
        slug = self._unique(name)
        if self._in_ci:
            option = "[collapsed=true]" if collapsed else ""
            self._write(f"\x1b[0Ksection_start:{int(self._unix_time())}:{slug}{option}\r\x1b[0K{heading}\n")
        else:
            self._write(f"{heading}\n")
        try:
            yield
        finally:
            if self._in_ci:
                self._write(f"\x1b[0Ksection_end:{int(self._unix_time())}:{slug}\r\x1b[0K\n")

    def line(self, text: str, *, tone: str = "neutral") -> None:
        """Write one line (or several, the further ones indented), with the symbol of its tone."""
        symbol = _SYMBOLS.get(tone, "")
        first, *rest = self._clean(text).split("\n")
        lines = [f"{symbol}{first}", *(f"  {line}" for line in rest)]
        self._write("".join(f"{self._paint(line, tone)}\n" for line in lines))

    def progress(self, text: str) -> None:
        """Rewrite the last line of a terminal; elsewhere write a line if the last one is old enough."""
        message = self._clean(text).replace("\n", " ")
        if self._terminal:
            self._write(f"\r\x1b[K{self._paint(_cut(message, self._columns() - 1), 'soft')}", rewriting=True)
            return
        now = self._monotonic()
        with self._lock:
            if self._last_progress is not None and now - self._last_progress < self._progress_seconds:
                return
            self._last_progress = now
        self._write(f"{self._paint(message, 'soft')}\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table of at most 80 columns; longer cells are wrapped."""
        if not columns:
            return
        cells = [
            [self._clean(cell).replace("\n", " ") for cell in (*row, *[""] * len(columns))[: len(columns)]]
            for row in (columns, *rows)
        ]
        widths = _fit_widths(cells)
        rule = "  ".join("─" * width for width in widths)
        lines = [line for row in cells for line in _lay_out(row, widths)]
        heads = len(_lay_out(cells[0], widths))
        self._write("".join(f"{line}\n" for line in [*lines[:heads], rule, *lines[heads:]]))

    def _clean(self, text: str) -> str:
        return self._redact(clean_text(text).translate(_NO_BREAK).replace("\t", "  "))

    def _paint(self, text: str, tone: str) -> str:
        code = _COLOURS.get(tone)
        return f"\x1b[{code}m{text}\x1b[0m" if code and self._colour else text

    def _unique(self, name: str) -> str:
        """GitLab folds by name: a second section of the same name gets a number."""
        slug = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "_" for char in name) or "part"
        with self._lock:
            self._sections[slug] = self._sections.get(slug, 0) + 1
            return slug if self._sections[slug] == 1 else f"{slug}_{self._sections[slug]}"

    def _is_terminal(self) -> bool:
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False

    def _columns(self) -> int:
        try:
            return max(20, os.get_terminal_size(self._stream.fileno()).columns)
        except (OSError, ValueError):
            return _WIDTH

    def _write(self, text: str, *, rewriting: bool = False) -> None:
        with self._lock:
            if self._off:
                return
            if self._rewriting and not rewriting:
                text = f"\r\x1b[K{text}"
            self._rewriting = rewriting
            try:
                self._stream.write(_encodable(text, self._stream.encoding))
                self._stream.flush()
            except (OSError, ValueError):  # the reader is gone, or the stream is closed
                self._switch_off()

    def _switch_off(self) -> None:
        """Stay silent from now on, also at the interpreter's exit, whose flush would change our exit code to 120."""
        self._off = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)


def _is_true(value: str | None) -> bool:
    """gitlab-ci-local sets CI=true and GITLAB_CI=false."""
    return (value or "").strip().lower() not in {"", "0", "false", "no"}


def _encodable(text: str, encoding: str | None) -> str:
    """Symbols that the stream cannot show become ASCII; the rest of what it cannot show becomes ``?``."""
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return text.translate(_ASCII).replace("─", "-").encode("ascii", "replace").decode("ascii")
    return text


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _fit_widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """Widths that fit; the widest column gives way first, none below 4."""
    widths = [min(_WIDTH, max(1, *(len(row[column]) for row in cells))) for column in range(len(cells[0]))]
    spare = _WIDTH - 2 * (len(widths) - 1)
    while sum(widths) > spare and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    return widths


def _lay_out(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in wrapped)
    padded = [[*cell, *[""] * (height - len(cell))] for cell in wrapped]
    return [
        "  ".join(f"{cell[index]:<{width}}" for cell, width in zip(padded, widths, strict=True)).rstrip()
        for index in range(height)
    ]
