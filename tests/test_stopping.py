"""How a child ends, and that nothing of it is left (P3-P6)."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import anyio
import pytest
from children import FAMILY, FOREVER, QUICK, alive, family, line, needs_members
from conftest import Ticks

import within
from within import Stop, process, run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


# -- P3, P4: the end ----------------------------------------------------------


@pytest.mark.parametrize("way", ["end", "exception", "cancelled", "aclose"])
async def test_p3_however_the_block_is_left_the_whole_group_is_dead(way: str) -> None:
    pids: list[int] = []
    try:
        with within.move_on_after(None) as limit:
            async with process("sh", "-c", FAMILY) as child:
                pids = await family(child)
                assert all(map(alive, pids))
                if way == "exception":
                    raise KeyError
                if way == "cancelled":
                    limit.cancel()
                    await child.wait()
                if way == "aclose":
                    await child.aclose()
    except KeyError:
        assert way == "exception"
    assert not any(map(alive, pids))
    assert child.returncode == -signal.SIGTERM


async def test_p3_p4_a_stubborn_family_that_floods_its_output_is_killed() -> None:
    """Ignores SIGTERM, has grandchildren that do too, and never stops talking."""
    script = (
        f"trap '' TERM; sleep {FOREVER} & echo $!; (yes & echo $!; wait) & echo $!; yes"
    )
    pids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        async with process("sh", "-c", script, stop=QUICK) as child:
            while len(pids) < 3:
                if (word := await line(child)) != "y":
                    pids.append(int(word))
            began = time.monotonic()
            1 / 0  # noqa: B018
    assert time.monotonic() - began < 10  # a bound for any load: not a timing
    assert child.returncode == -signal.SIGKILL
    assert not any(map(alive, [child.pid, *pids]))


async def test_p4_the_polite_signal_comes_first_and_output_is_drained() -> None:
    """Before it exits it writes far more than a pipe holds, and no task reads it."""
    script = "trap 'head -c 1000000 /dev/zero; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    async with process("sh", "-c", script, stop=Stop(grace=60)) as child:
        assert await line(child) == "ready"
    assert child.returncode == 7


async def test_p4_stdin_is_closed_first_and_time_given() -> None:
    async with process("cat", stop=Stop(close_stdin=60)) as child:
        pass
    assert child.returncode == 0


@pytest.mark.parametrize("n", range(10))
async def test_p4_without_time_for_stdin_the_signal_always_comes_first(n: int) -> None:
    """cat would end by whichever comes first."""
    async with process("cat") as child:
        pass
    assert child.returncode == -signal.SIGTERM


async def test_p4_stdin_is_closed_after_the_signal_as_well() -> None:
    """A child that ignores the signal may still end with its input."""
    script = "trap '' TERM; echo ready; cat; exit 3"
    async with process("sh", "-c", script, stop=Stop(grace=60)) as child:
        assert await line(child) == "ready"
    assert child.returncode == 3


async def test_p4_another_signal() -> None:
    async with process("sleep", FOREVER, stop=Stop(signal=signal.SIGINT)) as child:
        pass
    assert child.returncode == -signal.SIGINT


async def test_p4_a_stopped_child_is_continued() -> None:
    script = (
        "trap 'exit 5' TERM; echo ready; kill -STOP $$; while :; do sleep 0.01; done"
    )
    async with process("sh", "-c", script, stop=Stop(grace=60)) as child:
        assert await line(child) == "ready"
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert child.returncode == 5


async def test_p4_a_stopped_child_is_continued_to_see_the_end_of_its_input() -> None:
    script = "echo ready; kill -STOP $$; read x; exit 5"
    stop = Stop(close_stdin=60, grace=60)
    async with process("sh", "-c", script, stop=stop) as child:
        assert await line(child) == "ready"
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert child.returncode == 5


async def test_p4_one_that_has_closed_its_output_is_on_its_way_out() -> None:
    """No signal hits it: it exits with its own status."""
    script = "exec >&-; read -r line < fifo; exit 9"
    async with process("sh", "-c", "echo hi; " + script, cwd="/", stop=Stop(grace=60)):
        pass  # there is no such fifo: read fails at once
    for _ in range(5):
        async with process("sh", "-c", "echo hi; exec >&-; exit 9") as child:
            assert [found async for found in child] == ["hi\n"]
        assert child.returncode == 9


async def test_p4_only_the_child_if_asked() -> None:
    async with process("sh", "-c", FAMILY, stop=Stop(tree="child")) as child:
        pids = await family(child)
    assert [alive(pid) for pid in pids] == [True, True, False]
    for pid in pids[:2]:
        os.kill(pid, signal.SIGKILL)


@needs_members
async def test_p3_a_child_that_has_exited_leaves_no_family_either() -> None:
    async with process("sh", "-c", f"sleep {FOREVER} & echo $!; exit 3") as child:
        pid = int(await line(child))
        assert await child.wait() == 3
        assert alive(pid)
        assert child.usage is None  # kept unreaped, so that its group is its own
    assert not alive(pid)
    assert child.usage is not None


async def test_p3_cancelled_while_it_is_being_stopped(ticks: Ticks) -> None:
    """The stop goes on to its end, and the cancellation comes then."""
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    with within.move_on_after(None) as limit:
        async with process("sh", "-c", script, stop=QUICK) as child:
            await line(child)
            child._child.on_signal = lambda number: limit.cancel()
        await anyio.sleep(ticks.long)
    assert limit.cancelled_caught
    assert child.returncode == -signal.SIGKILL


def test_p3_a_bare_cancel_while_it_is_being_stopped() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"

    async def main() -> None:
        async def victim() -> None:
            async with process("sh", "-c", script, stop=QUICK) as child:
                children.append(child)
                await line(child)
                child._child.on_signal = lambda number: loop.call_soon(task.cancel)

        loop = asyncio.get_running_loop()
        task = asyncio.create_task(victim())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    children: list[within.Process] = []
    asyncio.run(main())
    assert children[0].returncode == -signal.SIGKILL


def test_p3_loop_shutdown() -> None:
    children: list[within.Process] = []

    async def main() -> None:
        async def victim() -> None:
            async with process("sleep", FOREVER) as child:
                children.append(child)
                started.set_result(None)
                await child.wait()

        started = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(victim())
        await started
        assert not task.done()

    asyncio.run(main())
    assert children[0].returncode == -signal.SIGTERM


def test_p3_a_loop_that_is_dropped_in_the_middle() -> None:
    async def victim() -> None:
        async with process("sleep", FOREVER) as child:
            children.append(child)
            started.set_result(None)
            await child.wait()

    children: list[within.Process] = []
    loop = asyncio.new_event_loop()
    started = loop.create_future()
    coroutine = victim()
    task = loop.create_task(coroutine)
    loop.run_until_complete(started)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine.close()
    loop.close()
    del task
    assert children[0].returncode == -signal.SIGKILL
    assert not alive(children[0].pid)


async def test_p3_a_child_dropped_while_open_is_killed_with_a_warning() -> None:
    child = await process("sleep", FOREVER)
    pid = child.pid
    with pytest.warns(ResourceWarning, match=f"sleep {FOREVER}.*dropped while open"):
        del child
        gc.collect()
    assert not alive(pid)


async def test_p3_a_reader_wakes_when_the_block_is_cancelled_on_the_way_out(
    on_asyncio: bool,
) -> None:
    """The reader gets an error, and the next child can have the descriptor's number."""
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    told = []

    async def read() -> None:
        with pytest.raises((anyio.EndOfStream, anyio.ClosedResourceError)):
            while True:
                assert child.stderr is not None
                await child.stderr.receive()
        told.append(True)

    child = await process("sh", "-c", script, stop=QUICK, stderr=subprocess.PIPE)
    await line(child)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        if on_asyncio:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await child.aclose()
        else:
            with within.move_on_after(0):
                await child.aclose()
    assert told == [True]
    assert child.returncode == -signal.SIGKILL
    for _ in range(3):
        async with process("echo", "next") as following:
            assert await line(following) == "next"


