"""The job with Locust as its engine, as a process: mesh.yaml, thresholds, exit code, files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("load")]


class Answering(BaseHTTPRequestHandler):
    """200 at once."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("limit", "code"), [("p50 < 5s", 0), ("p50 < 0.001ms", 14)])
def test_the_thresholds_hold_for_what_locust_measured(tmp_path: Path, limit: str, code: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "users.py").write_text(
        "from locust import HttpUser, constant, task\n"
        "class User(HttpUser):\n    wait_time = constant(0.1)\n    @task\n    def home(self): self.client.get('/')\n"
    )
    (tmp_path / "mesh.yaml").write_text(
        "version: 1\nservices:\n  shop:\n    namespace: shop\n    load:\n"
        f"      target: http://127.0.0.1:{server.server_port}/\n      engine: locust\n      duration: 2s\n"
        f'      engine_options: {{file: users.py, users: "20"}}\n      thresholds: ["{limit}"]\n'
    )
    command = [sys.executable, "-m", "gitlab_mesh", "job", "load-check", "--format", "json", "--output", "out"]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=80, check=False)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert found["requests"] >= 20
    assert "Latency, from the send" in done.stderr
    assert found["latency_seconds"]["p50"] > 0
    assert json.loads((tmp_path / "out" / "load.json").read_text())["kinds"][0]["name"] == "/"
