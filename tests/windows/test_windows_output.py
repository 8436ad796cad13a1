"""The output of a child on Windows, and what is left of it: P8 to P22."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from typing import Any

import anyio
import pytest

import within
from within import ProcessTimeout, process, run

if sys.platform != "win32":
    pytest.skip("these are the tests for Windows", allow_module_level=True)

from windows.programs import (
    FOREVER,
    LOOPS,
    QUICK,
    handles,
    is_wine,
    line,
    long_enough,
    python,
)
from within._processes._windows import _child

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS.values(), ids=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


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
    with anyio.move_on_after(30):  # a thread may be about to close or to end
        while handles() > before or threading.active_count() > threads:
            await anyio.sleep(0.01)
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


async def test_p22_communicate() -> None:
    echoes = (
        "import sys; print(sys.stdin.read().upper()); print('woe', file=sys.stderr)"
    )
    async with process(*python(echoes), stderr=subprocess.PIPE) as child:
        done = await child.communicate("hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO\n\n", "woe\n")
