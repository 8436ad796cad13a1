"""The rules of processes on Windows. The modules for POSIX have more of each rule."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import within
from within import ProcessTimeout, Stop, process, run
from within.testing import backends

if sys.platform != "win32":
    pytest.skip("these are the tests for Windows", allow_module_level=True)

from windows.programs import (
    FAMILY,
    FOREVER,
    HANDLER,
    QUICK,
    Watched,
    family,
    handles,
    is_gone,
    is_wine,
    line,
    long_enough,
    python,
)
from within._processes._windows import _child

# The Proactor loop, trio, and the selector loop, which has no pipes of its own.
SELECTOR = ("asyncio", {"loop_factory": asyncio.SelectorEventLoop})
LOOPS = {"proactor": backends()[0], "trio": ("trio", {}), "selector": SELECTOR}

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS.values(), ids=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_the_example_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    with within.move_on_after(0.01) as limit:
        await anyio.sleep(10)
    print("cut short:", limit.cancelled_caught)
    sleeps = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {FOREVER!r}])"
    )
    try:
        limit_of_run = await long_enough()
        await run(*python(f"print('so far'); {sleeps}.wait()"), timeout=limit_of_run)
    except ProcessTimeout as error:
        print("output:", error.stdout)
    cat = "import sys\nfor line in sys.stdin: print(line, end='')"
    async with process(*python(cat)) as child:
        assert child.stdin is not None
        await child.stdin.send(b"hello\n")
        async for found in child:
            print("cat answers:", found.rstrip())
            break
    expected = "cut short: True\noutput: b'so far\\r\\n'\ncat answers: hello\n"
    assert capsys.readouterr().out == expected


# -- P2: the start ------------------------------------------------------------


@pytest.mark.parametrize("start", [process, run])
async def test_p2_what_cannot_be_started_is_named(start: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        await start("no such program")
    assert missing.value.filename == "no such program"
    for bad in (tmp_path / "missing", Path(__file__)):
        with pytest.raises((FileNotFoundError, NotADirectoryError)) as nowhere:
            await start(*python("pass"), cwd=bad)
        assert nowhere.value.filename == str(bad)


async def test_p2_a_batch_file_gets_no_argument_that_its_shell_would_run(
    tmp_path: Path,
) -> None:
    batch = tmp_path / "hello.bat"
    batch.write_text("@echo hello %1\n")
    found = await run(batch, "you there", text=True)
    assert found.stdout.strip() == 'hello "you there"'
    for bad in ("a&calc", "%PATH%", 'a" & calc', "a\ncalc"):
        with pytest.raises(ValueError, match="batch file"):
            await run(batch, bad)


async def test_p2_the_environment_and_the_arguments_arrive() -> None:
    words = ["", "a b", 'quo"te', "back\\slash\\", "ümläut", "%PATH%"]
    program = "import os, sys; print(ascii((sys.argv[1:], os.environ['WITHIN_X'])))"
    environment = {**os.environ, "WITHIN_X": "ä"}
    found = await run(*python(program), *words, env=environment, text=True)
    assert found.stdout.strip() == ascii((words, "ä"))


# -- P3, P5, P19: the tree ----------------------------------------------------


@pytest.mark.parametrize("how", ["end", "error", "cancelled", "limit", "dropped"])
async def test_p3_p7_no_descendant_outlives_the_block(how: str) -> None:
    found: list[Watched] = []
    with anyio.move_on_after(None) as scope:
        try:
            with within.move_on_after(None) as limit:
                async with process(*python(FAMILY), stop=QUICK) as child:
                    found = await family(child)
                    assert not any(one.is_dead() for one in found)
                    if how == "error":
                        raise ZeroDivisionError
                    if how == "cancelled":
                        scope.cancel()
                        await anyio.sleep(600)
                    if how == "limit":
                        limit.cancel()
                        await anyio.sleep(600)
                    if how == "dropped":
                        child._child.end_now()
        except ZeroDivisionError:
            assert how == "error"
    assert len(found) == 4
    assert [one.is_dead() for one in found] == [True] * 4


async def test_p3_a_child_alone_leaves_its_own_children_be() -> None:
    started = "import subprocess, sys; print(subprocess.Popen("
    started += f"[sys.executable, '-c', {FOREVER!r}], stdout=-3).pid); {FOREVER}"
    stop = Stop(grace=0.05, tree="child")
    async with process(*python(started), stop=stop) as child:
        other = Watched(int(await line(child)))
    assert child.returncode is not None
    assert not other.is_dead()
    os.kill(other.pid, 9)
    assert other.wait(10)


def test_p19_nothing_outlives_a_program_that_is_killed() -> None:
    program = f"""
import asyncio, sys, within
async def main():
    async with within.process(sys.executable, "-c", {FAMILY!r}, stdout=None) as child:
        await child.wait()
