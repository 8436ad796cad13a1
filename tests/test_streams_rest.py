"""The rest of the output, once the child has exited (P6)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import pytest
from children import (
    FOREVER,
    QUICK,
    alive,
    held,
    line,
    longer_and_longer,
    needs_members,
)

import within
from within import Stop, process, run
from within._processes import _rest
from within._processes._activity import Activity

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

# One that holds the pipes and never writes.
SILENT = f"sleep {FOREVER} & echo $!"

SOON = Stop(pause=0.02, linger=20)
LATER = Stop(pause=20, linger=60)


@pytest.mark.parametrize("n", range(5))
@pytest.mark.parametrize(
    "script", ["exec > >(cat); echo result", "echo result > >(sed s/^//)"]
)
async def test_p6_the_helper_of_a_process_substitution_gets_to_finish(
    script: str, n: int
) -> None:
    assert (await run("bash", "-c", script)).stdout == b"result\n"
    async with process("bash", "-c", script, stdin=DEVNULL) as child:
        assert [found async for found in child] == ["result\n"]


async def test_p6_output_that_keeps_coming_is_waited_for(silence: int) -> None:
    """Each word comes after the exit, while we wait for it."""
    words = "for word in one two three; do read -r _; echo $word; done"
    script = f"({words}) </dev/fd/{silence} &"
    how: Any = {"pass_fds": [silence], "stop": LATER}
    assert (await run("sh", "-c", script, **how)).stdout == b"one\ntwo\nthree\n"
    async with process("sh", "-c", script, stdin=DEVNULL, **how) as child:
        assert [found async for found in child] == ["one\n", "two\n", "three\n"]


async def test_p6_silence_ends_the_wait_and_the_rest_of_the_group() -> None:
    done = await run("sh", "-c", SILENT, stop=SOON)
    assert not alive(int(done.stdout))
    async with process("sh", "-c", SILENT, stop=SOON, stdin=DEVNULL) as child:
        [pid] = [int(found) async for found in child]
        assert alive(pid)
        assert child.stdout is not None
        with pytest.raises(anyio.EndOfStream):
            await child.stdout.receive()
    assert not alive(pid)


async def test_p6_a_flood_that_never_ends_is_bounded() -> None:
    stop = Stop(pause=20, linger=0.1, grace=0.05)
    began = time.monotonic()
    done = await run(
        "sh", "-c", "while :; do echo flood; done & echo $! >&2", stop=stop
    )
    assert time.monotonic() - began < 15  # a bound for any load
    assert not alive(int(done.stderr))


@needs_members
@pytest.mark.parametrize(
    "work",
    [
        "n=0; while [ $n -lt 50000 ]; do n=$((n+1)); done",
        "for n in $(seq 100); do /bin/true; done",
        "sleep 0.5",  # as one does that waits for the network
    ],
)
async def test_p6_a_helper_is_not_taken_for_silent_while_it_deals_with_the_output(
    work: str,
) -> None:
    script = f"exec > >(cat; {work}; echo done); echo result"
    for pause in (1e-9, 0.01):
        stop = Stop(pause=pause, linger=60)
        done = await run("bash", "-c", script, stop=stop)
        assert done.stdout == b"result\ndone\n"


@needs_members
async def test_p6_none_of_several_helpers_in_a_row_is_taken_for_silent() -> None:
    script = (
        "exec > >(cat | (sleep 0.2; cat) | (cat; sleep 0.2; echo done)); echo result"
    )
    done = await run("bash", "-c", script, stop=Stop(pause=0.01, linger=60))
    assert done.stdout == b"result\ndone\n"


@needs_members
async def test_p6_a_helper_that_reads_a_named_pipe_is_not_taken_for_silent(
    tmp_path: Path,
) -> None:
    """A shell without process substitution uses one for that."""
    script = (
        "mkfifo pipe; (cat; sleep 0.5; echo done >&2) <pipe & exec >pipe; echo result"
    )
    heard: list[int] = []
    before = signal.signal(signal.SIGPIPE, lambda number, _: heard.append(number))
    try:
        stop = Stop(pause=0.01, linger=60)
        done = await run("sh", "-c", script, cwd=tmp_path, stop=stop)
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert (done.stdout, done.stderr) == (b"result\n", b"done\n")
    assert heard == []


async def test_p6_a_named_pipe_with_a_writer_makes_no_helper(tmp_path: Path) -> None:
    began = time.monotonic()
    script = f"mkfifo pipe; exec 3<>pipe; sleep {FOREVER} <pipe & echo hi"
    done = await run("sh", "-c", script, cwd=tmp_path, stop=Stop(linger=40))
    assert done.stdout == b"hi\n"
    assert time.monotonic() - began < 20  # a bound for any load


@pytest.mark.parametrize(
    "job",
    [
        f"sleep {FOREVER} <&3 3<&-",  # it inherits the input of the command
        f"(sleep {FOREVER} | sleep {FOREVER})",  # the writer lives
    ],
)
async def test_p6_a_pipe_as_input_is_not_enough_to_make_a_job_a_helper(
    job: str,
) -> None:
    began = time.monotonic()
    script = f"exec 3<&0; {job} & echo hi"
    done = await run("sh", "-c", script, input=b"x", stop=Stop(linger=40))
    assert done.stdout == b"hi\n"
    assert time.monotonic() - began < 20  # a bound for any load


async def test_p6_a_busy_job_that_never_writes_has_no_more_than_the_pause() -> None:
    began = time.monotonic()
    stop = Stop(pause=0.02, linger=40)
    done = await run("sh", "-c", "while :; do :; done & echo $!", stop=stop)
    assert not alive(int(done.stdout))
    assert time.monotonic() - began < 20  # a bound for any load


class Left:
    """A child that has left one process behind, which does as it is told."""

    def __init__(self) -> None:
        self.doing = Activity(b"S", 0)

    def activity(self) -> dict[int, Activity]:
        return {7: self.doing}

    def has_reader(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("states", "seconds"),
    [
        ([(b"S", 0)], 1),
        ([(b"S", 0.5), (b"S", 0.5)], 1.5),  # it has worked, and then no more
        ([(b"R", 0), (b"R", 0), (b"R", 0), (b"S", 0)], 4),  # it had no turn
        ([(b"R", 0.25), (b"R", 0.5), (b"R", 1)], 2.25),
        ([(b"D", 9), (b"D", 9), (b"S", 9)], 3),
    ],
)
def test_p6_time_in_which_a_process_had_no_turn_does_not_count_as_silence(
    states: list[tuple[bytes, float]], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(_rest.time, "monotonic", lambda: now)
    left: Any = Left()
    rest = _rest.Rest(left, Stop(pause=1, linger=100))
    rest.begin()
    while wait := rest.left():
        now += wait
        if states:
            left.doing = Activity(*states.pop(0))
    assert now == 100 + seconds
    assert states == []


async def test_p6_without_any_pause_the_output_from_before_the_exit_is_read() -> None:
    stop = Stop(pause=0, linger=0)
    for _ in range(5):
        done = await run("sh", "-c", f"sleep {FOREVER} & echo hi", stop=stop)
        assert done.stdout == b"hi\n"


async def test_p6_a_limit_that_passes_after_the_exit_raises_no_error() -> None:
    """The command has ended in time, and its helper has not: the helper is ended."""
    script, stop = f"sleep {FOREVER} & echo hi", Stop(pause=600, linger=600)
    for limit in longer_and_longer():
        with contextlib.suppress(within.ProcessTimeout):  # it has not ended in time
            done = await run("sh", "-c", script, timeout=limit, stop=stop)
            break
    else:
        pytest.fail("the limit has struck each time")
    assert done.stdout == b"hi\n"


async def test_p6_cancelled_meanwhile_it_ends_at_once() -> None:
    began = time.monotonic()
    for orderly in (True, False):
        with within.move_on_after(None) as limit:
            async with anyio.create_task_group() as tasks:

                async def cancel(limit: within.Timeout, child: within.Process) -> None:
                    await child.wait()
                    limit.cancel()

                async with process(
                    "sh", "-c", SILENT, stop=LATER, stdin=DEVNULL
                ) as child:
                    pid = int(await line(child))
                    tasks.start_soon(cancel, limit, child)
                    if not orderly:
                        await line(child)
        assert limit.expired
        assert not alive(pid)
    assert time.monotonic() - began < 15  # a bound for any load


@needs_members
@pytest.mark.parametrize("stdout", [None, "file"])
async def test_p6_output_that_we_do_not_see_is_waited_for_too(
    stdout: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the command line gives a command: no pipes of ours."""
    log = tmp_path_factory.mktemp("log") / "log"
    reading, writing = os.pipe()
    logs = f"read -r _ </dev/fd/{reading}; while read -r x; do echo $x >>{log}; done"

    async def let_it_go_on() -> None:
        await anyio.wait_all_tasks_blocked()  # the end of the block waits for it
        os.write(writing, b"\n")

    with log.with_suffix(".out").open("wb") as file:
        async with anyio.create_task_group() as tasks:
            async with process(
                *("bash", "-c", f"exec > >({logs}); echo one; echo two"),
                stdin=DEVNULL,
                stdout=None if stdout is None else file,
                pass_fds=[reading],
                stop=LATER,
            ) as child:
                await child.wait()
                tasks.start_soon(let_it_go_on)
    os.close(reading)
    os.close(writing)
    assert log.read_text() == "one\ntwo\n"


