"""Rewrite untrusted HTML so that only harmless tags and attributes are left, a safe subset of GitLab's allowlist.

Nothing of the input is passed through: it is parsed, and what is allowed is written anew, escaped and balanced. So a
note cannot run scripts, load anything, or close the element that it is shown in. The allowlist follows
``lib/banzai/filter/base_sanitization_filter.rb``; images are left out (their alternative text stays), because the
page must not load anything from elsewhere.
"""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

__all__ = ["sanitize"]

_TAG_NAMES = """
a abbr b blockquote br cite code dd del details dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i ins kbd li
mark ol p pre q s samp small span strike strong sub summary sup table tbody td tfoot th thead tr tt ul var
"""
_TAGS = frozenset(_TAG_NAMES.split())
_VOID = frozenset({"br", "hr"})
_DROPPED_WITH_CONTENT = frozenset(
    {"script", "style", "iframe", "object", "noscript", "svg", "math", "template", "title"}
)
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "details": {"open"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
}
# Classes that our own Markdown renderer writes. They style, and nothing else.
_CLASS = re.compile(r"task|alert alert-(note|tip|important|caution|warning)|alert-title|diagram|code-language")
_ALIGN = re.compile(r"text-align:\s*(left|right|center)")
_LINK = re.compile(r"(?:https?://|mailto:|#|/(?!/)|\.{1,2}/)[^\x00-\x20]*", re.IGNORECASE)


def sanitize(html: str) -> str:
    """Return the harmless rest of ``html``, every element closed."""
    parser = _Rewriter()
    parser.feed(html)
    parser.close()
    return parser.finish()


class _Rewriter(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._open: list[str] = []
        self._dropping: list[str] = []

    def finish(self) -> str:
        """Close what is still open and return everything."""
        return "".join([*self._out, *(f"</{tag}>" for tag in reversed(self._open))])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Write an allowed tag with its allowed attributes; a checkbox is always disabled."""
        values = {name: value or "" for name, value in attrs}
        if self._dropping or tag in _DROPPED_WITH_CONTENT:
            if tag in _DROPPED_WITH_CONTENT:
                self._dropping.append(tag)
        elif tag == "img":
            self._out.append(f"<em>[image: {escape(values.get('alt') or 'without a description')}]</em>")
        elif tag == "input" and values.get("type") == "checkbox":
            self._out.append(f'<input type="checkbox" disabled{" checked" if "checked" in values else ""}>')
        elif tag in _TAGS:
            self._out.append(f"<{tag}{_attributes(tag, values)}>")
            if tag not in _VOID:
                self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """HTML knows no self-closing elements but the void ones: ``<script/>`` does open a script."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close an element only if it is open here, with everything inside of it."""
        if self._dropping:
            if tag in self._dropping:
                del self._dropping[self._dropping.index(tag) :]
            return
        if tag in self._open:
            while True:
                closing = self._open.pop()
                self._out.append(f"</{closing}>")
                if closing == tag:
                    return

    def handle_data(self, data: str) -> None:
        """Write text, escaped."""
        if not self._dropping:
            self._out.append(escape(data, quote=False))


def _attributes(tag: str, values: dict[str, str]) -> str:
    kept = {name: value for name, value in values.items() if name in _ATTRIBUTES.get(tag, ())}
    if "href" in kept and not _LINK.fullmatch(kept["href"].strip()):
        del kept["href"]
    if _CLASS.fullmatch(values.get("class", "")):
        kept["class"] = values["class"]
    if tag in {"td", "th"} and (align := _ALIGN.fullmatch(values.get("style", "").strip(" ;"))):
        kept["align"] = align[1]
    if tag == "a":
        kept["rel"] = "nofollow noopener noreferrer"
    return "".join(f' {name}="{escape(value)}"' for name, value in kept.items())