asyncio.run(main())
"""
    parent = subprocess.Popen(python(program), stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        found = [Watched(int(pid)) for pid in parent.stdout.readline().split()]
        assert not any(one.is_dead() for one in found)
        parent.kill()
        assert [one.wait(10) for one in found] == [True] * 4


# -- P4: the stop sequence -----------------------------------------------------


async def test_p4_the_child_is_asked_first() -> None:
    asked = HANDLER + "handle(lambda event: (print('asked', event), os._exit(7)))\n"
    asked += "print('ready'); time.sleep(600)"
    async with process(*python(asked), stop=Stop(grace=60)) as child:
        assert await line(child) == "ready"
    assert child.returncode == 7
    assert [text async for text in child] == ["asked 1\n"]


async def test_p4_a_stubborn_child_is_killed_after_the_grace() -> None:
    stubborn = HANDLER + "handle(lambda event: print('no') or 1)\n"
    stubborn += "print('ready'); time.sleep(600)"
    async with process(*python(stubborn), stop=Stop(grace=0.5)) as child:
        assert await line(child) == "ready"
        began = time.monotonic()
    assert 0.5 <= time.monotonic() - began < 10
    assert child.returncode == 1
    assert [text async for text in child] == ["no\n"]


async def test_p4_a_child_may_end_by_itself_when_its_input_ends() -> None:
    reads = "import sys; print('ready'); sys.stdin.read(); sys.exit(5)"
    async with process(*python(reads), stop=Stop(close_stdin=60)) as child:
        assert await line(child) == "ready"
    assert child.returncode == 5


async def test_p4_a_child_that_cannot_be_asked_is_killed_without_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program without a console has no way to send CTRL_BREAK_EVENT."""
    monkeypatch.setattr(_child, "send_break", lambda group: False)
    async with process(*python(f"print('ready'); {FOREVER}")) as child:
        assert await line(child) == "ready"
        began = time.monotonic()
    assert time.monotonic() - began < Stop().grace
    assert child.returncode == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGABRT", "CTRL_C_EVENT"])
async def test_p4_a_signal_that_windows_cannot_send_is_refused(name: str) -> None:
    import signal

    number = getattr(signal, name)
    with pytest.raises(NotImplementedError, match="on Windows"):
        await process(*python("pass"), stop=Stop(signal=number))
    async with process(*python(FOREVER), stop=QUICK) as child:
        with pytest.raises(NotImplementedError, match="on Windows"):
            child.send_signal(number)


async def test_p5_signals_to_a_child_that_has_ended_do_nothing() -> None:
    async with process(*python("pass")) as child:
        assert await child.wait() == 0
        child.terminate()
        child.kill()
        child.send_signal(9, tree=True)
    child.kill()
    assert child.returncode == 0


# -- P6: the exit and the end of the output -----------------------------------

LEAVES = f"""
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", {FOREVER!r}])
print(left.pid)
"""


async def test_p6_a_process_that_is_left_behind_holds_nothing_up() -> None:
    began = time.monotonic()
    found = await run(*python(LEAVES), text=True)
    assert time.monotonic() - began < 30
    assert is_gone(int(found.stdout))
    async with process(*python(LEAVES)) as child:
        lines = [text async for text in child]
        assert await child.wait() == 0
    assert len(lines) == 1


async def test_p6_what_is_left_behind_may_finish_its_output() -> None:
    late = "import sys, time; print('begun', file=sys.stderr, flush=True)\n"
    late += "for i in range(5): time.sleep(0.05); print(i, flush=True)"
    leaves = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', "
    leaves += f"{late!r}], stderr=subprocess.PIPE); p.stderr.readline()"
    found = await run(*python(leaves), text=True, stop=Stop(pause=1.0))
    assert found.stdout.split() == [*"01234"]


# -- P8 to P13: the output ----------------------------------------------------


