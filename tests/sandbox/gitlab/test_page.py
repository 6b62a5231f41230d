"""The page of the merge request: what it shows, and that untrusted text cannot do anything in it."""

from __future__ import annotations

import http.client
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.errors import ObjectMissingError
from gitlab_mesh.sandbox.gitlab import render_merge_request_page
from gitlab_mesh.sandbox.gitlab.markdown import render_markdown
from gitlab_mesh.sandbox.gitlab.sanitize import sanitize

if TYPE_CHECKING:
    from tests.sandbox.gitlab.conftest import Stage

XSS = [
    "<script>attack()</script>",
    "<img src=x onerror=attack()>",
    "<svg onload=attack()><script>attack()</script></svg>",
    "[click](javascript:attack())",
    "<a href='java\nscript:attack()'>x</a>",
    "<a href=' javascript:attack()'>x</a>",
    "<a href='data:text/html,<script>attack()</script>'>x</a>",
    "<a href='//evil.example/'>x</a>",
    "<iframe srcdoc='<script>attack()</script>'></iframe>",
    "<details open ontoggle=attack()>x</details>",
    "<p style='background:url(https://evil.example)'>x</p>",
    "</div></article></main><h1>out</h1>",
    "<math><mtext><table><mglyph><style><img src=x onerror=attack()>",
    "<input autofocus onfocus=attack()>",
    "<form action=https://evil.example><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example>",
    "<!-- <script>attack()</script> -->",
    "<scr<script>ipt>attack()</scr</script>ipt>",
    "<img src=x onerror=attack()",
    '```mermaid\nxychart-beta\ntitle "</svg><script>a()</script>"\nx-axis 0 --> 1\ny-axis 0 --> 1\nline [0,1]\n```',
    "```<script>attack()</script>\ncode\n```",
    "| <script>attack()</script> |\n|---|\n| <b onclick=attack()>x</b> |",
    "- [ ] <img src=x onerror=attack()>",
    "> [!note] <script>attack()</script>",
    "https://x.example/\"onmouseover=attack()",
]  # fmt: skip