def test_p3_one_that_is_open_when_the_program_ends() -> None:
    code = (
        "import asyncio, within\n"
        "async def main():\n"
        f"    global child; child = await within.process('sleep', '{FOREVER}')\n"
        "    print(child.pid)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-Wd", "-c", code], capture_output=True, text=True, check=True
    )
    assert not alive(int(done.stdout))
    assert "dropped while open" in done.stderr


def test_p3_a_fork_does_not_end_its_parents_children() -> None:
    async def main() -> None:
        async with process("cat") as child:
            fork = os.fork()
            if not fork:
                child._child.drop()
                os._exit(0)
            os.waitpid(fork, 0)
            assert child.stdin is not None
            await child.stdin.send(b"alive\n")
            assert await line(child) == "alive"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork()
        asyncio.run(main())


# -- P5, P6 ------------------------------------------------------------------


async def test_p5_signalling_one_that_has_ended_does_nothing() -> None:
    async with process("true") as child:
        await child.wait()
        child.kill()
        child.terminate()
        child.send_signal(signal.SIGINT)
    child.kill()
    assert child.returncode == 0


@needs_members
async def test_p5_the_number_is_kept_until_the_group_is_gone() -> None:
    async with process("sh", "-c", f"sleep {FOREVER} & echo; exit 0") as child:
        await line(child)
        await child.wait()
        # Still a zombie: no other process or group can get its number.
        state = (
            Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
        )
        assert state == "Z"


async def test_p6_wait_returns_at_the_exit_though_the_pipe_is_held() -> None:
    async with process("sh", "-c", f"sleep {FOREVER} & exit 4") as child:
        assert await child.wait() == 4
        assert child.returncode == 4


async def test_p6_run_returns_at_the_exit_and_ends_the_rest() -> None:
    done = await run("sh", "-c", f"echo hi; sleep {FOREVER} & echo $!", text=True)
    word, pid = done.stdout.split()
    assert word == "hi"
    assert not alive(int(pid))


async def test_p6_many_may_wait() -> None:
    codes: list[int] = []

    async def wait() -> None:
        codes.append(await child.wait())

    async with process("cat") as child:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with within.move_on_after(0):
                await child.wait()
            child.kill()
    assert codes == [-signal.SIGKILL] * 3
