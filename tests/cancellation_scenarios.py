"""The scenarios that are cancelled everywhere (P14): each way to use a child.

The children are cheap to start, and each scenario ends by itself.
"""

from __future__ import annotations

import sys
from subprocess import CalledProcessError
from typing import Any

from within import PIPE, IncompleteOutput, ProcessTimeout, Stop, process, run

FOREVER = "60"
MUCH = 150_000  # more than a pipe holds, twice over. In bytes.
HURRIED = Stop(grace=0.005)

STUBBORN = f"trap '' TERM; echo ready; exec sleep {FOREVER}"
PARENT = f"sleep {FOREVER} & echo hi"
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
]
