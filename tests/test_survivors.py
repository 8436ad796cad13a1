"""Stop(survivors="leave"): what a child leaves behind lives on, unless the child had to
be stopped (P3, P4).
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from children import ALL, FOREVER, alive, line, longer_and_longer, needs_members

import within
from within import DEVNULL, PIPE, Stop, process, run
from within._processes._command import Command
from within._processes._posix._child import Child

pytestmark = pytest.mark.anyio

LEAVE = Stop(survivors="leave", close_stdin=60, grace=60)

# Starts a child of its own, prints its pid, and exits when its input ends.
GRACEFUL = f"sleep {FOREVER} & echo $!; read line; exit 3"

# The same, but exits only when it is told to. (The inner shell speaks when it has no trap: a
# signal that came between the fork and the exec of the outer one would be lost.)
STUBBORN = (
    f"trap 'exit 3' TERM; sh -c 'echo $$; exec sleep {FOREVER}' & "
    "while :; do sleep 0.01; done"
)


@pytest.fixture
def survivors() -> Iterator[list[int]]:
    """The pids of processes that a test leaves running, which are ended here."""
    found: list[int] = []
    yield found
    for pid in found:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


async def test_p3_a_survivor_of_a_graceful_end_lives_on(survivors: list[int]) -> None:
    async with process("sh", "-c", GRACEFUL, stop=LEAVE) as child:
        survivors.append(int(await line(child)))
    assert child.returncode == 3
    assert child.usage is not None
    assert alive(survivors[0])


@pytest.mark.parametrize("tree", ["group", ALL])
async def test_p3_the_default_ends_it(tree: Any, nothing_is_left: None) -> None:
    stop = Stop(close_stdin=60, grace=60, tree=tree)
    async with process("sh", "-c", GRACEFUL, stop=stop) as child:
        pid = int(await line(child))
    assert child.returncode == 3
    assert not alive(pid)


@pytest.mark.parametrize("tree", ["group", ALL])
async def test_p4_a_child_that_had_to_be_stopped_takes_its_tree_along(
    tree: Any, nothing_is_left: None
) -> None:
    stop = Stop(survivors="leave", grace=60, tree=tree)
    async with process("sh", "-c", STUBBORN, stop=stop) as child:
        pid = int(await line(child))
    assert child.returncode == 3
    assert not alive(pid)


async def test_p25_a_child_that_is_stopped_first_takes_its_tree_along(
    nothing_is_left: None,
) -> None:
    stop = Stop(survivors="leave", grace=60, first="child")
    async with process("sh", "-c", STUBBORN, stop=stop) as child:
        pid = int(await line(child))
    assert child.returncode == 3
    assert not alive(pid)


@needs_members  # elsewhere, wait() ends the others already
@pytest.mark.parametrize("end", ["terminate", "kill"])
async def test_p4_a_child_that_you_stop_takes_its_tree_along(
    end: str, nothing_is_left: None
) -> None:
    async with process("sh", "-c", GRACEFUL, stop=LEAVE) as child:
        pid = int(await line(child))
        getattr(child, end)()
        await child.wait()
        assert alive(pid)
    assert not alive(pid)


async def test_p4_another_signal_of_yours_does_not_count(survivors: list[int]) -> None:
    script = f"trap 'echo reloaded' USR1; {GRACEFUL}".replace("exit 3", "read line")
    async with process("sh", "-c", script, stop=LEAVE) as child:
        survivors.append(int(await line(child)))
        child.send_signal(signal.SIGUSR1)
        assert await line(child) == "reloaded"
    assert alive(survivors[0])


async def test_p3_run_leaves_a_daemon_running(survivors: list[int]) -> None:
    script = f"sleep {FOREVER} & echo $!"
    done = await run("sh", "-c", script, text=True, stop=LEAVE)
    survivors.append(int(done.stdout))
    assert alive(survivors[0])


async def test_p9_a_run_under_a_limit_takes_its_tree_along(
    nothing_is_left: None,
) -> None:
    script = f"sleep {FOREVER} & echo $!; wait"
    stop = Stop(survivors="leave", grace=60)
    for limit in longer_and_longer():
        with pytest.raises(within.ProcessTimeout) as caught:
            await run("sh", "-c", script, text=True, stop=stop, timeout=limit)
        if caught.value.stdout:
            break
    assert not alive(int(caught.value.stdout))


@needs_members
async def test_p6_its_output_to_a_file_is_not_waited_for(
    survivors: list[int], tmp_path: Any
) -> None:
    stop = Stop(survivors="leave", pause=60, linger=60)
    with (tmp_path / "output").open("w+") as file:
        with within.timeout(30):
            script = f"sleep {FOREVER} & echo $!"
            await run("sh", "-c", script, stdout=file, stderr=DEVNULL, stop=stop)
        file.seek(0)
        survivors.append(int(file.read()))
    assert alive(survivors[0])


@needs_members  # elsewhere, wait() has reaped the child
async def test_p25_the_tree_can_be_ended_after_the_exit(nothing_is_left: None) -> None:
    async with process("sh", "-c", GRACEFUL, stop=LEAVE) as child:
        pid = int(await line(child))
        await child.write("\n")
        assert await child.wait() == 3
        assert alive(pid)
        child.send_signal(signal.SIGTERM, tree=True)
    assert not alive(pid)


async def test_p14_a_process_that_is_dropped_after_its_exit(
    survivors: list[int],
) -> None:
    child = await process("sh", "-c", GRACEFUL, stop=LEAVE, stdin=PIPE)
    survivors.append(int(await line(child)))
    await child.write("\n")
    assert await child.wait() == 3
    del child  # a warning would be an error
    assert alive(survivors[0])


@needs_members
async def test_p19_the_guard_forgets_the_survivors(survivors: list[int]) -> None:
    stop = LEAVE.__replace__(die_with_parent=True)
    async with process("sh", "-c", GRACEFUL, stop=stop) as child:
        survivors.append(int(await line(child)))
    assert alive(survivors[0])


def test_p4_a_child_that_exits_just_before_the_signal_is_spared(
    survivors: list[int],
) -> None:
    script = f"sleep {FOREVER} <&- >&- 2>&- & echo $!"
    with Child(Command(("sh", "-c", script), {}), LEAVE) as child:
        output = child.start(DEVNULL, PIPE, None).stdout
        assert output is not None
        select.select([child.exit_fd], [], [])
        survivors.append(int(os.read(output, 100)))
        child.signal_tree(signal.SIGTERM)  # the stop has not noticed the exit
        assert child.is_spared()
    assert alive(survivors[0])
