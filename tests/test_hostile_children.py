"""Children that misbehave (P3, P4, P6, P7, P16)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from children import (
    ALL,
    FOREVER,
    QUICK,
    alive,
    line,
    longer_and_longer,
    needs_members,
)

import within
from within import Stop, process, run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PATIENT = Stop(grace=60)


def state(pid: int) -> str:
    """As in /proc: T for stopped, Z for a zombie."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def until_stopped(pid: int) -> None:
    with within.timeout(60):
        while state(pid) != "T":
            await anyio.sleep(0)


class Told:
    """A pipe beside the usual three, for what a child must not write to its output."""

    def __init__(self) -> None:
        self._reading, self.fd = os.pipe()
        self.path = f"/dev/fd/{self.fd}"

    async def word(self) -> str:
        with within.timeout(60):
            await anyio.wait_readable(self._reading)
        return os.read(self._reading, 100).decode().strip()

    def is_held(self) -> bool:
        """Whether a process that has inherited it is alive."""
        os.close(self.fd)
        self.fd = -1
        os.set_blocking(self._reading, False)
        try:
            while os.read(self._reading, 100):
                pass
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        os.close(self._reading)
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.close()


async def cancelled_run(
    script: str, told: Told, stop: Stop, *, when_stopped: bool = False
) -> int:
    """Cancel a run as soon as it has reported a pid, and return that."""
    pid = -1

    async def cancel() -> None:
        nonlocal pid
        pid = int(await told.word())
        if when_stopped:
            await until_stopped(pid)
        limit.cancel()

    with within.move_on_after(None) as limit:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            await run("sh", "-c", script, pass_fds=(told.fd,), stop=stop)
    assert limit.cancelled_caught
    return pid


# -- its pipes -------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 3])
async def test_p16_run_does_not_mind_input_that_is_read_in_part(status: int) -> None:
    script = f"head -c 1; exec <&-; echo rest; exit {status}"
    done = await run("sh", "-c", script, input=b"x" * 1_000_000, check=False)
    assert (done.stdout, done.returncode) == (b"xrest\n", status)
    assert (await run("true", input=bytes(1_000_000))).returncode == 0


async def test_p16_run_waits_for_one_that_closes_its_output_and_lives_on(
    told: Told,
) -> None:
    """The end of the output is no exit, as the exit is no end of output (P6)."""
    codes: list[int] = []
    stdin, go_on = os.pipe()

    async def wait() -> None:
        script = f"exec >&- 2>&-; echo closed >{told.path}; read -r word; exit 6"
        done = await run(
            "sh", "-c", script, stdin=stdin, pass_fds=(told.fd,), check=False
        )
        codes.append(done.returncode)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            assert await told.word() == "closed"
            await anyio.wait_all_tasks_blocked()  # no task polls
            assert codes == []
            os.write(go_on, b"\n")
        assert codes == [6]
    finally:
        os.close(stdin)
        os.close(go_on)


async def test_p16_one_that_closes_its_output_and_lives_on_has_its_grace() -> None:
    """It might be about to exit (P4); if it is not, it gets the signal."""
    script = f"exec >&-; exec sleep {FOREVER}"
    async with process("sh", "-c", script, stop=QUICK) as child:
        assert [found async for found in child] == []
        assert child.returncode is None
    assert child.returncode == -signal.SIGTERM


# -- its signals -----------------------------------------------------------------


# Slower than yes(1), because run() keeps all of it.
FLOOD = "while :; do echo flood; done"


@pytest.mark.parametrize("end", [FLOOD, f"({FLOOD}) >&2", f"sleep {FOREVER} & wait"])
async def test_p16_run_ends_a_child_that_ignores_sigterm(end: str, told: Told) -> None:
    script = f"trap '' TERM; echo $$ >{told.path}; {end}"
    assert not alive(await cancelled_run(script, told, QUICK))


async def test_p3_a_member_that_outlives_the_leader_is_killed_after_the_grace() -> None:
    script = (
        f"(trap '' TERM; echo ready; exec sleep {FOREVER}) & echo $!; "
        f"exec sleep {FOREVER}"
    )
    async with process("sh", "-c", script, stop=QUICK) as child:
        words = {await line(child), await line(child)}
        pid = int((words - {"ready"}).pop())
    assert child.returncode == -signal.SIGTERM
    assert not alive(pid)


async def test_p3_run_ends_a_flood_that_its_child_has_left_behind(told: Told) -> None:
    """The flood ignores SIGTERM too, and its end of the pipe is not waited for (P6)."""
    script = (
        f"(trap '' TERM; echo >{told.path}; {FLOOD}) & pid=$!; read -r word;"
        "echo $pid >&2; exit 4"
    )
    stdin, go_on = os.pipe()

    async def let_go() -> None:
        await told.word()
        os.close(go_on)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(let_go)
        done = await run(
            "sh",
            "-c",
            script,
            stdin=stdin,
            pass_fds=(told.fd,),
            check=False,
            stop=QUICK,
        )
    os.close(stdin)
    assert done.returncode == 4
    assert not alive(int(done.stderr))


