"""The states of a child, from its making to its release (P5, P14)."""

from __future__ import annotations

import os
import select
import signal
from subprocess import PIPE

import pytest
from children import FOREVER

from within import Stop
from within._processes._command import Command
from within._processes._posix import _lost
from within._processes._posix._child import Child
from within._processes._posix._state import State

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_p5_a_child_goes_through_its_states() -> None:
    child = Child(Command(("sh", "-c", "read line"), {}), Stop())
    assert (child.state, child.is_open()) == (State.MADE, False)
    files = child.start(PIPE, None, None)
    assert (child.state, child.is_open()) == (State.RUNNING, True)
    with pytest.raises(RuntimeError, match="it is running"):
        child.start(None, None, None)
    assert files.stdin is not None
    child.held.close(files.stdin)
    select.select([child.exit_fd], [], [])
    assert child.state is State.RUNNING  # its exit has not been noticed
    assert child.has_exited()
    assert (child.state, child.is_open()) == (State.EXITED, True)
    child.reap()
    assert (child.state, child.is_open()) == (State.REAPED, False)
    child.end_now()
    assert child.state is State.RELEASED


def test_p5_a_child_may_be_lost_to_another_wait() -> None:
    with Child(Command(("true",), {}), Stop()) as child:
        child.start(None, None, None)
        os.waitpid(child.pid, 0)
        with pytest.warns(RuntimeWarning, match="reaped by other code"):
            assert child.has_exited()
        assert (child.state, child.is_open()) == (State.LOST, True)
        child.reap()
        assert child.state is State.REAPED
    assert child.state is State.RELEASED


def test_p5_a_child_that_cannot_be_killed_is_left_to_itself() -> None:
    child = Child(Command(("sleep", FOREVER), {}), Stop(tree="child"))
    child.start(None, None, None)
    child.reap()
    assert (child.state, child.is_open(), child.usage) == (State.LEFT, False, None)
    child.end_now()
    assert child.state is State.RELEASED
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    _lost.end_lost()
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)
