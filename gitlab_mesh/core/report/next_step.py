"""What the reader can do next: a sentence with code in backticks, and the commands to copy out of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["NextStep", "parse_next_step"]


@dataclass(frozen=True, slots=True)
class NextStep:
    """A parsed ``Report.next_step``.

    Attributes:
        pieces: Text and code by turns, text first.
        commands: What is worth a block of its own: code that has arguments ("--again" alone is none).
    """

    pieces: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def alternatives(self) -> tuple[tuple[str, str], ...]:
        """Words and command by turns, where every command follows a colon ("Go on: `a`; or take it back: `b`").

        Empty where the sentence is built otherwise; then the commands come after it.
        """
        texts, codes = self.pieces[::2], self.pieces[1::2]
        rest = texts[len(codes) :]
        if not codes or len(self.commands) != len(codes) or any(text.strip(" .") for text in rest):
            return ()
        if any(not text.rstrip().endswith(":") for text in texts[: len(codes)]):
            return ()
        words = [text.strip(" ;,.") for text in texts[: len(codes)]]
        return tuple(zip((text[:1].upper() + text[1:] for text in words), self.commands, strict=True))

    def render(self, text: Callable[[str], str], code: Callable[[str], str]) -> str:
        """Join the sentence from its pieces, rendered; blanks around code are kept."""
        parts = []
        for index, piece in enumerate(self.pieces):
            if index % 2:
                parts.append(code(piece))
            elif piece:
                before = " " if index and piece[0].isspace() else ""
                after = " " if index < len(self.pieces) - 1 and piece[-1].isspace() else ""
                parts.append(before + text(piece) + after)
        return re.sub(" +", " ", "".join(parts)).strip()


def parse_next_step(text: str) -> NextStep:
    """Parse the sentence. A single command at its very end stands in its block only."""
    pieces = re.split(r"`([^`]+)`", text)
    commands = tuple(piece.strip() for piece in pieces[1::2] if re.search(r"\S\s+\S", piece))
    if len(pieces) == 3 and commands and pieces[2].strip(" .") == "":
        return NextStep((pieces[0],), commands)
    return NextStep(tuple(pieces), commands)
