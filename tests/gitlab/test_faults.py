"""S10: whatever GitLab or the network does, one line comes back, in bounded time, without a secret in it."""

from __future__ import annotations

import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitlab_mesh.gitlab import (
    CommitStatuses,
    Connection,
    DeploymentRecords,
    MergeRequestLabels,
    ReviewThreads,
    StickyNotes,
    inspect_tokens,
    read_ci,
)
from gitlab_mesh.sandbox.gitlab import Fault, GitlabListener, GitlabServer

if TYPE_CHECKING:
    from tests.gitlab.conftest import World

LOGIN_PAGE = b"<!doctype html><html><body>Sign in</body></html>"
HTML = {"Content-Type": "text/html"}

FAULTS = {
    "401": Fault(401, times=-1),
    "403": Fault(403, times=-1),
    "404": Fault(404, times=-1),
    "409": Fault(409, times=-1),
    "413": Fault(413, times=-1),
    "429": Fault(429, times=-1, headers={"Retry-After": "3600"}),
    "429 without a time": Fault(429, times=-1),
    "500": Fault(500, times=-1),
    "502 with HTML": Fault(502, times=-1, body=LOGIN_PAGE, headers=HTML),
    "200 with HTML": Fault(200, times=-1, body=LOGIN_PAGE, headers=HTML),
    "broken JSON": Fault(200, times=-1, body=b'{"id": '),
    "a list where an object belongs": Fault(200, times=-1, body=b"[1]"),
    "reset": Fault(times=-1, drop=True),
    "silence": Fault(times=-1, delay_seconds=60),
    "drops of an answer": Fault(200, times=-1, body=b" " * 1000, drip_seconds=0.05),
}


CALLS: dict[str, Callable[[Connection], str]] = {
    "note": lambda connection: StickyNotes(connection).post("shop", "x"),
    "deployment": lambda connection: DeploymentRecords(connection).record("production", "running"),
    "status": lambda connection: CommitStatuses(connection).set("success", "mesh"),
    "opened thread": lambda connection: ReviewThreads(connection).open("shop", "x"),
    "resolved thread": lambda connection: ReviewThreads(connection).resolve("shop", "x"),
    "label": lambda connection: MergeRequestLabels(connection).put("mesh::promoted", family=("mesh::rejected",)),
    "reading of notes": lambda connection: StickyNotes(connection).read_all()[1],
    "check of the tokens": lambda connection: said_of_tokens(connection),
}


def said_of_tokens(connection: Connection) -> str:
    facts, problem = inspect_tokens(connection)
    return "; ".join([problem, *(item.error.what for item in facts if item.error)]).strip("; ")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_survives_every_fault(world: World, call: str, fault: str) -> None:
    original = FAULTS[fault]
    world.server.faults.append(original)
    job = world.job()
    started = time.monotonic()
    answer = CALLS[call](world.connect(job, budget_seconds=0.6, request_seconds=0.3))
    assert time.monotonic() - started < 2.0
    assert answer
    assert "\n" not in answer
    assert "<html" not in answer
    for secret in (world.token, job.token):
        assert secret not in answer


