"""The report page: self-contained, safe, and looked at in a real browser."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.core.report.model import (
    Axis,
    Band,
    Link,
    LinksSection,
    Mark,
    Outcome,
    Report,
    Series,
    SeriesSection,
    TableSection,
    TextSection,
)
from gitlab_mesh.core.report.renderers import render_html
from gitlab_mesh.core.report.scale import list_time_ticks, list_value_ticks, thin_out

if TYPE_CHECKING:
    Chromium = Any

ALLOWED = """
html head meta link title style body main header section footer h1 h2 h3 p span b i time a ul ol li
dl dt dd div pre code button table thead tbody tr th td details summary figure figcaption svg desc g
rect line path circle text script
"""
EVIL = st.text(max_size=10) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</style><b>",
        '" onload="x',
        "javascript:alert(1)",
        "</pre>",
        "&lt;",
        "\x00",
        "\ud800",
    ]
)
FLOAT = st.floats(allow_nan=True, allow_infinity=True)


class Reader(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)


@given(EVIL, EVIL, st.lists(st.tuples(FLOAT | st.floats(0, 1e7), FLOAT), max_size=5), FLOAT)
def test_text_from_outside_stays_text(text: str, other: str, points: list[tuple[float, float]], at: float) -> None:
    page = render_html(
        Report(
            text, other, text, Outcome.REJECTED, text, other, f"{text}`{other}`", facts={text: other},
            sections=(
                SeriesSection(text, other, (Series(text, tuple(points), "canary"), Series(other, ())),
                              (Band(text, 0, at),), (Mark(at, other),)),
                TableSection(text, (text,), ((other,),)),
                TextSection(text, other, preformatted=True),
                LinksSection((Link(text, other), Link(other, "https://x.example/" + text))),
            ),
        )
    )  # fmt: skip
    page.encode()
    reader = Reader(page)
    assert set(reader.tags) <= set(ALLOWED.split())
    assert reader.tags.count("script") == reader.tags.count("style") == 1
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    links = [value for name, value in reader.attributes if name in {"href", "src"}]
    assert all(value.startswith(("https://", "http://", "data:,")) for value in links)
    assert "nan" not in "".join(value for name, value in reader.attributes if name in {"d", "x", "y", "x1", "y1"})


def test_nothing_is_loaded_from_outside(rejected: Report) -> None:
    page = render_html(rejected)
    assert not re.search(r"@import|url\(|src=", page)
    assert "default-src 'none'" in page


def test_the_table_beside_a_chart_has_its_values(rejected: Report) -> None:
    page = render_html(rejected)
    assert page.count("Values as a table") == 3
    assert "<tr><td>1:38</td><td>10\u202f%</td></tr>" in page


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 0.08, [0, 0.02, 0.04, 0.06, 0.08]),
        (0, 0.147, [0, 0.05, 0.1, 0.15]),
        (0, 0, [0, 0.25, 0.5, 0.75, 1.0]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_value_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert list_value_ticks(low, high) == ticks


@given(st.floats(0, 1e12), st.floats(1e-6, 1e12))
def test_value_ticks_enclose_the_values(low: float, size: float) -> None:
    ticks = list_value_ticks(low, low + size)
    assert ticks[0] <= low * (1 + 1e-9)
    assert ticks[-1] >= (low + size) * (1 - 1e-9)
    assert len(ticks) <= 8


@given(st.floats(1, 1e7), st.integers(2, 10))
def test_time_ticks_are_few_and_inside(end: float, count: int) -> None:
    ticks = list_time_ticks(end, count)
    assert ticks[0] == 0
    assert len(ticks) <= count + 1
    assert ticks[-1] <= end * (1 + 1e-8)


def test_thinning_out_keeps_the_peak() -> None:
    points = [(float(index), 1000.0 if index == 777 else float(index % 5)) for index in range(5000)]
    thin = thin_out([*points, (5000.0, math.nan)], 100)
    assert len(thin) <= 100
    assert (777.0, 1000.0) in thin
    assert thin == sorted(thin)


LOOK = """(() => {
  const shown = (node) => node.getClientRects().length > 0;
  const charts = [...document.querySelectorAll("svg.chart")].filter(shown);
  const cut = [...document.querySelectorAll("main *")].filter((node) => !node.closest("svg, .scroll, thead")
    && node.getBoundingClientRect().right > innerWidth + 0.5).map((node) => node.outerHTML.slice(0, 80));
  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth, cut,
    charts: charts.map((chart) => ({
      lines: [...chart.querySelectorAll("path.line")].map((line) => ({
        name: line.dataset.series, width: line.getBoundingClientRect().width,
        colour: getComputedStyle(line).stroke})),
      text: Math.min(...[...chart.querySelectorAll("text")].map((text) => text.getBoundingClientRect().height)),
      outside: [...chart.querySelectorAll("text")].filter((text) => {
        const box = text.getBoundingClientRect(), frame = chart.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1;
      }).map((text) => text.textContent),
    })),
    page: getComputedStyle(document.body).backgroundColor,
    heading: document.querySelector("h1").textContent,
  };
})()"""

CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4; }).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => { for (; node; node = node.parentElement) {
    const c = parse(getComputedStyle(node).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } };
  const weak = [];
  for (const node of document.querySelectorAll("main *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.getClientRects().length || node.closest(".strip") || node.tagName === "title") continue;
    const style = getComputedStyle(node);
    const ink = parse(node.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.push([node.tagName, node.className.baseVal || node.className, ratio.toFixed(2)]);
  }
  return weak;
})()"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rejected", "promoted"])
def test_in_a_browser(
    width: int, scheme: str, name: str, chromium: Chromium, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "report.html"
    report = request.getfixturevalue(name)
    path.write_text(render_html(report), encoding="utf-8")
    chromium.open(path, width=width, scheme=scheme)
    seen = chromium.evaluate(LOOK)
    pictures = os.environ.get("MESH_SCREENSHOTS")  # a folder, to look at the page oneself
    if pictures:
        chromium.screenshot(Path(pictures) / f"{name}-{width}-{scheme}.png")

    assert chromium.complaints() == []
    assert seen["heading"] == report.headline
    assert seen["overflow"] <= 0
    assert seen["cut"] == []
    assert len(seen["charts"]) == (3 if name == "rejected" else 1)
    for chart in seen["charts"]:
        assert chart["outside"] == []
        assert chart["text"] >= 10, "letters of a chart must be readable"
        assert all(line["width"] > width / 4 for line in chart["lines"])
    for chart in seen["charts"][1:]:
        assert {line["name"] for line in chart["lines"]} == {"stable", "canary"}
        assert len({line["colour"] for line in chart["lines"]}) == 2
    assert chromium.evaluate(CONTRAST) == []


@pytest.mark.browser
def test_light_and_dark_differ_and_no_script_is_needed(chromium: Chromium, tmp_path: Path, rejected: Report) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_html(rejected), encoding="utf-8")
    pages = []
    for scheme in ("light", "dark"):
        chromium.open(path, width=800, scheme=scheme, script=False)
        seen = chromium.evaluate(LOOK)
        assert len(seen["charts"]) == 3
        pages.append(seen["page"])
    assert pages[0] != pages[1]


@pytest.mark.browser
def test_the_browser_test_can_fail(chromium: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<!doctype html><body style='background:#fff'><main>"
        "<h1 style='color:#ccc'>x</h1><p style='width:2000px'>wide</p></main>"
        "<script>console.error('no'); undefined_name()</script>"
    )
    chromium.open(path, width=375, scheme="light")
    seen = chromium.evaluate(LOOK)
    assert seen["overflow"] > 0
    assert seen["cut"]
    assert len(chromium.complaints()) >= 2
    assert chromium.evaluate(CONTRAST) == [["H1", "", "1.61"]]


def test_many_charts_share_one_time_axis(rejected: Report) -> None:
    page = render_html(rejected)
    ticks = re.findall(r'<text class="tick" x="([\d.]+)" y="239" text-anchor="middle">([\d:]+)</text>', page)
    assert len(ticks) == 3 * len(set(ticks))


def test_an_axis_that_is_not_time_keeps_its_own_scale_and_names(rejected: Report) -> None:
    spectrum = SeriesSection(
        "By percentile",
        "seconds",
        (Series("latency", ((0.0, 0.01), (1.0, 0.02), (2.0, 0.5))),),
        axis=Axis("percentile", ((0.0, "min"), (1.0, "p90"), (2.0, "p99"))),
    )
    over_time = SeriesSection("Over time", "seconds", (Series("p50", ((0.0, 0.01), (600.0, 0.01))),))
    mark = replace(over_time, marks=(Mark(300.0, "weight 50"),))
    page = render_html(replace(rejected, duration_seconds=0.0, sections=(mark, spectrum)))
    first, second = page.split("<figcaption><h3>By percentile")
    assert "10:00" in first, "the time axis ends with the time"
    assert second.count(">p90<") >= 3, "both drawings and the table name the tick"
    assert "weight 50" not in second.split("</figure>")[0], "a moment has no place on it"
    assert re.search(r'<path class="line other0" data-series="latency" d="M56[ .].*L946', second), "it fills its axis"
