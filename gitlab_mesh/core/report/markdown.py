"""Text that is safe inside GitLab Flavored Markdown, whoever wrote it.

What has to be prevented, and where GitLab does it:

* Quick actions: a line of a note that begins with ``/`` (``lib/gitlab/quick_actions/extractor.rb``; its pattern for
  code blocks loses step when a block holds three backticks, so even fenced lines never begin with ``/`` here).
* Mentions and references, ``@ # ! $ % & ~ ^``: a backslash before them holds since GitLab 14.0
  (``lib/banzai/filter/markdown_pre_escape_filter.rb``); in code they are never looked for.
* HTML, links, images, tables, headings, lists: CommonMark's backslash escapes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

__all__ = ["clean_text", "code_span", "escape_text", "fence", "link", "one_line", "summary_text", "table", "table_cell"]

# Never printable, and partly not allowed in XML: controls but tab and newline, bidirectional overrides (they can
# make a line read as another one), lone surrogates, non-characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_ALWAYS = re.compile(r"[\\`*_\[\]<>|~$@^]")
_BEFORE_WORD = re.compile(r"[#!%&](?=[\w\"'{#])")
_BLOCK_START = re.compile(r"^(?:/|[-+#](?=[\s#-]|$)|\d{1,9}(?=[.)](?:\s|$)))")
_ADDRESS = re.compile(r"://|\bwww\.", re.IGNORECASE)


def clean_text(text: str) -> str:
    """Drop what no terminal, XML or browser should see; every kind of line end becomes a line feed."""
    return _UNPRINTABLE.sub("", "\n".join(re.split(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text)))


def one_line(text: str, limit: int = 1000) -> str:
    """Join lines and runs of blanks by one space, cut to ``limit`` characters with an ellipsis.

    The no-break spaces of figures are kept.
    """
    joined = re.sub(r"[ \t\n]+", " ", clean_text(text)).strip()
    return joined if len(joined) <= limit else joined[: limit - 1].rstrip() + "…"


def escape_text(text: str, limit: int = 1000) -> str:
    """Escape a sentence: it comes out as one line that shows exactly its characters and does nothing.

    It may begin a line: what would there be a list, a heading or a quick action is escaped too.
    """
    escaped = _escape_inline(text, limit)
    return _BLOCK_START.sub(lambda match: match[0] + "\\" if match[0].isdigit() else "\\" + match[0], escaped)


def _escape_inline(text: str, limit: int) -> str:
    escaped = _ALWAYS.sub(lambda match: "\\" + match[0], one_line(text, limit))
    escaped = _BEFORE_WORD.sub(lambda match: "\\" + match[0], escaped)
    return _ADDRESS.sub(lambda match: match[0].replace("/", "\\/", 1).replace(".", "\\."), escaped)


def code_span(text: str, limit: int = 300) -> str:
    """Put text into inline code (CommonMark 6.1: the fence is longer than any run of backticks inside)."""
    content = one_line(text, limit)
    if not content:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{ticks}{pad}{content}{pad}{ticks}"


def fence(text: str, language: str = "text", limit: int = 4000) -> str:
    """Put text into a fenced block; nothing in it can close the block or begin a quick action."""
    content = clean_text(text).strip("\n")
    if len(content) > limit:
        content = content[:limit].rstrip() + "\n…"
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    ticks = "`" * max(3, longest + 1)
    lines = [f" {line}" if line.startswith("/") else line for line in content.split("\n")]
    return "\n".join([f"{ticks}{language}", *lines, ticks])


def link(label: str, url: str) -> str:
    """Link with a safe label; the label alone for what is not http or https, or is longer than 1,000 characters."""
    address = one_line(url, 2000)
    encoded = re.sub(r"[\s<>()\\\"`|\[\]*_~@]", lambda match: quote(match[0]), address)
    if not re.match(r"https?://[^\s]", address, re.IGNORECASE) or len(encoded) > 1000:
        return escape_text(label, 100)
    return f"[{escape_text(label, 100) or 'link'}]({encoded})"


def table_cell(text: str, limit: int = 120) -> str:
    """Escape one cell; an empty one gets a dash so that e-mail shows the column too."""
    return _escape_inline(text, limit) or "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """Join cells that are already escaped; ``align`` has one of ``l``, ``r`` a column (default left)."""
    rules = [":--" if side == "l" else "--:" for side in align.ljust(len(columns), "l")[: len(columns)]]
    lines = [columns, rules, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary_text(text: str) -> str:
    """Text for ``<summary>``: HTML, where backslashes do not escape; references are cut by a word joiner."""
    plain = re.sub(r"([@#!$%&~^])(?=\S)", "\\1\u2060", one_line(text, 200))
    return html.escape(plain, quote=False)