class Inspector(HTMLParser):
    """Collects what an HTML document could do, and whether its elements are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "iframe", "object", "embed", "form", "base", "meta", "link", "style", "img", "button"}:
            self.bad.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or (name in {"href", "src"} and "script" in (value or "").lower()):
                self.bad.append(f"{tag} {name}={value}")
            if name in {"style", "src", "srcdoc", "id", "name"} and tag != "svg":
                self.bad.append(f"{tag} {name}")
        if tag not in {"br", "hr", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in {"br", "hr", "input"}:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"unbalanced </{tag}>")


def inspect(html: str) -> list[str]:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    return inspector.bad + [f"unclosed {tag}" for tag in inspector.open]


@pytest.mark.parametrize("text", XSS)
def test_untrusted_markdown_is_harmless(text: str) -> None:
    assert inspect(render_markdown(text)) == []


def test_the_inspector_would_notice() -> None:
    assert all(inspect(text) for text in XSS[:3])
    assert inspect("</div>") == ["unbalanced </div>"]


@given(
    st.lists(
        st.sampled_from([*XSS, "<", ">", "&lt;script&gt;", "</", "<b>", "<td>", "\n", "```", "'", '"', "`"]), max_size=8
    )
)
def test_mixtures_of_untrusted_text_are_harmless(pieces: list[str]) -> None:
    assert inspect(render_markdown("".join(pieces))) == []


@given(st.text(max_size=200))
def test_the_sanitiser_is_stable(text: str) -> None:
    once = sanitize(text)
    assert sanitize(once) == once


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("| a | b |\n|---|--:|\n| 1 | 2 |", '<td align="right">2</td>'),
        ("- [x] done\n- [ ] open", '<input type="checkbox" disabled checked> done'),
        ("> [!warning]\n> careful", 'class="alert alert-warning"'),
        (":rocket: go", "🚀 go"),
        (":not_an_emoji:", ":not_an_emoji:"),
        (
            "see https://x.example/a.",
            '<a href="https://x.example/a" rel="nofollow noopener noreferrer">https://x.example/a</a>.',
        ),
        ("~~old~~", "<s>old</s>"),
        ("<details><summary>More</summary>\n\n**inside**\n\n</details>", "<summary>More</summary>\n<p><strong>inside"),
        ("<!-- hidden -->shown", "shown"),
        ("```mermaid\ngraph TD; A-->B\n```", "Mermaid; GitLab draws it here."),
        ("![chart](https://x.example/chart.png)", "<em>[image: chart]</em>"),
        ("\\/close", "/close"),
    ],
)
def test_gitlab_flavored_markdown(markdown: str, expected: str) -> None:
    assert expected in render_markdown(markdown)
    assert "hidden" not in render_markdown(markdown)


def test_an_xychart_is_drawn_and_any_other_is_shown_as_code() -> None:
    lines = ['title "Weight"', 'x-axis "minutes" 0 --> 4', 'y-axis "percent" 0 --> 100', "line [0, 50]"]
    chart = "\n".join(["```mermaid", "xychart-beta", *lines, "```"])
    assert '<polyline points="48.0,200.0 628.0,116.0" class="chart-line"/>' in render_markdown(chart)
    for broken in ("line [0]", "line [0, x]", "bar [1, 2]"):
        assert "<polyline" not in render_markdown(chart.replace("line [0, 50]", broken))


def test_the_page_says_everything(quiet_stage: Stage) -> None:
    server, merge_request = quiet_stage.server, quiet_stage.merge_request
    merge_request.description = "Why: **limits**"
    merge_request.title = "Raise <b>limits</b>"
    server.comment(merge_request, quiet_stage.dana, "rejected\n\n<!-- gitlab-mesh:note key=shop -->")
    server.comment(merge_request, quiet_stage.dana, "to be resolved", thread=True)
    job = server.start_job(quiet_stage.job.pipeline, "promote", environment="production", action="start")
    server.finish_job(job, "failed")
    page = render_merge_request_page(server, "acme/shop", 1)
    for text in (
        *("Raise &lt;b&gt;limits&lt;/b&gt;", "<strong>limits</strong>", "canary", "production", "1 unresolved thread"),
        *("Unresolved thread", "Dana Smith", "rejected", f"#{quiet_stage.job.pipeline.id}"),
    ):
        assert text in page
    assert "gitlab-mesh:note" not in page
    assert "<script" not in page
    assert "src=" not in page
    with pytest.raises(ObjectMissingError):
        render_merge_request_page(server, "acme/shop", 99)


def test_addresses_that_tokens_can_choose_are_no_scripts(quiet_stage: Stage) -> None:
    server = quiet_stage.server
    project = server.state.find_project("acme/shop")
    assert project is not None
    job = server.start_job(quiet_stage.job.pipeline, "x", environment="production", action="start")
    server.finish_job(job, "success")
    next(iter(project.environments.values())).external_url = "javascript:attack()"
    assert "javascript:" not in render_merge_request_page(server, "acme/shop", 1)


def test_pages_are_served(stage: Stage) -> None:
    stage.server.finish_job(stage.job, "failed", log="<b>log</b>")
    host = stage.server.base_url.removeprefix("http://")
    client = http.client.HTTPConnection(host, timeout=10)
    for path, status, part in [
        ("/", 200, "acme/shop!1"),
        ("/acme/shop/-/merge_requests/1", 200, "Raise the limits"),
        (f"/acme/shop/-/jobs/{stage.job.id}", 200, "&lt;b&gt;log&lt;/b&gt;"),
        ("/acme/shop/-/merge_requests/9", 404, "does not exist"),
        ("/favicon.ico", 404, "Not Found"),
    ]:
        client.request("GET", path)
        answer = client.getresponse()
        assert (answer.status, part in answer.read().decode()) == (status, True)
        if status == 200:
            assert "default-src 'none'" in str(answer.getheader("Content-Security-Policy"))
    client.request("POST", "/", body=b"x")
    assert client.getresponse().status == 405
    client.close()
