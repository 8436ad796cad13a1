# pyright: reportUnnecessaryTypeIgnoreComment=true
"""Child processes, as a type checker sees them.

This code never runs. Both checkers must report an error on each `type: ignore` line.
"""

from __future__ import annotations

import re
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Unpack, assert_type

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
    ignoring = await within.run("cat", input="words", errors="ignore")
    assert_type(ignoring, within.Completed[str])
    unknown = await within.run("ls", text=either)
    assert_type(unknown, within.Completed[bytes] | within.Completed[str])
    assert_type(raw.usage, within.Usage)
    assert_type(raw.usage.wall, float)
    assert_type(raw.usage.user, float)
    assert_type(raw.usage.system, float)
    assert_type(raw.usage.max_rss, int)
    assert_type(raw.dropped, int)
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
    await within.run("cat", input=b"bytes", errors="ignore")  # type: ignore[call-overload]
    await within.run("ls", keep="end", max_output=5)  # type: ignore[call-overload]
    await within.run("ls", on_output=len)  # type: ignore[arg-type]


async def a_wrapper_with_an_encoding(encoding: str | None) -> str:
    done = await within.run("ls", encoding=encoding, errors=None)
    assert_type(done, within.Completed[bytes] | within.Completed[str])
    return done.stdout if isinstance(done.stdout, str) else repr(done.stdout)


async def live_and_kept() -> within.Completed[str]:
    def show(source: str, text: str) -> None:
        pass

    async def forward(source: Literal["stdout", "stderr"], text: str) -> None:
        show(source, text)

    raw = await within.run("make", on_output=show, max_output=65536, keep="tail")
    assert_type(raw, within.Completed[bytes])
    return await within.run("make", on_output=forward, text=True)


def a_wrapper_of_errors(
    error: within.ProcessTimeout[str] | within.ProcessTimeout[bytes],
) -> str:
    return error.stdout if isinstance(error.stdout, str) else error.stdout.decode()


def kept_by(error: within.ProcessTimeout[str]) -> str:
    assert_type(error.stderr, str)
    return error.stdout


async def in_an_except_clause() -> None:
    try:
        await within.run("sleep", "60", timeout=1, text=True)
    except within.ProcessTimeout as error:
        assert_type(error.scope, within.Timeout)
        assert_type(error.timeout, float)
        assert_type(error.returncode, int | None)
        # Any instead of str | bytes | None: an except clause cannot say whether the
        # call asked for text, but the user knows.
        assert_type(error.stdout, Any)
        assert_type(error.stderr, Any)
        if error.usage is not None:
            assert_type(error.usage.wall, float)
        assert_type(error.dropped, int)
    try:
        await within.run("yes", max_output=1000)
    except within.OutputLimitExceeded as error:
        assert_type(error.limit, int)
        assert_type(error.dropped, int)
        assert_type(error.usage, within.Usage)
    try:
        await within.run("false")
    except subprocess.CalledProcessError as error:
        assert_type(error.returncode, int)


either_clause_catches_it: tuple[
    type[within.DeadlineExceeded], type[subprocess.TimeoutExpired]
] = (within.ProcessTimeout, within.ProcessTimeout)


# -- process() -----------------------------------------------------------------


async def entered() -> None:
    async with within.process("cat", "-n", stderr=within.PIPE, max_line=80) as p:
        async for line in p:
            assert_type(line, str)
        async for part in p.stdout:
            assert_type(part, bytes)
        await p.stdin.send(b"bytes")
        await p.stdin.send("words")  # type: ignore[arg-type]
        assert_type(await p.stderr.receive(), bytes)
        # They are anyio streams, so anyio can wrap them.
        async for words in TextReceiveStream(p.stdout):
            assert_type(words, str)


async def on_a_terminal() -> None:
    async with within.process("bash", pty=True) as p:
        assert_type(
            p,
            within.Process[
                within.SendStream, within.ReceiveStream, within.ReceiveStream | None
            ],
        )
        assert_type(p.resize(50, 132), None)
        p.resize("50", "132")  # type: ignore[arg-type]
    async with within.process("bash", pty=(24, 80)) as p:
        await p.stdin.send(b"exit\n")
    await within.process("bash", pty="yes")  # type: ignore[call-overload]


async def awaited() -> within.Process:
    p = await within.process("cat", encoding="latin-1", errors="replace")
    assert_type(await p.aclose(), None)
    async with p as same:
        assert_type(same.stdin, within.SendStream)
    return p


async def iterated(p: within.Process) -> list[str]:
    return [line async for line in p]


