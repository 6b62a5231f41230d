"""The note as a reviewer sees it, in Chromium: the decision, the verdicts' symbols and the command on every width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.core.report.headline import say_headline
from gitlab_mesh.core.report.model import Attempt, Outcome, Report
from gitlab_mesh.core.report.renderers import render_note
from gitlab_mesh.core.report.wording import OUTCOME_SYMBOL
from gitlab_mesh.core.rollout import End
from gitlab_mesh.driver.outcome import next_step_for
from gitlab_mesh.sandbox.gitlab import GitlabServer, render_merge_request_page

Chromium = Any  # conftest.Chromium

pytestmark = pytest.mark.browser

SHOWN = (
    Outcome.RUNNING, Outcome.PROMOTED, Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.NO_DATA, Outcome.PAUSED,
    Outcome.UNSAFE, Outcome.REFUSED, Outcome.ROLLED_BACK,
)  # fmt: skip

LOOK = """(() => {
  const note = document.querySelector(".note");
  const seen = element => {
    const box = element.getBoundingClientRect();
    return box.left >= 0 && box.right <= innerWidth;
  };
  return {
    width: document.documentElement.scrollWidth,
    decision: note.querySelector("h3").textContent,
    decisionTop: note.querySelector("h3").getBoundingClientRect().top + scrollY
      - note.getBoundingClientRect().top - scrollY,
    metrics: [...note.querySelectorAll("tbody td:first-child")].map(cell => [cell.textContent, seen(cell)]),
    commands: [...note.querySelectorAll(":scope .markdown > pre")].map(block => block.textContent.trim()),
    hidden: [...note.querySelectorAll("details")].map(fold => [fold.open, fold.textContent.length]),
    text: note.innerText,
  };
})()"""


def ended(base: Report, outcome: Outcome) -> Report:
    share = 0.25 if outcome in {Outcome.RUNNING, Outcome.PAUSED, Outcome.UNSAFE} else 0.0
    return replace(
        base,
        outcome=outcome,
        headline=say_headline(outcome, "shop 1.5.0", 204.0, share),
        next_step=next_step_for(End(outcome, "why"), "shop", ""),
    )


def write_page(path: Path, report: Report) -> None:
    server = GitlabServer()
    dana, bot = server.add_user("dana", "Dana Smith"), server.add_user("bot", "gitlab-mesh", bot=True)
    project = server.add_project("acme/shop", dana)
    merge_request = server.open_merge_request(project, dana, "Raise the limits")
    former = (Attempt(Outcome.REJECTED, "shop 1.4.9 was rejected", "2026-11-22T10:00:00Z", "https://x.example/1"),)
    server.comment(merge_request, bot, render_note(report, former))
    path.write_text(render_merge_request_page(server, "acme/shop", 1), encoding="utf-8")


@pytest.mark.parametrize("outcome", SHOWN)
def test_ten_seconds_are_enough(chromium: Chromium, rejected: Report, tmp_path: Path, outcome: Outcome) -> None:
    report = ended(rejected, outcome)
    page = tmp_path / "mr.html"
    write_page(page, report)
    for width in (375, 1280):
        for scheme in ("light", "dark"):
            chromium.open(page, width=width, scheme=scheme, script=True)
            seen = chromium.evaluate(LOOK)
            assert chromium.complaints() == []
            assert seen["width"] <= width, "the page scrolls sideways"
            assert seen["decision"].startswith(f"{OUTCOME_SYMBOL[outcome]} shop 1.5.0")
            assert seen["decisionTop"] < 120, "the decision is the first thing"
            assert seen["metrics"]
            assert all(visible for _, visible in seen["metrics"]), "the verdict's symbol is on the screen"
            assert seen["metrics"][0][0] == "❌\u00a0errors"
            commands = [line for block in seen["commands"] for line in block.splitlines() if "gitlab-mesh " in line]
            assert bool(commands) is ("`gitlab-mesh" in report.next_step)
            assert seen["hidden"]
            assert not any(is_open for is_open, _ in seen["hidden"])
            assert "gitlab-mesh:state" not in seen["text"]
