# pyright: reportUnnecessaryTypeIgnoreComment=true
"""Child processes, as a type checker sees them.

This code never runs. Both checkers must report an error on each `type: ignore` line.
"""

from __future__ import annotations

import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.text import TextReceiveStream

import within

# -- run() ---------------------------------------------------------------------


async def the_result_of_run(either: bool) -> None:
    raw = await within.run("ls")
    assert_type(raw, within.Completed[bytes])
    assert_type(raw.stdout, bytes)
    assert_type(raw.stderr, bytes)
    assert_type(raw.returncode, int)
    same = await within.run("cat", input=b"bytes", text=False)
    assert_type(same, within.Completed[bytes])
    text = await within.run("cat", input="words", text=True)
    assert_type(text, within.Completed[str])
    assert_type(text.stdout, str)
    latin = await within.run("cat", input="words", encoding="latin-1")
    assert_type(latin, within.Completed[str])
    lenient = await within.run("cat", text=True, errors="replace")
    assert_type(lenient, within.Completed[str])
    unknown = await within.run("ls", text=either)
    assert_type(unknown, within.Completed[bytes] | within.Completed[str])
    if raw.usage is not None:
        assert_type(raw.usage.wall, float)
        assert_type(raw.usage.user, float)
        assert_type(raw.usage.system, float)
        assert_type(raw.usage.max_rss, int)
    as_of_subprocess: subprocess.CompletedProcess[str] = text
    assert_type(as_of_subprocess.check_returncode(), None)


async def the_arguments_of_run() -> None:
    with open("log") as log:
        await within.run(
            Path("/bin/sh"),
            b"-c",
            "exit 1",
            timeout=timedelta(seconds=5),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            max_output=1 << 20,
            stop=within.Stop(grace=1),
            cwd=Path("/"),
            env={"LANG": "C"},
            umask=0o077,
        )


async def wrong_arguments_of_run() -> None:
    await within.run(["ls", "-l"])  # type: ignore[call-overload]
    await within.run("ls", shell=True)  # type: ignore[call-overload]
    await within.run("cat", input="words")  # type: ignore[call-overload]
    await within.run("cat", input=b"bytes", text=True)  # type: ignore[call-overload]
    await within.run("ls", timeout="5")  # type: ignore[call-overload]
    await within.run("ls", stdout="log")  # type: ignore[call-overload]
    await within.run("ls", stop="child")  # type: ignore[call-overload]


async def in_an_except_clause() -> None:
    try:
        await within.run("sleep", "60", timeout=1, text=True)
    except within.ProcessTimeout as error:
        assert_type(error.scope, within.Timeout)
        assert_type(error.timeout, float)
        assert_type(error.returncode, int | None)
        # Any instead of str | bytes | None: the type of the error cannot tell whether
        # the call asked for text, but the user knows.
        assert_type(error.stdout, Any)
        assert_type(error.stderr, Any)
        if error.usage is not None:
            assert_type(error.usage.wall, float)
    try:
        await within.run("false")
    except subprocess.CalledProcessError as error:
        assert_type(error.returncode, int)


either_clause_catches_it: tuple[
    type[within.DeadlineExceeded], type[subprocess.TimeoutExpired]
] = (within.ProcessTimeout, within.ProcessTimeout)


# -- process() -----------------------------------------------------------------


async def entered() -> None:
    async with within.process("cat", "-n", stderr=subprocess.PIPE, max_line=80) as p:
        assert_type(p, within.Process)
        async for line in p:
            assert_type(line, str)
        assert p.stdout is not None
        async for part in p.stdout:
            assert_type(part, bytes)
        assert p.stdin is not None
        await p.stdin.send(b"bytes")
        await p.stdin.send("words")  # type: ignore[arg-type]
        # They are anyio streams, so anyio can wrap them.
        async for words in TextReceiveStream(p.stdout):
            assert_type(words, str)


async def on_a_terminal() -> None:
    async with within.process("bash", pty=True) as p:
        assert_type(p, within.Process)
        assert_type(p.resize(50, 132), None)
        p.resize("50", "132")  # type: ignore[arg-type]
    async with within.process("bash", pty=(24, 80)) as p:
        assert_type(p, within.Process)
    await within.process("bash", pty="yes")  # type: ignore[arg-type]


async def awaited() -> within.Process:
    p = await within.process("cat", encoding="latin-1", errors="replace")
    assert_type(p, within.Process)
    assert_type(await p.aclose(), None)
    async with p as same:
        assert_type(same, within.Process)
    return p


async def iterated(p: within.Process) -> list[str]:
    return [line async for line in p]


async def attributes_of_a_process(p: within.Process) -> None:
    assert_type(p.pid, int)
    assert_type(p.args, tuple[str | bytes, ...])
    assert_type(p.returncode, int | None)
    assert_type(p.stdin, ByteSendStream | None)
    assert_type(p.stdout, ByteReceiveStream | None)
    assert_type(p.stderr, ByteReceiveStream | None)
    assert_type(await p.wait(), int)
    assert_type(p.send_signal(signal.SIGHUP), None)
    assert_type(p.send_signal(signal.SIGHUP, tree=True), None)
    assert_type(p.terminate(), None)
    assert_type(p.kill(), None)
    if p.usage is not None:
        assert_type(p.usage.max_rss, int)


async def wrong_use_of_a_process(p: within.Process) -> None:
    await p.stdin.send(b"")  # type: ignore[union-attr]
    p.returncode = 0  # type: ignore[misc]
    for _ in p:  # type: ignore[attr-defined]
        pass


async def wrong_arguments_of_process() -> None:
    within.process(5)  # type: ignore[arg-type]
    within.process("ls", shell=True)  # type: ignore[call-arg]
    within.process("ls", text=True)  # type: ignore[call-arg]
    within.process("ls", env={"A": 1})  # type: ignore[dict-item]
    with within.process("ls"):  # type: ignore[attr-defined]
        pass


async def a_block_around_a_child_swallows_nothing() -> int:
    async with within.process("true") as p:
        return await p.wait()


# -- Stop ----------------------------------------------------------------------


def arguments_of_stop() -> None:
    stop = within.Stop(close_stdin=1, signal=signal.SIGINT, grace=0.5, tree="all")
    assert_type(stop.grace, float)
    assert_type(stop.signal, int)
    mixed = within.Stop(first="child", pause=0.2, linger=1)
    assert_type([mixed.pause, mixed.linger], list[float])
    guarded = within.Stop(die_with_parent=True)
    assert_type(guarded.die_with_parent, bool)
    within.Stop(die_with_parent=None)  # type: ignore[arg-type]
    within.Stop(first="both")  # type: ignore[arg-type]
    within.Stop(tree="family")  # type: ignore[arg-type]
    within.Stop(5)  # type: ignore[call-arg]
    stop.grace = 5  # type: ignore[misc]