async def test_p6_output_without_a_reader_is_not_waited_for() -> None:
    """It all goes to /dev/null: nothing is lost, so nothing is awaited."""
    began = time.monotonic()
    script = f"sleep {FOREVER} & exit"
    await run("sh", "-c", script, stdout=DEVNULL, stderr=DEVNULL, stop=LATER)
    assert time.monotonic() - began < 15


# -- what was written while the child was being stopped -------------------------


async def test_p9_output_written_after_the_polite_signal_can_still_be_read() -> None:
    script = (
        "trap 'echo bye; printf left >&2; exit' TERM; echo ready; "
        "while :; do sleep 0.01; done"
    )
    stop = Stop(grace=60)
    async with process("sh", "-c", script, stderr=PIPE, stop=stop) as child:
        assert await line(child) == "ready"
    assert [found async for found in child] == ["bye\n"]
    assert child.stderr is not None
    parts = [part async for part in child.stderr]  # the shell may say something too
    assert b"".join(parts).endswith(b"left")
    with pytest.raises(anyio.EndOfStream):
        await child.stderr.receive()


async def cancel_when_read(child: within.Process, limit: within.Timeout) -> None:
    while held(child.stdout.fileno()):
        await anyio.sleep(0)
    limit.cancel()


async def test_p9_a_line_that_has_not_ended_is_given_after_the_block() -> None:
    script = "printf Password:; echo written >&2; exec sleep 600"
    with within.move_on_after(None) as limit:
        async with process("sh", "-c", script, stderr=PIPE) as child:
            assert child.stderr is not None
            await child.stderr.receive()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_when_read, child, limit)
                await line(child)
    assert [found async for found in child] == ["Password:"]


