"""A console that remembers what was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["RecordingConsole", "Said"]


@dataclass(frozen=True, slots=True)
class Said:
    """One thing said: ``kind`` is "section", "end", "line", "progress" or "table".

    ``section`` is the name of the innermost open section, or empty; ``rows`` has the table's heads first.
    """

    kind: str
    text: str
    tone: str = "neutral"
    section: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass
class RecordingConsole:
    """Fake of the port ``Console``: everything in order, nothing left out."""

    said: list[Said] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything as plain text, one thing a line: for ``assert "…" in console.text``."""
        return "\n".join(
            "\n".join(" | ".join(row) for row in entry.rows) if entry.kind == "table" else entry.text
            for entry in self.said
            if entry.kind != "end"
        )

    def lines(self, tone: str | None = None) -> list[str]:
        """Texts of all lines, or of those with this tone."""
        return [entry.text for entry in self.said if entry.kind == "line" and tone in {None, entry.tone}]

    @contextmanager
    def section(self, name: str, title: str, *, collapsed: bool = False) -> Iterator[None]:
        """Record the section's title, and its end also after an error."""
        del collapsed
        self._say("section", title)
        self._open.append(name)
        try:
            yield
        finally:
            self._open.pop()
            self._say("end", name)

    def line(self, text: str, *, tone: str = "neutral") -> None:
        """Record a line."""
        self._say("line", text, tone)

    def progress(self, text: str) -> None:
        """Record progress, each time."""
        self._say("progress", text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Record a table."""
        self._say("table", "", rows=(tuple(columns), *(tuple(row) for row in rows)))

    def _say(self, kind: str, text: str, tone: str = "neutral", rows: tuple[tuple[str, ...], ...] = ()) -> None:
        self.said.append(Said(kind, text, tone, self._open[-1] if self._open else "", rows))
