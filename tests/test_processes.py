"""Children on every loop: started, talked to, stopped, and nothing left of them.

Nothing waits on a delay: a test hears from its child through a pipe, and learns
that one is gone by asking the kernel for its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from conftest import Leftovers, Ticks
from hypothesis import HealthCheck, example, given, settings, strategies as st

import within
from within import Stop, process, run
from within._processes import _exit, _tree

pytestmark = pytest.mark.anyio

FOREVER = "600"
QUICK = Stop(grace=0.05)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Any:
    """Of asynchronous tests it is asked inside of the loop, of others outside."""
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("no_leftovers")
        yield
        return
    with Leftovers():
        yield


def alive(pid: int) -> bool:
    return _tree.is_alive(pid)


async def line(child: within.Process) -> str:
    async for found in child:
        return found.strip()
    raise EOFError


# -- P1, P2 ------------------------------------------------------------------


async def test_p1_entered() -> None:
    async with process("cat") as child:
        assert child.stdin is not None
        await child.stdin.send(b"hello\nworld\n")
        await child.stdin.aclose()
        assert [found async for found in child] == ["hello\n", "world\n"]
    assert child.returncode == 0


async def test_p1_awaited() -> None:
    child = await process("sleep", FOREVER)
    assert child.returncode is None
    assert alive(child.pid)
    await child.aclose()
    assert child.returncode == -signal.SIGTERM
    await child.aclose()  # again: nothing


async def test_p1_awaited_and_then_entered() -> None:
    async with await process("sleep", FOREVER) as child:
        pass
    assert child.returncode == -signal.SIGTERM


async def test_p1_twice_and_never_are_told_plainly() -> None:
    opening = process("true")
    async with opening:
        pass
    with pytest.raises(RuntimeError, match="call process again"):
        await opening
    with pytest.warns(RuntimeWarning, match="'process' was never awaited"):
        process("true")
        gc.collect()


BAD_COMMANDS: list[Any] = [
    ((), ValueError, "no command"),
    (("",), ValueError, "empty"),
    ((b"",), ValueError, "empty"),
    (("a\0b",), ValueError, r"'a\\x00b'"),
    (("ls", b"\0"), ValueError, "NUL"),
    ((["ls", "-l"],), TypeError, r"\['ls', '-l'\]"),
    (("sleep", 1), TypeError, "argument 1 is 1"),
    ((None,), TypeError, "None"),
]


@pytest.mark.parametrize(("command", "kind", "words"), BAD_COMMANDS)
async def test_p2_a_bad_command_is_told_before_anything_starts(
    command: tuple[Any, ...], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        process(*command)
    with pytest.raises(kind, match=words):
        await run(*command)


async def test_p2_where_there_are_no_processes_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "waitid")
    with pytest.raises(NotImplementedError, match="waitid"):
        process("true")
    monkeypatch.setattr(sys, "platform", "win32")
    for start in (process, run):
        with pytest.raises(NotImplementedError, match="POSIX"):
            await start("true")


@pytest.mark.parametrize("start", [process, run])
async def test_p2_what_cannot_be_started_is_the_kernels_error(
    start: Any, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        await start("no-such-program")
    with pytest.raises(PermissionError, match="plain"):
        await start(plain)
    with pytest.raises(FileNotFoundError) as raised:
        await start("true", cwd=tmp_path / "gone")
    assert str(raised.value.filename) == str(tmp_path / "gone")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("shell", True, '"sh", "-c"'),
        ("bufsize", 1, "not buffered"),
        ("process_group", 0, "tree="),
        ("colour", 1, "see subprocess.Popen"),
    ],
)
async def test_p2_options_that_make_no_sense_are_refused_by_name(
    option: str, value: Any, words: str
) -> None:
    for start in (process, run):
        with pytest.raises(TypeError, match=f"{option}=.*{words}"):
            await start("true", **{option: value})


async def test_p2_words_may_be_bytes_and_paths() -> None:
    done = await run(Path("/bin/echo"), b"\xff", Path("a b"))
    assert done.stdout == b"\xff a b\n"


async def test_p2_options_that_make_sense_are_passed_on(tmp_path: Path) -> None:
    done = await run(
        "sh",
        "-c",
        "pwd; echo $WORD; umask",
        cwd=tmp_path,
        env={"WORD": "w"},
        umask=0o27,
    )
    assert done.stdout.decode().split() == [str(tmp_path.resolve()), "w", "0027"]
    done = await run(
        "sh", "-c", "ps -o sid= -p $$; echo $$", text=True, start_new_session=True
    )
    assert len(set(done.stdout.split())) == 1


# -- P3, P4: the end ----------------------------------------------------------

FAMILY = f"sleep {FOREVER} & echo $!; sleep {FOREVER} & echo $!; echo $$; wait"


async def family(child: within.Process) -> list[int]:
    return [int(await line(child)) for _ in range(3)]


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
    """It writes far more than a pipe holds before it goes: nobody else reads it."""
    script = "trap 'head -c 1000000 /dev/zero; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    async with process("sh", "-c", script) as child:
        assert await line(child) == "ready"
    assert child.returncode == 7


async def test_p4_stdin_is_closed_first_and_time_given() -> None:
    async with process("cat", stop=Stop(close_stdin=60)) as child:
        pass
    assert child.returncode == 0


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


async def test_p3_a_child_that_has_exited_leaves_no_family_either() -> None:
    script = f"(trap '' TERM; echo $$; exec sleep {FOREVER}) & exit 3"
    async with process("sh", "-c", f"sleep {FOREVER} & echo $!; exit 3") as child:
        pid = int(await line(child))
        assert await child.wait() == 3
        assert alive(pid)
        assert child.usage is None  # kept unreaped, so that its group is its own
    assert not alive(pid)
    assert child.usage is not None
    assert script


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


async def test_p3_dropped_while_open_it_is_killed_and_said() -> None:
    child = await process("sleep", FOREVER)
    pid = child.pid
    with pytest.warns(ResourceWarning, match=f"sleep {FOREVER}.*dropped while open"):
        del child
        gc.collect()
    assert not alive(pid)


async def test_p3_cancelled_on_the_way_out_nobody_is_left_waiting(
    on_asyncio: bool,
) -> None:
    """Who reads is told, and the descriptor's number is free for the next child."""
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
                child._dropped()
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


