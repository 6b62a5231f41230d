"""GitLab Flavored Markdown as near as a small renderer gets: what our notes use, made safe.

CommonMark with tables, strikethrough, task lists, alerts (``> [!warning]``), emoji shortcodes, bare links, raw HTML
through the sanitiser, hidden comments. Mermaid is drawn where it is an ``xychart-beta``, else shown as code.
Facts: GitLab docs, "GitLab Flavored Markdown".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from gitlab_mesh.sandbox.gitlab.sanitize import sanitize
from gitlab_mesh.sandbox.gitlab.xychart import draw_xychart

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["render_markdown"]

_EMOJI = {
    "white_check_mark": "✅", "x": "❌", "warning": "⚠️", "rocket": "🚀", "rotating_light": "🚨", "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳", "information_source": "ℹ️", "question": "❓", "exclamation": "❗", "tada": "🎉",
    "heavy_check_mark": "✔️", "heavy_multiplication_x": "✖️", "no_entry": "⛔", "stop_sign": "🛑", "fire": "🔥",
    "bulb": "💡", "mag": "🔍", "memo": "📝", "link": "🔗", "lock": "🔒", "eyes": "👀", "construction": "🚧",
    "chart_with_upwards_trend": "📈", "chart_with_downwards_trend": "📉", "bar_chart": "📊", "arrow_up": "⬆️",
    "arrow_down": "⬇️", "arrow_right": "➡️", "green_circle": "🟢", "red_circle": "🔴", "yellow_circle": "🟡",
    "blue_circle": "🔵", "white_circle": "⚪", "+1": "👍", "thumbsup": "👍", "-1": "👎", "thumbsdown": "👎",
}  # fmt: skip
_SHORTCODE = re.compile(r":([a-z0-9_+-]+):")
_BARE_LINK = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]]")
_TASK = re.compile(r"\[([ xX])\]\s+")
_ALERT = re.compile(r"\[!(note|tip|important|caution|warning)\]\s*", re.IGNORECASE)


def render_markdown(text: str) -> str:
    """Render untrusted Markdown to HTML that cannot run scripts or load anything."""
    from markdown_it import MarkdownIt

    charts: list[str] = []
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    renderer.core.ruler.push("gitlab", lambda state: _rewrite(state.tokens))
    renderer.add_render_rule("fence", lambda _self, tokens, index, *_rest: _fence(tokens[index], charts))
    html = sanitize(_render(renderer, text))
    for number, chart in enumerate(charts):
        html = html.replace(_placeholder(number), chart)
    return html


def _render(renderer: MarkdownIt, text: str) -> str:
    return str(renderer.render(text))


def _placeholder(number: int) -> str:
    # CommonMark replaces NUL in its input, so that no note can write this.
    return f"\0chart {number}\0"


def _fence(token: Token, charts: list[str]) -> str:
    language = token.info.strip().partition(" ")[0]
    code = f"<pre><code>{escape(token.content)}</code></pre>"
    if language != "mermaid":
        return (
            f'<span class="code-language">{escape(language)}</span>{code}'
            if language not in {"", "text", "plaintext"}
            else code
        )
    drawn = draw_xychart(token.content)
    if drawn:
        charts.append(drawn)
        return f'<figure class="diagram">{_placeholder(len(charts) - 1)}</figure>'
    return f'<figure class="diagram">{code}<figcaption>Mermaid; GitLab draws it here.</figcaption></figure>'


def _rewrite(tokens: list[Token]) -> None:
    """Turn list items, quotes and text into GitLab's task lists, alerts, emoji and links."""
    for index, token in enumerate(tokens):
        if token.type != "inline" or not token.children:
            continue
        before = tokens[max(0, index - 2) : index]
        first = token.children[0]
        if [item.type for item in before] == ["list_item_open", "paragraph_open"] and first.type == "text":
            task = _TASK.match(first.content)
            if task:
                first.content = first.content[task.end() :]
                before[0].attrSet("class", "task")
                token.children.insert(0, _html(f'<input type="checkbox"{" checked" if task[1] != " " else ""}> '))
        if [item.type for item in before] == ["blockquote_open", "paragraph_open"] and first.type == "text":
            alert = _ALERT.match(first.content)
            if alert:
                kind = alert[1].lower()
                first.content = first.content[alert.end() :]
                # The quote itself becomes the box; its end tag matches by kind of token, so the tag stays.
                before[0].attrSet("class", f"alert alert-{kind}")
                token.children.insert(0, _html(f'<strong class="alert-title">{kind.capitalize()}</strong><br>'))
        token.children = _replace_text(token.children)


def _replace_text(children: Sequence[Token]) -> list[Token]:
    """Replace shortcodes and bare addresses in plain text, but not inside of links."""
    result: list[Token] = []
    in_link = 0
    for child in children:
        in_link += {"link_open": 1, "link_close": -1}.get(child.type, 0)
        if child.type != "text":
            result.append(child)
            continue
        text = _SHORTCODE.sub(lambda found: _EMOJI.get(found[1], found[0]), child.content)
        position = 0
        for found in () if in_link else _BARE_LINK.finditer(text):
            result += [_text(text[position : found.start()]), _link(found[0])]
            position = found.end()
        result.append(_text(text[position:]))
    return result


def _text(content: str) -> Token:
    return _token("text", content)


def _html(content: str) -> Token:
    return _token("html_inline", content)


def _link(address: str) -> Token:
    return _html(f'<a href="{escape(address)}">{escape(address)}</a>')


def _token(kind: str, content: str) -> Token:
    from markdown_it.token import Token

    values: dict[str, Any] = {"content": content}
    return Token(kind, "", 0, **values)