async def test_p9_at_most_a_mebibyte_of_unread_output_is_kept_and_the_rest_is_told() -> (
    None
):
    script = "trap 'head -c 9000000 /dev/zero; exit 7' TERM; echo; while :; do :; done"
    async with process("sh", "-c", script, stop=Stop(grace=60)) as child:
        await line(child)
    assert child.returncode == 7
    assert child.stdout is not None
    size = 0
    with pytest.raises(anyio.BrokenResourceError) as raised:
        while True:
            size += len(await child.stdout.receive())
    assert 1 << 20 <= size <= (1 << 20) + (1 << 18)
    assert f"{9_000_000 - size} bytes are missing" in str(raised.value.__cause__)


async def test_p9_unread_output_of_less_than_a_mebibyte_ends_without_an_error() -> None:
    script = "trap 'head -c 1000000 /dev/zero; exit 7' TERM; echo; while :; do :; done"
    async with process("sh", "-c", script, stop=Stop(grace=60)) as child:
        await line(child)
    assert child.stdout is not None
    assert sum([len(part) async for part in child.stdout]) == 1_000_000


async def test_p9_after_wait_the_rest_can_still_be_read() -> None:
    async with process("sh", "-c", "echo one; echo two", stdin=DEVNULL) as child:
        await child.wait()
        assert [found async for found in child] == ["one\n", "two\n"]


async def test_p6_stderr_that_goes_to_stdout_counts_as_seen() -> None:
    script = f"sleep {FOREVER} & echo hi"
    done = await run("sh", "-c", script, stderr=subprocess.STDOUT, stop=QUICK)
    assert done.stdout == b"hi\n"


async def test_p6_two_streams_are_read_at_once_and_each_of_them_ends() -> None:
    script = f"sleep {FOREVER} & echo out; echo err >&2"
    ended: list[bytes] = []

    async def read(stream: Any) -> None:
        ended.append(b"".join([part async for part in stream]))

    before = os.listdir("/proc/self/fd")
    async with process("sh", "-c", script, stderr=PIPE, stop=SOON) as child:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, child.stdout)
            tasks.start_soon(read, child.stderr)
            await child.wait()
    assert sorted(ended) == [b"err\n", b"out\n"]
    assert os.listdir("/proc/self/fd") == before
