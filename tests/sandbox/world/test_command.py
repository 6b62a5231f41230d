"""``gitlab-mesh sandbox up``: what it prints leads there, and Ctrl-C ends it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from gitlab_mesh.cli.sandbox import sandbox
from gitlab_mesh.errors import UsageError


@pytest.mark.sandbox
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_the_way_and_ends_in_order(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "gitlab_mesh", "sandbox", "up", "--traffic", "50", "--replicas", "1",
               "--image", "registry.example/shop:nightly", "--behaviour", "nightly=good"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        text = "".join(lines)
        exports = dict(re.findall(r"export (\w+)=(\S+)", text))
        assert set(exports) == {"KUBECONFIG", "GITLAB_MESH_CONFIG", "GCL_VARIABLES_FILE"}
        assert "step_bake: 2s" in Path(exports["GITLAB_MESH_CONFIG"]).read_text(), "the suggested release is short"
        found = re.search(r"curl -H '(.+): (.+)' (\S+)", text)
        assert found
        request = urllib.request.Request(found[3], headers={found[1]: found[2]})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.headers["x-version"] == "nightly"
        script = re.search(r"^  \. (\S+)", text, re.MULTILINE)
        assert script
        shell = f". {script[1]}; echo $CI_MERGE_REQUEST_IID $KUBECONFIG $GITLAB_MESH_TOKEN"
        shown = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.split()
        assert shown[:2] == ["1", exports["KUBECONFIG"]]
        assert shown[2].startswith("glpat-")
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert re.search(r"users sent \d+ requests: 0 failed by the shop, 0 by the mesh", rest)
    assert not Path(exports["KUBECONFIG"]).exists()


@pytest.mark.parametrize("text", ["2.0.0", "=bad", "2.0.0=worse"])
def test_a_wrong_behaviour_is_refused_before_anything_starts(text: str) -> None:
    result = CliRunner().invoke(sandbox, ["up", "--behaviour", text])
    assert isinstance(result.exception, UsageError)
    assert "known are good, bad" in str(result.exception)
