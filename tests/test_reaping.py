"""When a child is reaped, and when a process that is dropped was open (P1, P5)."""

from __future__ import annotations

import gc
import os
import signal
import sys

import anyio
import pytest
from children import FOREVER, alive, line, needs_members

import within
from within import Stop, process
from within._processes._platform import Pump
from within._processes._pump import limited
from within._processes._stopping import _Patience

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


def is_a_group(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_p5_asking_for_the_returncode_reaps_what_has_ended() -> None:
    async with process("sleep", FOREVER, stdin=None, stdout=None) as child:
        os.killpg(child.pid, signal.SIGTERM)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_a_group(child.pid)
        assert "ended by signal" in repr(child)
        assert is_a_group(child.pid)  # looking at it changes nothing
        assert child.returncode == -signal.SIGTERM
        assert not is_a_group(child.pid)
        assert child.usage is not None


@needs_members
async def test_p5_asking_for_the_returncode_keeps_the_number_of_a_group() -> None:
    script = f"sleep {FOREVER} & echo $!; exit 3"
    async with process("sh", "-c", script) as child:
        pid = int(await line(child))
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.returncode == 3
        assert child.usage is None
        child.send_signal(signal.SIGTERM, tree=True)
        with within.timeout(30):
            while child.usage is None:
                assert child.returncode == 3
                await anyio.sleep(0.001)
        assert not alive(pid)


async def test_p5_asking_for_the_returncode_leaves_no_task_waiting() -> None:
    async with process("sleep", FOREVER) as child, anyio.create_task_group() as tasks:
        tasks.start_soon(child.wait)
        tasks.start_soon(child.read)
        await anyio.wait_all_tasks_blocked()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.returncode == -signal.SIGKILL
        assert child.usage is not None


@needs_members
async def test_p1_dropped_after_the_end_of_its_group_without_a_warning() -> None:
    script = f"sleep {FOREVER} & echo $!; exit 3"
    child = await process("sh", "-c", script)
    pid = int(await line(child))
    assert await child.wait() == 3
    os.kill(pid, signal.SIGTERM)
    assert await child.read() == ""
    with within.timeout(30):
        while alive(pid):
            await anyio.sleep(0.001)
    del child  # a warning would be an error
    gc.collect()


@needs_members
async def test_p1_dropped_at_the_end_of_all_output_without_a_warning() -> None:
    """The helper holds the output to its last moment, which may not be over."""
    helper = f"{sys.executable} -c 'import sys; sys.stdin.read()' <&3"
    script = f"exec 3<&0; {helper} & exit 3"
    for _ in range(10):
        child = await process("sh", "-c", script, stop=Stop(pause=30, linger=30))
        assert await child.wait() == 3
        await child.stdin.aclose()
        assert await child.read() == ""
        del child  # a warning would be an error
        gc.collect()


# -- T23: the limits of a stop ---------------------------------------------------------------


async def test_t23_a_wait_for_a_child_has_no_generator_that_could_stay_open() -> None:
    with Pump() as pump:
        for limit in (_Patience(1).limit(pump), limited(1, pump)):
            assert isinstance(limit, within.Timeout)