async def test_p8_all_pipes_move_at_once() -> None:
    echoes = (
        "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    )
    data = os.urandom(3_000_000)
    found = await run(*python(echoes), input=data)
    assert found.stdout == data


async def test_p8_a_child_may_leave_its_input_unread() -> None:
    found = await run(*python("print('done')"), input=bytes(1_000_000), text=False)
    assert found.stdout == b"done\r\n"


async def test_p9_the_output_before_the_limit_is_kept() -> None:
    talks = f"import sys; print('out'); print('err', file=sys.stderr); {FOREVER}"
    with pytest.raises(ProcessTimeout) as caught:
        limit = await long_enough()
        await run(*python(talks), timeout=limit, text=True, stop=QUICK)
    assert (caught.value.stdout, caught.value.stderr) == ("out\n", "err\n")
    assert caught.value.usage is not None


async def test_p9_a_failure_says_what_the_child_complained_of() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        await run(*python("import sys; sys.exit('woe')"))
    assert caught.value.returncode == 1
    assert "woe" in caught.value.__notes__[0]


async def test_p10_lines_of_any_length_arrive() -> None:
    async with process(*python("print('x' * 1_000_000); print('ä')")) as child:
        assert [len(text) async for text in child] == [1_000_001, 2]


async def test_p11_a_cancelled_read_loses_nothing() -> None:
    echoes = "for _ in range(3): print(input())"
    async with process(*python(echoes)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for word in (b"one\n", b"two\n", b"three\n"):
            with anyio.move_on_after(0.01):
                await child.stdout.receive()
                pytest.fail("there was nothing to read")
            await child.stdin.send(word)
            assert await line(child) == word.decode().strip()


async def test_p12_an_unread_pipe_stops_the_child() -> None:
    floods = "import sys\nfor i in range(1, 100):\n  sys.stdout.write('x' * 10_000)"
    floods += "\n  print(i * 10_000, file=sys.stderr)"
    async with process(*python(floods), stderr=subprocess.PIPE, stop=QUICK) as child:
        assert child.stderr is not None
        written = await child.stderr.receive()
        with anyio.move_on_after(2):
            while True:
                written += await child.stderr.receive()
        assert 0 < int(written.split()[-1]) < 500_000


async def test_p12_max_output_bounds_what_is_kept() -> None:
    endless = "while True: print('x' * 1000)"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        await run(*python(endless), max_output=100_000, stop=QUICK)
    assert len(caught.value.stdout) == 100_000


async def test_p13_usage_is_that_of_the_tree() -> None:
    if is_wine():
        pytest.skip(
            "Wine reports the times of the caller, whichever process it is asked"
        )
    burns = "import time\nend = time.process_time() + 0.5\n"
    burns += "while time.process_time() < end: pass"
    found = await run(*python(burns))
    assert found.usage is not None
    assert found.usage.wall >= 0.5
    assert 0.4 < found.usage.user + found.usage.system < 5
    assert found.usage.max_rss > 1_000_000


# -- P14 to P20 ----------------------------------------------------------------


async def test_p14_nothing_is_left_open() -> None:
    async def once() -> None:
        await run(*python("print(input())"), input=b"x\n")
        with within.move_on_after(None) as limit:
            async with process(*python(FOREVER), stop=QUICK):
                limit.cancel()
                await anyio.sleep(1)
        with pytest.raises(FileNotFoundError):
            await run("no such program")

    await once()
    threads = threading.active_count()
    for _ in range(50):  # the port's thread may have some to close
        if handles() <= (before := handles()):
            break
    for _ in range(3):
        await once()
    await anyio.sleep(0.1)
    assert handles() <= before
    assert threading.active_count() == threads


async def test_p14_a_start_can_be_cancelled_at_every_step() -> None:
    for steps in range(12):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cancel(
                    steps: int = steps, scope: anyio.CancelScope = scope
                ) -> None:
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                tasks.start_soon(cancel)
                async with process(*python(FOREVER), stop=QUICK) as child:
                    await child.wait()
    assert not _child._open


async def test_p15_many_children_share_one_thread() -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(run, *python("pass"))
    before = threading.active_count()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(partial(run, *python(FOREVER), stop=QUICK))
        while len(_child._open) < 5:
            await anyio.sleep(0.01)
        assert threading.active_count() == before
        tasks.cancel_scope.cancel()


async def test_p20_a_pipeline() -> None:
    upper = "import sys\nfor line in sys.stdin: print(line.upper(), end='')"
    async with (
        process(*python("for i in range(500): print('line', i)")) as first,
        process(*python(upper), stdin=first.stdout) as second,
    ):
        lines = [text async for text in second]
        assert (await first.wait(), await second.wait()) == (0, 0)
    assert lines == [f"LINE {i}\n" for i in range(500)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_v2_virtual_time_does_not_pass_a_child_at_work(backend: str) -> None:
    async def main() -> tuple[float, bytes]:
        async with process(*python("print(input())")) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            await anyio.sleep(3600)
            before = within.current_time()
            with within.timeout(5):
                await child.stdin.send(b"hello\n")
                answer = await child.stdout.receive()
        return within.current_time() - before, answer

    passed, answer = within.testing.run(main, backend=backend, virtual_time=True)
    assert (passed, answer) == (0, b"hello\r\n")


@pytest.mark.parametrize(
    "options",
    [{"preexec_fn": print}, {"start_new_session": True}, {"umask": 0}, {"user": 0}],
    ids=str,
)
async def test_what_windows_cannot_do_is_refused_with_the_reason(options: Any) -> None:
    with pytest.raises(NotImplementedError, match="not possible on Windows"):
        process("program", **options)


async def test_creationflags_are_passed_on() -> None:
    """With this flag the child has no console, and cannot be asked to end."""
    flags = subprocess.CREATE_NO_WINDOW
    assert (await run(*python("print(1)"), creationflags=flags)).returncode == 0


async def test_p22_text_in_and_text_out() -> None:
    asks = "print('Name: ', end='', flush=True); name = input()\n"
    asks += "print('hello', name); print('bye')"
    async with process(*python(asks), stderr=subprocess.PIPE) as child:
        assert await child.read_until("Name: ") == "Name: "
        await child.write("wörld\n")
        assert await child.readline() == "hello wörld\n"
        assert [text async for text in child.output()] == [("stdout", "bye\n")]
