"""The merge request page in a real Chromium: no script runs, nothing is loaded, readable at 375 and 1280 px."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitlab_mesh.sandbox.gitlab import render_merge_request_page

if TYPE_CHECKING:
    from tests.sandbox.gitlab.conftest import Stage

pytestmark = pytest.mark.browser

FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=2000
"""
PROBE = "<script>parent.postMessage([document.documentElement.scrollWidth, innerWidth, document.title], '*')</script>"
# A headless window is never narrower than 500 px: the page is looked at in a frame of the wanted width.
FRAME = """<!doctype html><title>waiting</title><script>
addEventListener("message", event => { document.title = JSON.stringify(event.data) })
</script><iframe src="probed.html" style="border: 0; width: %dpx; height: 800px"></iframe>"""


def browse(chromium: Path, page: Path, profile: Path, width: int) -> tuple[str, str]:
    """Return the document after loading and the browser's log."""
    command = [
        chromium,
        *FLAGS.split(),
        f"--user-data-dir={profile}",
        f"--window-size={width},900",
        "--dump-dom",
        page.as_uri(),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        return process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_fits_and_no_script_runs(
    quiet_stage: Stage, tmp_path: Path, require_tool: Callable[[str], Path], width: int
) -> None:
    chromium = require_tool("chromium")
    attack = "document.title='ATTACK'"
    wide = "| " + " | ".join(["a_long_column_name"] * 12) + " |\n|" + "---|" * 12
    for body in (
        f'<script>{attack}</script><img src=x onerror="{attack}"><details open ontoggle="{attack}">x</details>',
        f'<svg onload="{attack}"></svg>[x](javascript:{attack})',
        wide + "\n\n```\n" + "long line " * 100 + "\n```\n\n" + "x" * 500,
    ):
        quiet_stage.server.comment(quiet_stage.merge_request, quiet_stage.dana, body)
    html = render_merge_request_page(quiet_stage.server, "acme/shop", 1)
    plain = tmp_path / "mr.html"
    plain.write_text(html)
    document, log = browse(chromium, plain, tmp_path / "profile", width)
    assert "<title>Raise the limits</title>" in document
    assert "CONSOLE" not in log, log
    # The probe is our own script: for it the page's security policy is taken out.
    probed = tmp_path / "probed.html"
    probed.write_text(re.sub(r"<meta http-equiv[^>]*>", "", html).replace("</body>", PROBE + "</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME % width)
    document, _ = browse(chromium, frame, tmp_path / "profile2", 1400)
    found = re.search(r"<title>(\[.*\])</title>", document)
    assert found, document
    content_width, frame_width, title = json.loads(found[1])
    assert frame_width == width
    assert content_width <= width
    assert title == "Raise the limits", "without the security policy, too, no script of a note may run"