async def the_streams_are_there_where_the_files_are_pipes(fd: int) -> None:
    async with within.process("cat") as p:
        assert_type(p.stdin, within.SendStream)
        assert_type(p.stdout, within.ReceiveStream)
        assert_type(p.stderr, within.ReceiveStream | None)
    async with within.process("cat", stdin=within.DEVNULL, stderr=within.PIPE) as p2:
        assert_type(p2.stdin, within.SendStream | None)
        assert_type(p2.stdout, within.ReceiveStream)
        assert_type(p2.stderr, within.ReceiveStream)
    async with within.process("cat", stdout=fd, stderr=within.STDOUT) as p3:
        assert_type(p3.stdin, within.SendStream)
        assert_type(p3.stdout, within.ReceiveStream | None)
    async with within.process("cat", stdout=None, stderr=within.PIPE) as p4:
        assert_type(p4.stdout, within.ReceiveStream | None)
        assert_type(p4.stderr, within.ReceiveStream)
    async with within.process("cat", stdin=fd, stdout=within.DEVNULL) as p5:
        assert_type(p5.stdout, within.ReceiveStream | None)
    async with within.process("a", stdin=None, stdout=None, stderr=within.PIPE) as p6:
        assert_type(p6.stderr, within.ReceiveStream)
    # To a type checker, the PIPE of subprocess is any number.
    async with within.process("cat", stdin=None, stderr=subprocess.PIPE) as p7:
        assert_type(p7.stdin, within.SendStream | None)
        assert_type(p7.stdout, within.ReceiveStream)
        assert_type(p7.stderr, within.ReceiveStream | None)


async def attributes_of_a_process(p: within.Process) -> None:
    assert_type(p.pid, int)
    assert_type(p.args, tuple[str | bytes, ...])
    assert_type(p.returncode, int | None)
    assert_type(p.stdin, within.SendStream | None)
    assert_type(p.stdout, within.ReceiveStream | None)
    assert_type(p.stderr, within.ReceiveStream | None)
    assert_type(await p.wait(), int)
    assert_type(p.send_signal(signal.SIGHUP), None)
    assert_type(p.send_signal(signal.SIGHUP, tree=True), None)
    assert_type(p.terminate(), None)
    assert_type(p.kill(), None)
    if p.usage is not None:
        assert_type(p.usage, within.Usage)


async def text_of_a_process(p: within.Process) -> None:
    assert_type(await p.readline(), str)
    assert_type(await p.read(), str)
    assert_type(await p.read(100), str)
    assert_type(await p.read_until("> "), str)
    assert_type(await p.read_until(re.compile(r"\d+> ")), str)
    assert_type(await p.write("words"), None)
    assert_type(await p.write(b"bytes"), None)
    assert_type(await p.communicate(), within.Completed[str])
    assert_type(await p.communicate("words"), within.Completed[str])
    assert_type(await p.communicate(b"bytes"), within.Completed[str])
    async for source, line in p.output():
        assert_type(source, Literal["stdout", "stderr"])
        assert_type(line, str)


async def an_incomplete_output(p: within.Process) -> None:
    try:
        await p.read_until("> ")
    except within.IncompleteOutput as error:
        assert_type(error.wanted, str | re.Pattern[str])
        assert_type(error.output, str)
        assert_type(error.stderr, str)
        assert_type(error.returncode, int | None)
        assert_type(error.cmd, Any)


an_end_of_file: type[EOFError] = within.IncompleteOutput


async def a_pipeline_of_three_stages() -> int:
    async with (
        within.process("ls", stdin=None) as first,
        within.process("sort", stdin=first.stdout) as second,
        within.process("head", stdin=second.stdout) as third,
    ):
        await within.run("tail", stdin=third.stdout)
        return await third.wait()


async def one_stage(
    source: within.File, *command: within.Word, **options: Unpack[within.ProcessOptions]
) -> within.Process:
    """A wrapper that passes everything on."""
    opened: within.Opening[within.Process] = within.process(
        *command, stdin=source, stdout=within.PIPE, **options
    )
    return await opened


async def popen_options(**options: Unpack[within.PopenOptions]) -> within.Process:
    return await within.process("ls", **options)


def needs_its_output(
    p: within.Process[within.SendStream | None, within.ReceiveStream],
) -> within.ReceiveStream:
    return p.stdout


async def wrong_use_of_a_process(p: within.Process) -> None:
    await p.stdin.send(b"")  # type: ignore[union-attr]
    await p.write(5)  # type: ignore[arg-type]
    await p.read_until(b"> ")  # type: ignore[arg-type]
    await p.read_until(re.compile(b"> "))  # type: ignore[arg-type]
    needs_its_output(p)  # type: ignore[arg-type]
    p.returncode = 0  # type: ignore[misc]
    for _ in p:  # type: ignore[attr-defined]
        pass


async def wrong_arguments_of_process() -> None:
    within.process(5)  # type: ignore[call-overload]
    within.process("ls", shell=True)  # type: ignore[call-overload]
    within.process("ls", text=True)  # type: ignore[call-overload]
    within.process("ls", env={"A": 1})  # type: ignore[dict-item]
    within.process("ls", stdin="file")  # type: ignore[call-overload]
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
    sparing = within.Stop(survivors="leave")
    assert_type(sparing.survivors, Literal["end", "leave"])
    within.Stop(survivors="all")  # type: ignore[arg-type]
    guarded = within.Stop(die_with_parent=True)
    assert_type(guarded.die_with_parent, bool)
    within.Stop(die_with_parent=None)  # type: ignore[arg-type]
    within.Stop(first="both")  # type: ignore[arg-type]
    within.Stop(tree="family")  # type: ignore[arg-type]
    within.Stop(5)  # type: ignore[call-arg]
    stop.grace = 5  # type: ignore[misc]
