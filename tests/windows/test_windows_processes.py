"""The rules of processes on Windows. The modules for POSIX have more of each rule."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import enumerate as enumerate_threads
from typing import Any

import anyio
import pytest

import within
from within import ProcessTimeout, Stop, process, run

if sys.platform != "win32":
    pytest.skip("these are the tests for Windows", allow_module_level=True)

from windows.programs import (
    FAMILY,
    FOREVER,
    HANDLER,
    LOOPS,
    QUICK,
    Watched,
    family,
    is_gone,
    line,
    long_enough,
    python,
)
from within._processes._windows import _child
from within.testing._threads import is_idle

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


async def test_p3_with_tree_child_its_own_children_are_left_alone() -> None:
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
    program, stop = python(f"print('ready'); {FOREVER}"), Stop(grace=60)
    async with process(*program, stop=stop) as child:
        assert await line(child) == "ready"
        began = time.monotonic()
    assert time.monotonic() - began < 30
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
    stop = Stop(pause=30, linger=60)
    found = await run(*python(leaves), text=True, stop=stop)
    assert found.stdout.split() == [*"01234"]


# -- Stop(survivors="leave") --------------------------------------------------------

# Starts one of its own, prints its number, and exits when its input ends.
GRACEFUL = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}], stdin=subprocess.DEVNULL)
print(child.pid)
sys.exit(3 if not sys.stdin.read() else 4)
"""


async def test_p3_a_survivor_of_a_graceful_end_lives_on() -> None:
    stop = Stop(survivors="leave", close_stdin=60)
    async with process(*python(GRACEFUL), stop=stop) as child:
        survivor = Watched(int(await line(child)))
    try:
        assert child.returncode == 3
        assert not survivor.wait(0.3)
    finally:
        os.kill(survivor.pid, 9)  # TerminateProcess()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_p4_a_child_that_had_to_be_stopped_takes_its_tree_along(end: str) -> None:
    stop = Stop(survivors="leave", grace=0.05)
    async with process(*python(GRACEFUL + FOREVER), stop=stop) as child:
        survivor = Watched(int(await line(child)))
        if end == "kill":
            child.kill()
            await child.wait()
    assert survivor.is_dead()


# -- P17: as anyio's ----------------------------------------------------------


async def test_p17_a_process_is_one_of_anyios() -> None:
    async with process(*python(FOREVER)) as child:
        assert isinstance(child, anyio.abc.Process)
        for name in vars(anyio.abc.Process):
            if not name.startswith("_"):
                getattr(child, name)


# -- V8: virtual time --------------------------------------------------------------


async def test_v8_no_thread_of_ours_makes_a_later_test_wait() -> None:
    await run(*python("pass"))
    ours = {x.name: is_idle(x) for x in enumerate_threads() if "within" in x.name}
    assert ours == {"within-port": True}