async def test_p5_the_number_is_kept_until_the_group_is_gone() -> None:
    async with process("sh", "-c", f"sleep {FOREVER} & echo; exit 0") as child:
        await line(child)
        await child.wait()
        # A zombie still: nobody else can have its number, or its group's.
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


# -- P7 ----------------------------------------------------------------------


async def test_p7_who_has_left_the_group_is_ended_too() -> None:
    script = f"setsid sh -c 'trap \"\" TERM; echo $$; exec sleep {FOREVER}' & wait"
    stop = Stop(tree="all", grace=0.05)
    async with process("sh", "-c", script, stop=stop) as child:
        pid = int(await line(child))
        assert os.getpgid(pid) != child.pid
    assert not alive(pid)


# -- P8, P9, P12: run --------------------------------------------------------


async def test_p8_three_pipes_at_once() -> None:
    """More than any pipe holds in each direction, so that turns would block."""
    data = os.urandom(3_000_000)
    done = await run("sh", "-c", "tee /dev/stderr", input=data)
    assert (done.stdout == data, done.stderr == data) == (True, True)


async def test_p8_input_that_nobody_reads() -> None:
    done = await run("sh", "-c", "exec <&-; echo done", input=bytes(1_000_000))
    assert done.stdout == b"done\n"


async def test_p9_what_came_before_the_limit_is_kept() -> None:
    script = f"echo out; echo err >&2; echo $$; sleep {FOREVER} & wait"
    with pytest.raises(within.ProcessTimeout) as raised:
        await run("sh", "-c", script, timeout=1, stop=QUICK)
    error = raised.value
    assert isinstance(error, subprocess.TimeoutExpired)
    assert isinstance(error, within.DeadlineExceeded)
    assert error.stdout.startswith(b"out\n")
    assert (error.stderr, error.timeout) == (b"err\n", 1)
    assert error.cmd == ("sh", "-c", script)
    assert "'sh' exceeded its limit of 1 s" in str(error)
    assert not alive(int(error.stdout.split()[1]))