async def stopped(script: str, stop: Stop) -> within.Process:
    """A child that is stopped, whatever it was doing."""
    child = await process("sh", "-c", script, stop=stop)
    assert await line(child) == "ready"
    child.send_signal(signal.SIGSTOP)
    await until_stopped(child.pid)
    return child


@pytest.mark.parametrize("tree", ["child", "group", ALL])
async def test_p4_a_stopped_child_is_continued_so_that_it_gets_the_signal(
    tree: Any,
) -> None:
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    async with await stopped(script, Stop(grace=60, tree=tree)) as child:
        pass
    assert child.returncode == 5


async def test_p4_a_stopped_child_is_continued_so_that_it_sees_its_stdin_closed() -> (
    None
):
    stop = Stop(close_stdin=60, grace=60)
    async with await stopped("echo ready; read -r word; exit 7", stop) as child:
        pass
    assert child.returncode == 7


@pytest.mark.parametrize("tree", ["child", "group", ALL])
async def test_p4_one_that_is_stopped_and_stubborn_is_killed(tree: Any) -> None:
    script = f"trap '' TERM; echo ready; exec sleep {FOREVER}"
    async with await stopped(script, Stop(grace=0.05, tree=tree)) as child:
        pass
    assert child.returncode == -signal.SIGKILL


async def test_p4_run_ends_a_child_that_has_stopped_itself(told: Told) -> None:
    script = (
        f"trap 'echo bye >{told.path}; exit' TERM; echo $$ >{told.path};"
        "kill -STOP $$; while :; do sleep 0.01; done"
    )
    await cancelled_run(script, told, PATIENT, when_stopped=True)
    assert await told.word() == "bye"


@needs_members
@pytest.mark.parametrize("tree", ["group", ALL])
async def test_p4_a_stopped_member_of_the_tree_is_continued_too(
    tree: Any, told: Told
) -> None:
    """It says bye, which only a process that runs and gets the signal can do.

    (A SIGHUP may come first: the kernel's, to a stopped group whose leader dies.)
    """
    member = f"trap '' HUP; trap 'echo bye >{told.path}; exit' TERM; echo $$; "
    script = ("setsid " if tree == "all" else "") + 'sh -c "$MEMBER" & wait'
    async with process(
        "sh",
        "-c",
        script,
        env={**os.environ, "MEMBER": member + "while :; do sleep 0.01; done"},
        pass_fds=(told.fd,),
        stop=Stop(grace=60, tree=tree),
    ) as child:
        pid = int(await line(child))
        os.kill(pid, signal.SIGSTOP)
        await until_stopped(pid)
    assert await told.word() == "bye"
    assert not alive(pid)


# -- its daemons -----------------------------------------------------------------

# Forks twice and leaves the session: its parent is init then, and its group its own.
DAEMON = f"(setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep {FOREVER}' &)"


async def test_p16_a_daemon_survives_the_group() -> None:
    """As documented for tree="group": a process that left the group is not ended."""
    async with process("sh", "-c", f"{DAEMON}; wait", stop=QUICK) as child:
        pid = int(await line(child))
    try:
        assert alive(pid)
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGKILL)


@needs_members
@pytest.mark.parametrize("way", ["process", "run", "cancelled"])
async def test_p7_a_daemon_does_not_survive_the_whole_tree(
    way: str, told: Told
) -> None:
    stop = Stop(tree="all", grace=0.05)
    if way == "process":
        async with process("sh", "-c", f"{DAEMON}; exec cat", stop=stop) as child:
            pid = int(await line(child))
            assert os.getsid(pid) == pid
    elif way == "run":
        script = f"{DAEMON} | (read -r pid; echo $pid)"
        pid = int((await run("sh", "-c", script, stop=stop)).stdout)
    else:
        script = f"{DAEMON} >{told.path}; sleep {FOREVER}"
        pid = await cancelled_run(script, told, stop)
    assert not alive(pid)


async def test_p16_a_daemon_that_stays_in_the_group_is_ended_with_it() -> None:
    script = f"(sh -c 'trap \"\" TERM; echo $$; exec sleep {FOREVER}' &); exec cat"
    async with process("sh", "-c", script, stop=QUICK) as child:
        pid = int(await line(child))
        assert os.getpgid(pid) == child.pid
    assert not alive(pid)


@needs_members
async def test_p7_a_process_born_when_the_signal_comes_is_ended_too() -> None:
    """The child's last act is to start a daemon, which is stubborn like all here."""
    script = 'trap "$DAEMON; exit 3" TERM; echo $$; while :; do sleep 0.01; done'
    for grace in longer_and_longer():
        told = Told()
        async with process(
            "sh",
            "-c",
            script,
            env={**os.environ, "DAEMON": DAEMON},
            pass_fds=(told.fd,),
            stop=Stop(tree="all", grace=grace),
        ) as child:
            assert await line(child) == str(child.pid)
        is_held = told.is_held()
        told.close()
        assert not is_held
        if child.returncode == 3:  # it had the time for it
            break
    assert child.returncode == 3
