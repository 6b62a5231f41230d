"""A real Prometheus scrapes an exporter of ours: what is read equals what the exporter counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.adapters.metrics.prometheus import PrometheusSource
from gitlab_mesh.config.model import MetricsConfig
from gitlab_mesh.core.judge.settings import UserMetric
from gitlab_mesh.core.metrics.counts import Counts, Side, SideTarget
from gitlab_mesh.core.metrics.window import MeterState, advance
from gitlab_mesh.errors import NoDataError, UsageError

pytestmark = [pytest.mark.sandbox, pytest.mark.tool("prometheus")]

Targets = tuple[SideTarget, ...]


class Exporter:
    """Pages of pods under ``/<pod>``; ``scrapes`` counts how often each was fetched."""

    def __init__(self, kit: Any) -> None:
        self.served = {
            "shop-1": kit.served(Side.STABLE),
            "shop-2": kit.served(Side.STABLE),
            "shop-canary-1": kit.served(Side.CANARY),
        }
        self.served["shop-1"].requests = {("200", 3): 90, ("503", 400): 2}
        self.served["shop-2"].requests = {("200", 40): 10}
        self.scraped = threading.Condition()
        self.scrapes = dict.fromkeys(self.served, 0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pod = self.path.strip("/")
                with outer.scraped:
                    body = kit.page(outer.served[pod].series()).encode()
                    outer.scrapes[pod] += 1
                    outer.scraped.notify_all()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Be quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def wait_for_scrapes(self, more: int) -> None:
        """Wait until each page was fetched so often again."""
        with self.scraped:
            goal = {pod: count + more for pod, count in self.scrapes.items()}
            done = self.scraped.wait_for(lambda: all(self.scrapes[pod] >= n for pod, n in goal.items()), timeout=30)
        assert done, "Prometheus does not scrape"


def write_config(directory: Path, exporter: Exporter) -> Path:
    """Every pod is a target of its own; its labels come from static configuration."""
    jobs = [
        {
            "job_name": f"pod-{pod}",
            "metrics_path": f"/{pod}",
            "static_configs": [
                {"targets": [f"127.0.0.1:{exporter.port}"], "labels": {"pod": pod, "namespace": "shop"}},
            ],
            "relabel_configs": [{"target_label": "job", "replacement": "proxies"}],
        }
        for pod in exporter.served
    ]
    path = directory / "prometheus.yml"
    path.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    return path


@pytest.fixture(scope="module")
def exporter_and_address(
    require_tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, kit: Any
) -> Iterator[tuple[Exporter, str]]:
    program = require_tool("prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    exporter = Exporter(kit)
    log = (directory / "log").open("w+b")
    process = subprocess.Popen(
        [
            str(program),
            f"--config.file={write_config(directory, exporter)}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        yield exporter, f"http://127.0.0.1:{wait_for_port(directory / 'log', process)}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()
        exporter.close()


def wait_for_port(log: Path, process: subprocess.Popen[bytes]) -> int:
    """Prometheus chooses the port itself and logs it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = re.search(r"address=127\.0\.0\.1:([1-9]\d*)", log.read_text()) if log.exists() else None
        if found and "Server is ready" in log.read_text():
            return int(found.group(1))
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    pytest.fail(f"Prometheus does not start:\n{log.read_text()}")


def test_reads_what_the_exporter_counted(
    exporter_and_address: tuple[Exporter, str], context: Any, targets: Targets
) -> None:
    exporter, address = exporter_and_address
    queries = (
        UserMetric("total", 'sum(istio_requests_total{destination_workload="{{ workload }}"})'),
        UserMetric("both", "count(up)"),
        UserMetric("many", "up"),
    )
    source = PrometheusSource(MetricsConfig(address=address, max_age=10.0, queries=queries), context())
    exporter.wait_for_scrapes(2)

    first = source.read(targets)
    expected = {pod: {code: n for (code, _), n in one.requests.items()} for pod, one in exporter.served.items()}
    counted = {sample.pod: sample.counts for sample in first.samples}
    assert {pod: counts.requests for pod, counts in counted.items()} == {
        pod: sum(by_code.values()) for pod, by_code in expected.items()
    }
    assert counted["shop-1"].errors == {"5xx": 2}
    assert counted["shop-1"].latency is not None
    assert counted["shop-1"].latency.counts == (90, 0, 2, 0)
    assert counted["shop-canary-1"] == Counts()  # scraped, and nothing served yet
    assert first.time_seconds is not None
    assert all(0 <= first.time_seconds - sample.time_seconds <= 3 for sample in first.samples)
    assert {(user.name, user.side, user.value) for user in first.user} == {
        ("total", Side.STABLE, 102.0), ("both", None, 3.0),
    }  # fmt: skip
    assert [problem.split(":")[:2] for problem in first.problems] == [
        ["metric total (canary)", " the query found no series"],
        ["metric many", " the query found 3 series, exactly one is needed"],
    ]

    state, _ = advance(MeterState(), first, max_age_seconds=10, targets=targets)
    exporter.wait_for_scrapes(2)  # the baseline is a scrape from after the first reading
    state, _ = advance(state, source.read(targets), max_age_seconds=10, targets=targets)
    with exporter.scraped:
        exporter.served["shop-1"].requests[("200", 3)] += 900
        exporter.served["shop-canary-1"].requests.update({("200", 3): 95, ("500", 3): 5})
    stable = canary = 0
    for _ in range(5):
        exporter.wait_for_scrapes(1)
        state, increments = advance(state, source.read(targets), max_age_seconds=10, targets=targets)
        stable, canary = stable + increments.stable.requests, canary + increments.canary.requests
    assert (stable, canary) == (900, 100)


def test_check_tells_reasons_apart(exporter_and_address: tuple[Exporter, str], context: Any, targets: Targets) -> None:
    exporter, address = exporter_and_address
    exporter.wait_for_scrapes(2)
    PrometheusSource(MetricsConfig(address=address, max_age=10.0), context()).check(targets)
    with pytest.raises(UsageError, match="does not fit") as caught:
        PrometheusSource(MetricsConfig(address=address, reporter="source"), context()).check(targets)
    assert "reporters destination" in caught.value.why
    elsewhere = tuple(SideTarget(t.side, "cart", t.workload, "cart", t.subset, t.pods) for t in targets)
    with pytest.raises(NoDataError, match="no request to a workload of namespace cart"):
        PrometheusSource(MetricsConfig(address=address), context()).check(elsewhere)
    bad = (UserMetric("broken", "sum(("),)
    with pytest.raises(UsageError, match=r"metric broken: .*bad_data"):
        PrometheusSource(MetricsConfig(address=address, queries=bad), context()).check(targets)
