"""Child processes: output, exit, orderly end, and nothing left behind when the parent is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitlab_mesh.errors import TransientError
from gitlab_mesh.sandbox.processes import Processes

pytestmark = pytest.mark.sandbox

SLEEPER = [sys.executable, "-I", "-S", "-c", "import sys, time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable, "-I", "-S", "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]  # fmt: skip
PARENT = """
import sys, time
from pathlib import Path
from gitlab_mesh.sandbox.processes import Processes
processes = Processes(Path(sys.argv[1]))
sleeper = [sys.executable, "-I", "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]
stubborn = [sys.executable, "-I", "-S", "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"]
# Starts a grandchild and ends: the grandchild loses its parent.
forker = [sys.executable, "-I", "-S", "-c",
          "import os, time\\nif os.fork(): os._exit(0)\\nprint(os.getpid(), flush=True)\\ntime.sleep(600)"]
children = [processes.start(f"child-{n}", argv, pipe=True) for n, argv in enumerate([sleeper, stubborn, forker])]
lines = [child.stdout.readline().strip() for child in children]
print(processes._supervisor.pid, children[0].pid, children[1].pid, int(lines[2]), flush=True)
time.sleep(600)
"""


def vanished(pid: int, seconds: float = 5.0) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("victim", ["parent", "supervisor"])
def test_a_sigkill_leaves_no_process_behind(tmp_path: Path, victim: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout
        supervisor, *children = (int(pid) for pid in parent.stdout.readline().split())
        os.kill(parent.pid if victim == "parent" else supervisor, signal.SIGKILL)
        # Killed supervisor: its direct children get the kernel's signal; an orphaned grandchild has no such tie.
        bound = children if victim == "parent" else children[:2]
        assert all(vanished(pid) for pid in [supervisor, *bound])
        if victim == "supervisor":
            os.kill(children[2], signal.SIGKILL)
        parent.kill()


def test_output_exit_status_and_environment(tmp_path: Path) -> None:
    ended = threading.Event()
    code = "import os, sys; print(os.environ['COLOUR']); print('oops', file=sys.stderr); sys.exit(3)"
    with Processes(tmp_path) as processes:
        child = processes.start(
            "worker",
            [sys.executable, "-I", "-S", "-c", code],
            env={"COLOUR": "blue"},
            pipe=True,
            on_exit=lambda _: ended.set(),
        )
        assert child.stdout
        assert child.stdout.read() == b"blue\n"
        assert child.wait(5) == 3
        assert ended.wait(5)
        assert child.tail() == "oops"
        assert processes.running == []


def test_a_program_that_does_not_exist_says_so_in_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("ghost", ["/does/not/exist"])
        assert child.wait(5) == 127
        assert "/does/not/exist" in child.tail()


def test_stop_is_orderly_and_kills_after_the_grace(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        sleeper = processes.start("sleeper", SLEEPER, pipe=True)
        stubborn = processes.start("stubborn", STUBBORN, pipe=True)
        for child in (sleeper, stubborn):
            assert child.stdout
            assert child.stdout.readline() == b"up\n"
        assert sleeper.stop() == -signal.SIGTERM
        assert stubborn.stop(grace=0.1) == -signal.SIGKILL
        stubborn.signal(signal.SIGTERM)  # after the end: no effect, no error


def test_close_ends_the_last_started_first(tmp_path: Path) -> None:
    order: list[str] = []
    processes = Processes(tmp_path)
    for name in ("first", "second", "third"):
        processes.start(name, SLEEPER, on_exit=lambda child: order.append(child.name))
    pids = [child.pid for child in processes.running]
    processes.close()
    assert order == ["third", "second", "first"]
    assert all(vanished(pid) for pid in pids)
    with pytest.raises(TransientError, match="late"):
        processes.start("late", SLEEPER)


def test_two_groups_do_not_touch_each_other(tmp_path: Path) -> None:
    with Processes(tmp_path) as kept:
        survivor = kept.start("survivor", SLEEPER)
        other = Processes(tmp_path)
        assert os.getpgid(other.start("other", SLEEPER).pid) != os.getpgid(survivor.pid)
        other.close()
        assert survivor.returncode is None