def test_retry_after_is_respected_while_time_allows(world: World) -> None:
    world.server.faults.append(Fault(429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    assert StickyNotes(world.connect(world.job())).post("shop", "x") == ""
    assert time.monotonic() - started >= 1.0


def test_a_long_retry_after_is_not_waited_for_and_nothing_is_sent_meanwhile(world: World) -> None:
    world.server.faults.append(Fault(429, headers={"Retry-After": "600"}))
    connection = world.connect(world.job())
    notes = StickyNotes(connection)
    started = time.monotonic()
    assert "it takes requests again in" in notes.post("shop", "x")
    sent = len(world.server.requests)
    assert "nothing was sent" in notes.post("shop", "y")
    assert len(world.server.requests) == sent
    assert time.monotonic() - started < 2


def test_gitlabs_own_rate_limit_of_notes(world: World) -> None:
    world.server._notes_per_minute = 1
    first = world.connect(world.job(), budget_seconds=2.0)
    assert StickyNotes(first).post("shop", "x") == ""
    assert "rate limit" in StickyNotes(first).post("cart", "y")


def test_short_outages_of_reads_and_edits_are_bridged(world: World) -> None:
    notes = StickyNotes(world.connect(world.job()))
    assert notes.post("shop", "x") == ""
    world.server.faults += [Fault(503, method="GET"), Fault(502, method="PUT"), Fault(method="PUT", drop=True)]
    assert notes.post("shop", "y") == ""
    assert world.notes()[0].body.startswith("y")


def test_a_silent_gitlab_costs_a_whole_release_less_than_thirty_seconds(world: World) -> None:
    world.server.faults.append(Fault(times=-1, delay_seconds=60))
    connection = world.connect(world.job(), budget_seconds=1.0, request_seconds=0.4)
    started = time.monotonic()
    for call in CALLS.values():
        assert call(connection)
    # one full budget of 10 s, then a third of it (and half a second of grace) for each of the other calls
    spent = time.monotonic() - started
    assert spent < 1.5 + (len(CALLS) - 1) * (1 / 3 + 0.5) + 1.0
    world.server.faults.clear()
    answers = iter(lambda: StickyNotes(connection).post("shop", "x"), "")
    assert len(list(itertools.islice(answers, 10))) < 10, "it answers again, if this machine lets it in 0.4 s"
    assert connection._patience == 1.0, "answered: the next call may take its time again"


def test_one_silent_read_does_not_use_up_the_whole_budget(world: World) -> None:
    world.server.faults.append(Fault(method="GET", delay_seconds=60))
    connection = world.connect(world.job(), budget_seconds=8.0, request_seconds=1.5)
    assert StickyNotes(connection).post("shop", "x") == ""


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    env = {
        "CI_API_V4_URL": f"http://127.0.0.1:{port}/api/v4",
        "CI_PROJECT_ID": "1",
        "CI_MERGE_REQUEST_IID": "1",
        "GITLAB_MESH_TOKEN": "glpat-planted",
    }
    answer = StickyNotes(Connection(read_ci(env), budget_seconds=2.0)).post("shop", "x")
    assert "GitLab cannot be reached" in answer
    assert "planted" not in answer


def test_a_signal_ends_the_wait_at_once(world: World) -> None:
    world.server.faults.append(Fault(times=-1, delay_seconds=60))
    signalled = threading.Event()
    connection = world.connect(world.job(), interrupted=signalled.is_set, budget_seconds=5.0)
    timer = threading.Timer(0.3, signalled.set)
    timer.start()
    started = time.monotonic()
    assert "interrupted by a signal" in StickyNotes(connection).post("shop", "x")
    assert time.monotonic() - started < 2
    timer.join()


def test_a_signal_from_before_does_not_stop_the_last_word(world: World) -> None:
    connection = world.connect(world.job(), interrupted=lambda: True)
    assert StickyNotes(connection).post("shop", "rolled back") == ""


def test_a_token_never_shows_in_representations() -> None:
    ci = read_ci({"GITLAB_MESH_TOKEN": "glpat-planted", "CI_JOB_TOKEN": "glcbt-planted"})
    assert "planted" not in f"{ci!r} {ci.tokens} {ci}"


def test_relative_url_root_and_a_gitlab_that_names_itself_differently(
    make_world: Callable[[GitlabServer], World],
) -> None:
    server = GitlabServer(root="/tools/gitlab")
    world = make_world(server)
    with GitlabListener(server) as listener:
        job = world.job()
        for number in range(120):
            server.comment(world.merge_request, world.dana, f"talk {number}")
        connection = world.connect(job)
        # The links of further pages now point to an address that does not exist from here.
        server.base_url = "https://gitlab.inside.example/tools/gitlab"
        assert listener.url.endswith("/tools/gitlab")
        assert StickyNotes(connection).post("shop", "x") == ""
        connection.close()
    assert len(world.notes()) == 121


def test_own_certificate_authority(
    make_world: Callable[[GitlabServer], World], tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    import ssl

    openssl = require_tool("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gitlab",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = GitlabServer()
    with GitlabListener(server) as listener:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        listener._http.socket = tls.wrap_socket(listener._http.socket, server_side=True)
        server.base_url = listener.url.replace("http://", "https://")
        inside = make_world(server)
        variables = server.ci_variables(inside.job()) | {"GITLAB_MESH_TOKEN": inside.token}
        trusting = Connection(read_ci(variables | {"CI_SERVER_TLS_CA_FILE": str(certificate)}))
        assert StickyNotes(trusting).post("shop", "x") == ""
        trusting.close()
        strict = Connection(read_ci(variables))
        assert "certificate" in StickyNotes(strict).post("shop", "y")
        strict.close()
