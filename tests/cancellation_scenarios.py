"""The scenarios that are cancelled everywhere (P14): each way to use a child.

The children are cheap to start, and each scenario ends by itself.
"""

from __future__ import annotations

import sys
from subprocess import CalledProcessError
from typing import Any

from anyio.lowlevel import checkpoint

from within import (
    PIPE,
    IncompleteOutput,
    ProcessTimeout,
    ServerFailed,
    Stop,
    process,
    run,
    server,
)

FOREVER = "60"
MUCH = 150_000  # more than a pipe holds, twice over. In bytes.
HURRIED = Stop(grace=0.005)

STUBBORN = f"trap '' TERM; echo ready; exec sleep {FOREVER}"
PARENT = f"sleep {FOREVER} & echo hi"
JOB_CONTROL = f"set -m; (trap '' HUP; sleep {FOREVER}) & echo ready; wait"
RUNAWAY = f"setsid sleep {FOREVER} & echo hi; wait"


async def started(**alive: Any) -> None:
    async with process("sleep", FOREVER, **alive):
        pass


async def awaited(**alive: Any) -> None:
    child = await process("cat", **alive)
    try:
        await echo(child, "one\n")
    finally:
        await child.aclose()


async def written(**alive: Any) -> None:
    async with process("sh", "-c", "exec cat >/dev/null", **alive) as child:
        await child.stdin.send(bytes(MUCH))
        await child.stdin.aclose()


async def read(**alive: Any) -> None:
    async with process("head", "-c", str(MUCH), "/dev/zero", **alive) as child:
        assert sum([len(data) async for data in child.stdout]) == MUCH


async def lines(**alive: Any) -> None:
    async with process("cat", **alive) as child:
        await echo(child, "one\n")
        await echo(child, "two\n")
        await child.stdin.aclose()
        assert [line async for line in child] == []


async def dialogue(**alive: Any) -> None:
    """Each way to read text, one after the other; the last one comes to nothing."""
    script = "printf '> '; cat; echo oh no >&2; exit 3"
    async with process("sh", "-c", script, stderr=PIPE, **alive) as child:
        assert await child.read_until("> ") == "> "
        await child.write("one\ntwo three")
        assert await child.readline() == "one\n"
        assert await child.read(4) == "two "
        await child.stdin.aclose()
        try:
            await child.read_until("never")
        except IncompleteOutput as error:
            assert (error.output, error.returncode) == ("three", 3)
        assert await child.read() == ""


async def both_outputs(**alive: Any) -> None:
    script = "echo one; read x; echo $x >&2"
    async with process("sh", "-c", script, stderr=PIPE, **alive) as child:
        output = child.output()
        assert await anext(output) == ("stdout", "one\n")
        await child.write("two\n")
        assert [pair async for pair in output] == [("stderr", "two\n")]


async def communicated(**alive: Any) -> None:
    async with process("tee", "/dev/stderr", stderr=PIPE, **alive) as child:
        done = await child.communicate(bytes(MUCH))
        assert len(done.stdout) == len(done.stderr) == MUCH
        assert done.usage is not None


async def waited(**alive: Any) -> None:
    async with process("cat", **alive) as child:
        await child.stdin.aclose()
        assert await child.wait() == 0


async def run_with_input(**alive: Any) -> None:
    done = await run("cat", input=bytes(MUCH), **alive)
    assert len(done.stdout) == MUCH


async def run_out_of_time(**alive: Any) -> None:
    try:
        await run("sleep", FOREVER, timeout=0.005, **alive)
    except ProcessTimeout:
        return
    raise AssertionError


async def run_out_of_bounds(**alive: Any) -> None:
    try:
        await run("yes", max_output=10, **alive)
    except CalledProcessError:
        return
    raise AssertionError


async def run_of_a_parent(**alive: Any) -> None:
    """It exits; what it has started holds the pipe."""
    done = await run("sh", "-c", PARENT, **alive)
    assert done.stdout == b"hi\n"


async def parent(**alive: Any) -> None:
    async with process("sh", "-c", PARENT, **alive) as child:
        assert await anext(aiter(child)) == "hi\n"
        assert await child.wait() == 0


async def stubborn(**alive: Any) -> None:
    async with process("sh", "-c", STUBBORN, stop=HURRIED, **alive) as child:
        assert await anext(aiter(child)) == "ready\n"


async def patient(**alive: Any) -> None:
    """Whatever cancels us, it is given the time to end by itself."""
    child = None
    try:
        async with process("cat", stop=Stop(close_stdin=30), **alive) as child:
            pass
    finally:
        if child and not isinstance(sys.exception(), GeneratorExit):
            assert child.returncode == 0


async def out_of_patience(**alive: Any) -> None:
    stop = Stop(close_stdin=0.005, grace=0.005)
    async with process("sh", "-c", STUBBORN, stop=stop, **alive) as child:
        assert await anext(aiter(child)) == "ready\n"


async def whole_tree(**alive: Any) -> None:
    """It has a descendant that has left its group and its session."""
    stop = Stop(tree="all")
    async with process("sh", "-c", RUNAWAY, stop=stop, **alive) as child:
        assert await anext(aiter(child)) == "hi\n"


async def run_watched(**alive: Any) -> None:
    """A coroutine function sees the lines, and pauses."""
    seen = []

    async def see(source: str, text: str) -> None:
        await checkpoint()
        seen.append(text)

    done = await run("sh", "-c", "echo 1; echo 2 >&2", on_output=see, **alive)
    assert sorted(seen) == ["1\n", "2\n"]
    assert done.stdout == b"1\n"


async def run_of_a_tail(**alive: Any) -> None:
    how: Any = {"max_output": 10, "keep": "tail", "on_output": lambda *line: None}
    done = await run("head", "-c", str(MUCH), "/dev/zero", **how, **alive)
    assert (len(done.stdout), done.dropped) == (10, MUCH - 10)


async def serving(**alive: Any) -> None:
    script = f"echo ready; exec sleep {FOREVER}"
    async with server("sh", "-c", script, ready="ready", **alive) as child:
        assert child.log == "ready\n"


async def serving_called(**alive: Any) -> None:
    async with server("sleep", FOREVER, ready=checkpoint, **alive):
        await checkpoint()


async def not_serving(**alive: Any) -> None:
    try:
        async with server("sh", "-c", "echo no; exit 3", ready="ready", **alive):
            raise AssertionError
    except ServerFailed as error:
        assert error.returncode == 3


async def terminal(**alive: Any) -> None:
    async with process("sh", "-c", "read a; echo got=$a", pty=True, **alive) as child:
        await child.stdin.send(b"one\n")
        assert "got=one\n" in [line async for line in child]


async def terminal_of_a_shell(**alive: Any) -> None:
    """It has a job that ignores the hang-up, in a group of its own."""
    options = {"stop": HURRIED, "pty": (9, 99), "cwd": "/", **alive}
    async with process("bash", "-c", JOB_CONTROL, **options) as child:
        assert await anext(aiter(child)) == "ready\n"


async def echo(child: Any, line: str) -> None:
    await child.stdin.send(line.encode())
    assert await anext(aiter(child)) == line


SCENARIOS: list[Any] = [
    started,
    awaited,
    written,
    read,
    lines,
    dialogue,
    both_outputs,
    communicated,
    waited,
    run_with_input,
    run_out_of_time,
    run_out_of_bounds,
    run_of_a_parent,
    parent,
    stubborn,
    patient,
    out_of_patience,
    whole_tree,
    run_watched,
    run_of_a_tail,
    serving,
    serving_called,
    not_serving,
    terminal,
    terminal_of_a_shell,
]
