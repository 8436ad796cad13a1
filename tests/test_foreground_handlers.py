"""The handlers by which a child is lent our terminal, when they interrupt each other
or come before its pid is known, and when they pass a key on (P3)."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any
from weakref import ref

import pytest
from children import FINDS_MEMBERS, FOREVER
from foreground_programs import everywhere, in_a_thread, program
from jobs import CTRL_C, session

from within._processes._posix import _foreground

pytestmark = pytest.mark.skipif(
    not FINDS_MEMBERS, reason="asks /proc what became of a process"
)


class Lent:
    """A child that has the terminal."""

    returncode = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.sent: set[int] = set()
        self.heard: list[int] = []

    def signal_tree(self, number: int, *, report: bool) -> None:
        self.heard.append(number)


class Tty:
    """A terminal without modes."""

    def __init__(self, group: int) -> None:
        self.group = group

    def holder(self) -> int:
        return self.group

    def give_to(self, pgid: int) -> None:
        self.group = pgid

    def remember_modes(self) -> None:
        pass


def test_p3_a_handler_leaves_its_news_to_the_one_that_it_interrupts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGCONT comes once, with the terminal. Another one would undo the next Ctrl-Z."""
    with subprocess.Popen(["sleep", FOREVER], process_group=0) as sleeper:
        child = Lent(sleeper.pid)
        foreground: Any = _foreground.Foreground()
        foreground._tty = Tty(sleeper.pid)
        foreground._children.add(ref(child))
        foreground._borrower = child
        continued = foreground._on_continue
        monkeypatch.setattr(_foreground, "stop_ourselves", lambda target: continued())
        sleeper.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
        foreground._on_child(signal.SIGCHLD, None)
        assert child.heard == [signal.SIGCONT]
        assert foreground._tty.group == sleeper.pid
        sleeper.kill()


LATE = """
from within._processes._posix._foreground import foreground
looked, look, start = threading.Event(), foreground._look, _child.start_program
foreground._look = lambda: (look(), looked.set())
def late(pids, *rest):
    found = []
    looked.clear()
    start(found, *rest)
    os.waitid(os.P_PID, found[0], os.WSTOPPED | os.WNOWAIT)
    looked.wait()
    pids += found
"""


def test_p3_a_child_may_ask_before_its_thread_knows_its_pid() -> None:
    with session(*in_a_thread(LATE, start="late")("trio")) as shell:
        shell.types(b"secret\n")
        assert shell.sees("got") == "secret"
        assert shell.told() == "exited 0"


CHECKED = program("""
try:
    await run("sh", "-c", "echo pid=$$ >/dev/tty; exec cat </dev/tty >/dev/tty")
except BaseException as error:
    print("raised", type(error).__name__)
    raise
""")


@everywhere
def test_p3_a_key_for_a_command_that_asks_is_no_failure_of_it(backend: str) -> None:
    """As with subprocess.run(), the key interrupts us: it is not the command's error."""
    with session(*CHECKED(backend)) as shell:
        shell.sees("pid=")
        shell.types(b"one\n")
        for _ in ("the echo of the terminal", "cat"):
            shell.sees("one")
        shell.types(CTRL_C)
        assert shell.sees("raised") in ("CancelledError", "KeyboardInterrupt")
        shell.sees("interrupted")
        assert shell.told() == "exited 0"