async def test_p9_what_it_says_on_its_way_out_is_kept_too() -> None:
    script = "trap 'echo bye; exit' TERM; echo hi; while :; do sleep 0.01; done"
    with pytest.raises(within.ProcessTimeout) as raised:
        await run("sh", "-c", script, timeout=1, text=True)
    assert raised.value.stdout == "hi\nbye\n"


async def test_p9_an_enclosing_deadline_is_not_a_process_timeout() -> None:
    with within.move_on_after(0.05) as limit:
        await run("sleep", FOREVER, timeout=600)
    assert limit.cancelled_caught


async def test_p9_a_failure_carries_the_end_of_stderr() -> None:
    script = "seq 10000 >&2; echo last words >&2; exit 3"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("sh", "-c", script)
    error = raised.value
    assert (error.returncode, error.stdout) == (3, b"")
    [note] = error.__notes__
    assert note.startswith("stderr ends with:")
    assert note.endswith("last words")
    assert len(note) < 3000
    assert (await run("sh", "-c", script, check=False)).returncode == 3


async def test_p9_output_that_is_no_text_does_not_hide_a_failure() -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("sh", "-c", "printf 'a\\377'; exit 3", text=True)
    assert (raised.value.returncode, raised.value.stdout) == (3, "a\ufffd")
    with pytest.raises(UnicodeDecodeError):
        await run("printf", "\\377", text=True)


async def test_p2_who_is_cancelled_starts_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for _ in range(10):
        with within.move_on_after(0):
            await run("touch", made)
        with pytest.raises(within.ProcessTimeout) as raised:
            await run("touch", made, timeout=0)
        assert (raised.value.stdout, raised.value.stderr) == (b"", b"")
        with within.move_on_after(0):
            async with process("touch", made):
                pass
    assert not made.exists()


async def test_p12_max_output_stops_it_and_keeps_what_there_is() -> None:
    with pytest.raises(
        subprocess.CalledProcessError, match="max_output=1000"
    ) as raised:
        await run("yes", max_output=1000)
    assert raised.value.stdout == b"y\n" * 500
    done = await run("printf", "12345", max_output=5)
    assert done.stdout == b"12345"


async def test_p12_an_unread_pipe_stops_the_child_and_not_our_memory() -> None:
    async with process("yes") as child:
        assert child.stdout is not None
        await child.stdout.receive(1)
        await anyio.wait_all_tasks_blocked()
        assert child.returncode is None


