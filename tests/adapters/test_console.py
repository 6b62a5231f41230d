"""The job's log: sections, colour, progress, tables, redaction; and that nothing makes it raise."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlab_mesh.adapters.console import CIConsole
from gitlab_mesh.adapters.redaction import Redactor
from gitlab_mesh.ports import Console
from gitlab_mesh.testing.console import RecordingConsole


class Stream(io.StringIO):
    """A text stream with a chosen encoding that may be a terminal."""

    def __init__(self, *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


class Ticks:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def build(stream: Stream, clock: Ticks | None = None, **environ: str) -> CIConsole:
    return CIConsole(stream, environ=environ, monotonic=clock or Ticks(), unix_time=lambda: 1700000000.9)


def test_sections_in_gitlab() -> None:
    stream = Stream()
    console = build(stream, GITLAB_CI="true", NO_COLOR="1")
    with console.section("bake", "Step 5 %", collapsed=True):
        console.line("inside")
    assert stream.getvalue() == (
        "\x1b[0Ksection_start:1700000000:bake[collapsed=true]\r\x1b[0KStep 5 %\n"
        "inside\n"
        "\x1b[0Ksection_end:1700000000:bake\r\x1b[0K\n"
    )


def test_a_section_is_closed_after_an_error_and_its_name_is_never_used_twice() -> None:
    stream = Stream()
    console = build(stream, CI="true")
    for _ in range(2):
        with pytest.raises(RuntimeError), console.section("a b/ü", "x"):
            raise RuntimeError
    names = re.findall(r"section_(start|end):\d+:([A-Za-z0-9_.-]+)\r", stream.getvalue())
    assert names == [("start", "a_b__"), ("end", "a_b__"), ("start", "a_b___2"), ("end", "a_b___2")]


def test_no_codes_in_a_file() -> None:
    stream = Stream()
    console = build(stream)
    with console.section("a", "Preflight"):
        console.line("fine", tone="good")
    assert stream.getvalue() == "Preflight\n✓ fine\n"


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"NO_COLOR": "1"}, False),
        (False, {"CI": "true"}, True),
        (False, {"GITLAB_CI": "true"}, True),
        (False, {"CI": "true", "GITLAB_CI": "false"}, True),  # gitlab-ci-local
        (False, {"CI": "false"}, False),
        (False, {"CI": "true", "NO_COLOR": "1"}, False),
        (False, {"CI": "true", "NO_COLOR": ""}, True),
        (False, {"FORCE_COLOR": "1"}, True),
    ],
)
def test_colour(terminal: bool, environ: dict[str, str], colour: bool) -> None:
    stream = Stream(terminal=terminal)
    build(stream, **environ).line("x", tone="bad")
    assert ("\x1b[31m" in stream.getvalue()) is colour


def test_symbols_fall_back_to_ascii() -> None:
    stream = Stream(encoding="ascii")
    console = build(stream)
    console.line("0 → 5\u202f% … ü", tone="good")
    console.table(["a"], [["–"]])
    assert stream.getvalue() == "OK 0 -> 5 % ... ?\na\n-\n-\n"


def test_figures_have_plain_spaces_so_that_a_log_can_be_searched() -> None:
    stream = Stream()
    build(stream).line("12\u202f345 requests in 3\u202fmin\u00a05\u202fs")
    assert stream.getvalue() == "12 345 requests in 3 min 5 s\n"


def test_progress_in_ci_is_rare() -> None:
    stream, clock = Stream(), Ticks()
    console = build(stream, clock, CI="true", NO_COLOR="1")
    for second in range(60):
        clock.now = 100.0 + second
        console.progress(f"second {second}")
    assert stream.getvalue().split("\n")[:-1] == [f"second {second}" for second in range(0, 60, 10)]


def test_progress_on_a_terminal_rewrites_its_line() -> None:
    stream = Stream(terminal=True)
    console = build(stream, NO_COLOR="1", TERM="xterm")
    console.progress("one")
    console.progress("two " * 50)
    console.line("done")
    first, second, third = stream.getvalue().removesuffix("\n").split("\r\x1b[K")[1:]
    assert (first, third) == ("one", "done")
    assert len(second) == 79
    assert second.endswith("…")


def test_a_table_fits_80_columns_and_loses_no_word() -> None:
    stream = Stream()
    words = [f"word{index}" for index in range(30)]
    build(stream).table(["Metric", "Why", "Verdict"], [["errors", " ".join(words), "breach"], ["short"]])
    lines = stream.getvalue().split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["Metric", "Why", "Verdict"]
    assert set(lines[1]) == {"─", " "}
    assert all(word in stream.getvalue().split() for word in words)


@given(st.lists(st.text(), min_size=1, max_size=8), st.lists(st.lists(st.text(), max_size=8), max_size=4))
def test_any_table_fits(columns: list[str], rows: list[list[str]]) -> None:
    stream = Stream()
    build(stream).table(columns, rows)
    assert all(len(line) <= 80 for line in stream.getvalue().split("\n"))


@given(st.text())
def test_text_from_outside_brings_no_control_characters(text: str) -> None:
    stream = Stream()
    console = build(stream)
    console.line(text)
    console.progress(text)
    with console.section(text, text):
        pass
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", stream.getvalue())


def test_a_pods_message_cannot_open_a_section() -> None:
    stream = Stream()
    build(stream, CI="true", NO_COLOR="1").line("\x1b[0Ksection_start:1:evil\r\x1b[0Kx\nsecond")
    assert stream.getvalue() == "[0Ksection_start:1:evil\n  [0Kx\n  second\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token=abcdef123 rest", "token=[redacted] rest"),
        ('{"private_token": "abc123def456"}', '{"private_token": "[redacted]"}'),
        ("PASSWORD=hunter2&x=1", "PASSWORD=[redacted]&x=1"),
        ("glpat-abcDEF_123-xyz.01.0a1", "[redacted]"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [redacted]"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[redacted]"),
        ("https://bot:s3cret@gitlab.example/x", "https://bot:[redacted]@gitlab.example/x"),
        ("the job token: it cannot write notes", "the job token: it cannot write notes"),
        ("tokens are read from GITLAB_MESH_TOKEN", "tokens are read from GITLAB_MESH_TOKEN"),
        ("registry.example/shop:1.5.0", "registry.example/shop:1.5.0"),
        ("Kubernetes secret shop-tls is missing", "Kubernetes secret shop-tls is missing"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert Redactor()(text) == shown


def test_known_secrets_are_hidden_in_every_form() -> None:
    redact = Redactor(["a/b+c d", "first line\nsecond line", "abcd", "", "abcdefgh", "abcde"])
    shown = redact("a/b+c d a%2Fb%2Bc%20d second line abcd abcdefgh")
    assert shown == "[redacted] [redacted] [redacted] abcd [redacted]"


@pytest.mark.parametrize(
    "piece", ["a-", "token", "token:", "token=", "-eyJ", "eyJ.", "://a:", "bearer ", "password ", "glpat-", "a", "'"]
)
def test_hostile_text_takes_no_time(piece: str) -> None:
    """A pod's log comes from outside, and redaction lies on the way of a rollback's every line."""
    start = time.process_time()
    Redactor(["planted-secret"])(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 3


@given(st.text(), st.text(), st.text(min_size=4).map("Z".__add__))  # "00000" would be part of the escape \\u0000
def test_json_stays_json(before: str, after: str, secret: str) -> None:
    text = json.dumps({"a": f"{before}token=x{after}", "token": f"{before}{secret}{after}"}, ensure_ascii=False)
    assert set(json.loads(Redactor([secret])(text))) == {"a", "token"}


def test_secrets_do_not_reach_the_log() -> None:
    stream = Stream()
    console = CIConsole(stream, environ={"CI": "1"}, redact=Redactor(["planted-value"]))
    console.line("planted-value")
    console.progress("x planted-value")
    console.table(["planted-value"], [["planted-value"]])
    with console.section("s", "planted-value"):
        pass
    assert "planted-value" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 5


class Broken(Stream):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", [Broken(), "closed"])
def test_it_never_raises(stream: Stream | str) -> None:
    if isinstance(stream, str):
        stream = Stream()
        stream.close()
    console = CIConsole(stream, environ={})
    console.line("x")
    console.progress("x")
    console.table(["x"], [["x"]])
    with console.section("x", "x"):
        pass


def test_a_process_whose_reader_is_gone_ends_with_its_own_exit_code() -> None:
    program = (
        "import sys\nfrom gitlab_mesh.adapters.console import CIConsole\nconsole = CIConsole(environ={})\n"
        "for index in range(2000): console.line('x' * 1000)\nsys.exit(10)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([sys.executable, "-c", program], stderr=writer, check=False, timeout=60)
    os.close(writer)
    assert process.returncode == 10  # 120 would be Python's own, from the flush at exit


def test_a_real_terminal_gets_colour_and_rewriting() -> None:
    main, sub = pty.openpty()
    with os.fdopen(sub, "w", encoding="utf-8") as stream:
        console = CIConsole(stream, environ={"TERM": "xterm"})
        console.progress("going")
        console.line("done", tone="good")
        shown = b""
        while b"\n" not in shown:  # a terminal hands over in pieces
            shown += os.read(main, 10_000)
    os.close(main)
    assert "\r\x1b[K\x1b[2mgoing\x1b[0m\r\x1b[K\x1b[32m✓ done\x1b[0m" in shown.decode()


def test_lines_of_several_threads_do_not_mix() -> None:
    stream = Stream()
    console = build(stream)
    threads = [
        threading.Thread(target=lambda letter=letter: [console.line(letter * 50) for _ in range(50)])
        for letter in "abc"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(set(line)) == 1 and len(line) == 50 for line in stream.getvalue().split("\n")[:-1])


def test_the_fake_remembers_everything() -> None:
    console = RecordingConsole()
    port: Console = console
    with contextlib.suppress(RuntimeError), port.section("bake", "Step 5 %"):
        port.line("fine", tone="good")
        port.progress("12 requests")
        port.table(["a"], [["b"]])
        raise RuntimeError
    port.line("after")
    assert console.lines() == ["fine", "after"]
    assert console.lines("good") == ["fine"]
    assert [(entry.kind, entry.section) for entry in console.said] == [
        ("section", ""), ("line", "bake"), ("progress", "bake"), ("table", "bake"), ("end", ""), ("line", ""),
    ]  # fmt: skip
    assert console.text == "Step 5 %\nfine\n12 requests\na\nb\nafter"
