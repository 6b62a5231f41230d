"""Draw the README's pictures anew: ``make pictures``. A finding as a terminal shows it, and the note of a release.

The first is what `gitlab-mesh job validate` prints about ``docs/images/example``; the second is the demo's merge
request page in Chromium, so it needs one.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent / "images"
COLUMNS = 88


def draw_finding() -> None:
    environ = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    environ = {name: value for name, value in environ.items() if not name.startswith(("CI", "GITLAB"))}
    command = [sys.executable, "-m", "gitlab_mesh", "job", "validate", "shop.yaml"]
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(HERE / "example" / "shop.yaml", directory)
        run = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    if run.returncode != 13:
        raise SystemExit(f"validate ended with {run.returncode}: {run.stderr}")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ gitlab-mesh job validate shop.yaml", style="bold"))
    console.print(Text.from_ansi((run.stdout + run.stderr).strip()))
    svg = console.export_svg(title="a repository's YAML, before it is applied", unique_id="finding")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing is loaded from elsewhere
    (HERE / "finding.svg").write_text(svg + "\n", encoding="utf-8")


def draw_note() -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        raise SystemExit("Chromium is needed for the merge request's picture")
    with tempfile.TemporaryDirectory() as directory:
        demo = [sys.executable, "-m", "gitlab_mesh", "demo", "--release", "bad", "--output", directory]
        run = subprocess.run(demo, check=False, stdout=subprocess.DEVNULL)
        if run.returncode != 10:
            raise SystemExit(f"the demo's bad release ended with {run.returncode}")
        page = next(Path(directory).rglob("mr.html"))
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            f"--user-data-dir={directory}/profile", "--window-size=1000,1100",
            f"--screenshot={HERE / 'merge-request.png'}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    draw_finding()
    draw_note()
