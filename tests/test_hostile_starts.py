"""Programs, directories, environments, threads and forks that are hostile (P16)."""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from children import ALL, FAMILY, FOREVER, alive, family, line

import within
import within.testing
from within import Stop, process, run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

each_start = pytest.mark.parametrize("start", [process, run])


@contextlib.contextmanager
def over_and_over(step: Callable[[int], object]) -> Iterator[None]:
    """Do it in a thread as long as the block is open."""
    over = threading.Event()

    def work() -> None:
        number = 0
        while not over.is_set():
            step(number)
            number += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# -- the program -----------------------------------------------------------------


@each_start
async def test_p16_a_program_that_is_being_written(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    program = tmp_path / "program"
    shutil.copy(shutil.which("true") or "", program)
    with program.open("ab"):
        with pytest.raises(OSError, match="Text file busy") as raised:
            await start(program)
    assert raised.value.errno == errno.ETXTBSY
    assert raised.value.filename == str(program)
    assert (await run(program)).returncode == 0


async def test_p16_a_program_that_is_replaced_while_it_starts(tmp_path: Path) -> None:
    """By renaming: each start has the old one or the new one, and no other end."""
    program = tmp_path / "program"
    versions = [shutil.which("true") or "", shutil.which("false") or ""]
    shutil.copy(versions[0], program)

    def replace(number: int) -> None:
        fresh = tmp_path / "fresh"
        shutil.copy(versions[number % 2], fresh)
        fresh.rename(program)

    with over_and_over(replace):
        for _ in range(40):
            try:
                done = await run(program, check=False)
            except OSError as error:
                # Another start may hold the copy open for writing, in its fork.
                assert error.errno == errno.ETXTBSY
                assert error.filename == str(program)
            else:
                assert done.returncode in (0, 1)


async def test_p16_a_program_that_comes_and_goes_while_it_starts(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program"
    told: set[int] = set()

    def come_and_go(number: int) -> None:
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
        program.unlink()

    allowed = {errno.ENOENT, errno.EACCES, errno.ETXTBSY, errno.ENOEXEC}
    with over_and_over(come_and_go):
        for _ in range(40):
            try:
                done = await run(program, check=False)
            except OSError as error:
                assert error.errno in allowed
                assert error.filename == str(program)
                told.add(error.errno)
            else:
                # The kernel has found it. The shell may have found it too, or no longer.
                assert done.returncode in (0, 2, 3, 126, 127)
    assert told <= allowed


# -- where it runs ---------------------------------------------------------------


@each_start
async def test_p16_a_cwd_that_has_vanished_is_named(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(FileNotFoundError) as raised:
        await start("true", cwd=gone)
    assert str(raised.value.filename) == str(gone)
    assert str(gone) in str(raised.value)


async def test_p16_a_cwd_that_comes_and_goes_while_it_starts(tmp_path: Path) -> None:
    place = tmp_path / "place"

    def come_and_go(number: int) -> None:
        place.mkdir()
        place.rmdir()

    with over_and_over(come_and_go):
        for _ in range(40):
            try:
                assert (await run("true", cwd=place)).returncode == 0
            except FileNotFoundError as error:
                assert str(error.filename) == str(place)


async def test_p16_a_cwd_that_vanishes_under_it(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    async with process("sh", "-c", FAMILY, cwd=place) as child:
        pids = await family(child)
        place.rmdir()
    assert child.returncode == -signal.SIGTERM
    assert not any(map(alive, pids))


async def test_p16_our_own_cwd_has_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    place.rmdir()
    assert (await run("echo", "hi")).stdout == b"hi\n"
    with pytest.raises(FileNotFoundError, match="no_such_program"):
        await run("./no_such_program")


@each_start
@pytest.mark.parametrize("tree", ["group", ALL])
@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ({"NAME": "va\0lue"}, ValueError),
        ({"NA\0ME": "value"}, ValueError),
        ({b"NAME": b"va\0lue"}, ValueError),
        ({"NA=ME": "value"}, ValueError),
        ({"NAME": 5}, TypeError),
        ({"NAME": None}, TypeError),
        ({5: "value"}, TypeError),
        ("NAME=value", (TypeError, AttributeError, ValueError)),
    ],
)
async def test_p16_an_environment_that_cannot_be(
    start: Callable[..., Any], env: Any, kind: Any, tree: Any
) -> None:
    with pytest.raises(kind):
        await start("true", env=env, stop=Stop(tree=tree))


@pytest.mark.parametrize("tree", ["group", ALL])
async def test_p16_an_environment_of_bytes_and_of_nothing(tree: Any) -> None:
    stop = Stop(tree=tree)
    echo = ("/bin/sh", "-c", 'echo "$NAME"')
    done = await run(*echo, env={b"NAME": b"va\xfflue"}, stop=stop)
    assert done.stdout == b"va\xfflue\n"
    done = await run(*echo, env={"NAME": "va\udcfflue"}, stop=stop)
    assert done.stdout == b"va\xfflue\n"
    assert (await run(*echo, env={}, stop=stop)).stdout == b"\n"


# -- threads ---------------------------------------------------------------------

Loop = tuple[str, dict[str, Any]]


async def use_children() -> None:
    """A bit of everything."""
    for _ in range(3):
        assert (await run("cat", input=b"data")).stdout == b"data"
        async with process("sh", "-c", FAMILY) as child:
            pids = await family(child)
        assert not any(map(alive, pids))
        with within.move_on_after(0.01):
            await run("sleep", FOREVER)


def in_thread(loop: Loop, errors: list[BaseException]) -> threading.Thread:
    def work() -> None:
        name, options = loop
        try:
            anyio.run(use_children, backend=name, backend_options=options)
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


async def test_p16_from_a_thread_that_is_not_the_main_one(anyio_backend: Loop) -> None:
    errors: list[BaseException] = []
    in_thread(anyio_backend, errors).join()
    assert errors == []


@pytest.mark.parametrize(
    "other", within.testing.backends(), ids=["asyncio", "uvloop", "trio"]
)
async def test_p16_two_loops_in_two_threads_with_children_each(
    anyio_backend: Loop, other: Loop
) -> None:
    """Three, with this one; none takes a child of another, or waits for it."""
    errors: list[BaseException] = []
    async with process("cat") as child:
        threads = [in_thread(loop, errors) for loop in (anyio_backend, other)]
        await use_children()
        # Not by anyio's worker threads, of which one would stay.
        for thread in threads:
            while thread.is_alive():
                await anyio.sleep(0.001)
        assert child.returncode is None
        assert child.stdin is not None
        await child.stdin.send(b"alive\n")
        assert await line(child) == "alive"
    assert errors == []


# -- forks -----------------------------------------------------------------------

# What the copy does with the child, which is not its own.
ENDS = {
    "_exit": "os._exit(0)",
    "exit": "sys.exit(0)",
    "error": "raise ZeroDivisionError",
    "signals": "child.kill(); child.returncode; os._exit(0)",
    "drops": "child._child.drop(); os._exit(0)",
    "writes": "child.stdin.close(); child.stdout.close(); os._exit(0)",
}

FORK = """
import os, signal, sys, warnings
import within, within.testing

warnings.simplefilter("ignore")

async def main():
    async with within.process("sh", "-c", "sleep 600 & echo $!; cat") as child:
        async for line in child:
            member = int(line)
            break
        signal.alarm(100)  # in place of hanging
        fork = os.fork()
        if not fork:
            sys.stderr = open(os.devnull, "w")
            signal.alarm(2)  # since 3.14, asyncio never ends a task in a fork
            {end}
        os.waitpid(fork, 0)
        assert child.returncode is None, f"the child is gone: {{child.returncode}}"
        os.kill(member, 0)
        await child.stdin.send(b"alive\\n")
        async for line in child:
            print(line)
            break
    assert child.returncode is not None
    # The copy has shared the loop's own epoll, and taken down what is in it.
    sys.stdout.flush()
    os._exit(0)

within.testing.run(main, backend={loop!r})
"""


@pytest.mark.parametrize(
    ("end", "loop"),
    [
        *product(ENDS, ["asyncio"]),
        *product(
            ["exit"], ["uvloop", "trio"]
        ),  # the only end in which the loop takes part
        *(
            pytest.param(*pair, marks=pytest.mark.exhaustive)
            for pair in product(ENDS, ["uvloop", "trio"])
            if pair[0] != "exit"
        ),
    ],
)
def test_p16_a_fork_in_the_middle_leaves_its_parents_child_alone(
    end: str, loop: str
) -> None:
    code = FORK.format(end=ENDS[end], loop=loop)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("alive\n\n", 0), done.stderr


WAIT_IN_A_FORK = """
import asyncio, os, resource, within

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
many = [os.dup(0) for _ in range(min(2048, hard) - 60)]  # select() takes 1024

async def main():
    async with within.process("sh", "-c", "read x; echo alive") as child:
        if not (pid := os.fork()):
            assert child.returncode is None, child.returncode
            assert "in the process that started it" in repr(child)
            try:
                child.wait().send(None)
            except RuntimeError as error:
                assert "not a child of this fork" in str(error)
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        await child.stdin.aclose()
        print([line async for line in child], await child.wait())

asyncio.run(main())
"""


def test_p5_a_fork_knows_that_the_child_is_its_parents() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAIT_IN_A_FORK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['alive\\n'] 0\n", done.stderr