async def test_run_text_and_streams() -> None:
    done = await run("cat", input="å\r\nb\rc\n", text=True)
    assert done.stdout == "å\nb\nc\n"
    done = await run("sh", "-c", "echo out; echo err >&2", stderr=subprocess.STDOUT)
    assert (done.stdout, done.stderr) == (b"out\nerr\n", None)
    done = await run("sh", "-c", "echo out", stdout=subprocess.DEVNULL)
    assert done.stdout is None
    assert isinstance(done, subprocess.CompletedProcess)
    assert (await run("cat", stdin=subprocess.PIPE)).stdout == b""
    with open("/etc/passwd", "rb") as file:
        assert (await run("cat", stdin=file)).stdout == Path("/etc/passwd").read_bytes()


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"input": "text"}, TypeError, "text=True"),
        ({"input": b"bytes", "text": True}, TypeError, "takes str"),
        ({"input": 5}, TypeError, "int"),
        ({"input": b"", "stdin": 0}, ValueError, "exclude each other"),
        ({"max_output": -1}, ValueError, "-1"),
        ({"max_output": 2.5}, TypeError, "2.5"),
        ({"stop": 5}, TypeError, "within.Stop"),
        ({"timeout": "5"}, TypeError, "'5'"),
        ({"timeout": float("nan")}, ValueError, "NaN"),
    ],
)
async def test_run_bad_arguments(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await run("true", **options)


# -- P10, P11, P17: streams and lines ------------------------------------------


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(text="a\r\nb\rc\n\n\u2028ä", cuts=[2, 11])
@given(
    text=st.text(
        st.one_of(
            st.sampled_from("\r\n\n\u2028\x0bä€😀"), st.characters(codec="utf-8")
        ),
        max_size=200,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
async def test_p10_lines_are_those_that_a_text_file_gives(
    text: str, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the bytes are cut, within a character or between \\r and \\n."""
    data = text.encode()
    path = tmp_path_factory.mktemp("lines") / "text"
    path.write_bytes(data)
    with path.open(encoding="utf-8") as file:
        expected = list(file)
    edges = sorted({0, len(data), *[cut for cut in cuts if cut < len(data)]})
    got = []
    async with process("cat") as child:
        assert child.stdin is not None

        async def write() -> None:
            assert child.stdin is not None
            for start, end in pairwise(edges):
                await child.stdin.send(data[start:end])
                await anyio.wait_all_tasks_blocked()
            await child.stdin.aclose()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            got = [found async for found in child]
    assert got == expected


async def test_p10_a_line_of_any_length() -> None:
    async with process("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo") as p:
        assert [len(found) async for found in p] == [3_000_001]


async def test_p10_max_line_bounds_them() -> None:
    with pytest.raises(ValueError, match="max_line=10"):
        async with process("printf", "short\nmuch too long a line\n", max_line=10) as p:
            lines = []
            async for found in p:
                lines.append(found)
    assert lines == ["short\n"]
    with pytest.raises(ValueError, match="max_line"):
        async with process("yes", "no end of it", max_line=5) as p:
            await line(p)
    with pytest.raises(ValueError, match="0"):
        process("true", max_line=0)


async def test_p10_what_cannot_be_decoded_is_told_after_what_can() -> None:
    async with process("printf", "one\ntwo\n\\377bad\nthree\n") as p:
        got = []
        for _ in range(2):
            with pytest.raises(UnicodeDecodeError):
                async for found in p:
                    got.append(found)
    assert got == ["one\n", "two\n"]


async def test_p10_max_line_does_not_count_the_line_ending() -> None:
    async with process("printf", "abc\nabc", max_line=3) as p:
        assert [found async for found in p] == ["abc\n", "abc"]


async def test_p10_lines_need_a_pipe_and_a_known_encoding() -> None:
    async with process("true", stdout=None) as child:
        with pytest.raises(TypeError, match="stdout=PIPE"):
            await line(child)
    with pytest.raises(LookupError):
        process("true", encoding="klingon")


async def test_p11_a_cancelled_read_loses_nothing() -> None:
    async with process("cat") as child:
        assert child.stdin is not None
        got: list[str] = []
        for number in range(20):
            with within.move_on_after(0.001):
                got.append(await line(child))
                pytest.fail("there was no line")
            await child.stdin.send(b"half ")
            with within.move_on_after(0.001):
                got.append(await line(child))
                pytest.fail("the line was not complete")
            await child.stdin.send(f"{number}\n".encode())
            got.append(await line(child))
    assert got == [f"half {number}" for number in range(20)]


async def test_p17_streams_are_anyios() -> None:
    async with process(
        "sh", "-c", "cat; echo complaint >&2", stderr=subprocess.PIPE
    ) as p:
        assert p.stdin is not None
        assert p.stdout is not None
        assert p.stderr is not None
        await p.stdin.send("grüße".encode())
        await p.stdin.send(b"")
        await p.stdin.aclose()
        text = TextReceiveStream(p.stdout)
        assert "".join([part async for part in text]) == "grüße"
        assert [part async for part in p.stderr] == [b"complaint\n"]
        with pytest.raises(anyio.EndOfStream):
            await p.stdout.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await p.stdin.send(b"more")
        with pytest.raises(ValueError, match="0"):
            await p.stdout.receive(0)
    with pytest.raises(anyio.ClosedResourceError):
        await p.stdout.receive()
    assert "closed" in repr(p.stdout)


async def test_p17_a_reader_that_is_gone() -> None:
    async with process("sh", "-c", "exec <&-; echo closed; exec sleep 600") as child:
        await line(child)
        assert child.stdin is not None
        with pytest.raises(anyio.BrokenResourceError):
            await child.stdin.send(b"hello?")


async def test_p17_two_readers_of_one_stream() -> None:
    async with process("sleep", FOREVER) as child:
        assert child.stdout is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.stdout.receive)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await child.stdout.receive()
            tasks.cancel_scope.cancel()


async def test_p17_closed_while_another_task_reads() -> None:
    ended = []

    async def read() -> None:
        assert child.stdout is not None
        with pytest.raises(anyio.ClosedResourceError):
            await child.stdout.receive()
        ended.append("read")

    async def write() -> None:
        assert child.stdin is not None
        with pytest.raises(anyio.ClosedResourceError):
            await child.stdin.send(bytes(1_000_000))
        ended.append("write")

    async with process("sleep", FOREVER) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            await child.stdout.aclose()
            await child.stdin.aclose()
            await child.stdin.aclose()
    assert sorted(ended) == ["read", "write"]


async def test_p17_the_block_is_left_while_other_tasks_use_the_child() -> None:
    ended = []

    async def read() -> None:
        # Whichever comes first: the end of the child, or of the stream.
        with pytest.raises((EOFError, anyio.ClosedResourceError)):
            await line(child)
        ended.append("read")

    async def wait() -> None:
        ended.append(await child.wait())

    async with anyio.create_task_group() as tasks:
        async with process("sleep", FOREVER) as child:
            tasks.start_soon(read)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
    assert "read" in ended
    assert -signal.SIGTERM in ended


# -- P13 ---------------------------------------------------------------------


async def test_p13_usage_is_the_childs_own() -> None:
    burn = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: bytes(5_000_000)"
    done = await run(sys.executable, "-c", burn)
    assert done.usage is not None
    assert done.usage.user + done.usage.system >= 0.15
    assert done.usage.wall >= 0.15
    assert done.usage.max_rss > 5_000_000
    async with process("true") as child:
        assert await child.wait() == 0
        assert child.usage is not None


# -- P15, P16 ------------------------------------------------------------------


async def test_p15_without_pidfd_a_thread_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    done = await run("sh", "-c", f"echo hi; sleep {FOREVER} & echo $!", text=True)
    assert not alive(int(done.stdout.split()[1]))
    async with process("sleep", FOREVER) as child:
        with within.move_on_after(0):
            await child.wait()
    assert child.returncode == -signal.SIGTERM
    with pytest.raises(within.ProcessTimeout):
        await run("sh", "-c", FAMILY, timeout=0.1)
    join_waiting_threads()


def join_waiting_threads() -> None:
    """Each ends with its child, but closes its pipe when it comes to that."""
    for thread in threading.enumerate():
        if thread.name.startswith("within-wait"):
            thread.join()


async def test_p15_a_sandbox_that_forbids_pidfd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", forbidden)
    assert (await run("echo", "hi")).stdout == b"hi\n"
    join_waiting_threads()


async def test_p16_sigchld_is_ignored() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.warns(RuntimeWarning, match="reaped by somebody else"):
            done = await run("echo", "hi", check=False)
        assert (done.stdout, done.returncode) == (b"hi\n", 255)
        with pytest.warns(RuntimeWarning, match="reaped by somebody else"):
            async with process("sleep", FOREVER) as child:
                pass
        assert not alive(child.pid)
        with pytest.warns(RuntimeWarning, match="reaped by somebody else"):
            done = await run("sh", "-c", f"sleep {FOREVER} & echo $!", check=False)
        assert not alive(int(done.stdout))
    finally:
        signal.signal(signal.SIGCHLD, before)


async def test_p16_sigchld_is_ignored_and_it_was_gone_before_we_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pidfd_open, opened = os.pidfd_open, []

    def late(pid: int) -> int:
        if not opened:
            opened.append(pid)
            while alive(pid):
                pass
        return pidfd_open(pid)

    monkeypatch.setattr(os, "pidfd_open", late)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.warns(RuntimeWarning, match="reaped by somebody else"):
            done = await run("sh", "-c", f"sleep {FOREVER} & echo $!", check=False)
        assert not alive(int(done.stdout))
    finally:
        signal.signal(signal.SIGCHLD, before)


async def test_p16_descriptors_run_out_while_it_runs() -> None:
    """There is no politeness without descriptors; but nobody survives either."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hog: list[int] = []
    script = f"sleep {FOREVER} & echo $!; read x"
    for tree in ("group", "all"):
        stop = Stop(tree=tree)  # type: ignore[arg-type]
        child = await process("sh", "-c", script, stop=stop)
        pid = int(await line(child))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            with contextlib.suppress(OSError):
                while True:
                    hog.append(os.open(os.devnull, os.O_RDONLY))
            with contextlib.suppress(OSError):
                await child.aclose()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            while hog:
                os.close(hog.pop())
        assert not alive(child.pid)
        with within.timeout(60):  # killed with its group, not waited for
            while alive(pid):
                await anyio.sleep(0)


async def test_p16_no_descriptor_is_left_for_the_exit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", full)
    for start in (process, run):
        with pytest.raises(OSError, match="Too many open files"):
            await start("sleep", FOREVER)


@pytest.mark.parametrize("failing", range(1, 5))
async def test_p16_no_descriptor_is_left_for_a_pipe(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    pipe = os.pipe

    def full() -> tuple[int, int]:
        nonlocal made
        made += 1
        if made == failing:
            raise OSError(24, "Too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", full)
    with pytest.raises(OSError, match="Too many open files"):
        await process("sleep", FOREVER, stderr=subprocess.PIPE)


def test_exit_of_a_child_that_is_gone_already() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    fd = _exit.open_exit(child.pid)
    assert os.read(fd, 1) == b""
    os.close(fd)


# -- words -------------------------------------------------------------------


async def test_repr_says_what_runs_and_how_it_ended() -> None:
    async with process("sh", "-c", "read x; exit 3") as child:
        assert repr(child) == f"<Process {child.pid} 'sh -c read x; exit 3' running>"
        assert child.args == ("sh", "-c", "read x; exit 3")
        assert child.stdin is not None
        await child.stdin.aclose()
        await child.wait()
    assert repr(child).endswith("exited with 3>")
    async with process("sleep", FOREVER) as child:
        pass
    assert repr(child).endswith("ended by signal 15>")


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"grace": -1}, ValueError, "grace is -1"),
        ({"close_stdin": "1"}, TypeError, "close_stdin is '1'"),
        ({"grace": float("nan")}, ValueError, "NaN"),
        ({"signal": "TERM"}, TypeError, "'TERM'"),
        ({"signal": 4000}, ValueError, "4000"),
        ({"signal": True}, TypeError, "True"),
        ({"tree": "forest"}, ValueError, "forest"),
    ],
)
def test_stop_checks_itself(options: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Stop(**options)


def test_stop_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Stop().grace = 3  # type: ignore[misc]
    assert warnings is not None
