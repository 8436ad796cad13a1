"""A child on every loop: how it is started, and what it reports."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from children import FOREVER, alive, needs_members

import within
from within import process, run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


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
    await child.aclose()  # does nothing more


async def test_p1_awaited_and_then_entered() -> None:
    async with await process("sleep", FOREVER) as child:
        pass
    assert child.returncode == -signal.SIGTERM


async def test_p1_awaiting_twice_or_never_is_an_error_that_says_so() -> None:
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
async def test_p2_a_bad_command_is_refused_before_anything_starts(
    command: tuple[Any, ...], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        process(*command)
    with pytest.raises(kind, match=words):
        await run(*command)


async def test_p2_a_platform_without_processes_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "waitid")
    with pytest.raises(NotImplementedError, match="waitid"):
        process("true")


@pytest.mark.parametrize(
    "options",
    [
        {"preexec_fn": print},
        {"start_new_session": True},
        {"umask": 0},
        {"user": "nobody"},
        {"group": 0},
        {"extra_groups": [1]},
        {"pass_fds": [3]},
    ],
    ids=str,
)
async def test_p2_what_windows_cannot_do_is_refused_there_with_the_reason(
    options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [name] = options
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(NotImplementedError, match=f"{name}= .* on Windows: "):
        process("true", **options)


@pytest.mark.parametrize("start", [process, run])
async def test_p2_a_failed_start_raises_the_kernels_error(
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
        ("colour", 1, "see within.process()"),
        ("universal_newlines", True, "encoding="),
    ],
)
async def test_p2_options_that_make_no_sense_are_refused_by_name(
    option: str, value: Any, words: str
) -> None:
    for start in (process, run):
        with pytest.raises(TypeError, match=f"{option}=.*{words}"):
            await start("true", **{option: value})


async def test_p2_options_of_run_alone_are_refused_with_the_way_out() -> None:
    for option, words in (("timeout", "within.timeout"), ("check", "returncode")):
        with pytest.raises(TypeError, match=f"{option}=.*{words}"):
            await process("true", **{option: 1})  # type: ignore[arg-type]


async def test_p2_a_command_line_in_one_string_gets_a_note_with_the_way_out() -> None:
    for start in (process, run):
        with pytest.raises(FileNotFoundError) as raised:
            await start("ls -l")  # type: ignore[operator]
        [note] = raised.value.__notes__
        assert "('ls', '-l')" in note
        assert '"sh", "-c", \'ls -l\'' in note


async def test_p2_setsid_in_a_preexec_fn_is_an_error_with_the_way_out() -> None:
    for start in (process, run):
        with pytest.raises(subprocess.SubprocessError, match="start_new_session=True"):
            await start("true", preexec_fn=os.setsid)  # type: ignore[operator]
    assert (await run("true", start_new_session=True)).returncode == 0


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"stdin": subprocess.STDOUT}, ValueError, "stdin=STDOUT"),
        ({"stdout": subprocess.STDOUT}, ValueError, "stdout=STDOUT"),
        ({"stdout": "log.txt"}, TypeError, "stdout is 'log.txt'"),
        ({"stderr": -7}, ValueError, "stderr is -7"),
        ({"stderr": True}, TypeError, "stderr is True"),
    ],
)
async def test_p2_a_bad_file_is_refused_before_anything_starts(
    files: dict[str, Any], kind: type[Exception], words: str
) -> None:
    for start in (process, run):
        with pytest.raises(kind, match=words):
            await start("true", **files)


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="sizes are Linux's")
async def test_p2_pipes_have_the_size_that_was_asked_for() -> None:
    async with process("cat", pipesize=1 << 20) as child:
        for pipe in (child.stdin, child.stdout):
            fd = pipe.fileno()  # type: ignore[union-attr]
            assert fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) == 1 << 20
    for size in (0, -1, True, "big", 1 << 40):
        with pytest.raises(ValueError, match=f"pipesize is {size!r}"):
            await run("cat", pipesize=size)


async def test_p2_an_unknown_encoding_is_refused_before_anything_starts() -> None:
    for encoding, errors in (("no-such", "strict"), ("shift_jis", None)):
        with pytest.raises((LookupError, TypeError)):
            await process("sleep", FOREVER, encoding=encoding, errors=errors)  # type: ignore[arg-type]


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


async def test_p2_a_cancelled_task_starts_nothing(tmp_path: Path) -> None:
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


# -- P13 ---------------------------------------------------------------------


@pytest.fixture
def as_many_as_may_be() -> Iterator[int]:
    """How many children there may be at once here, of the thousand that are wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
    bounds = [1000, (most - 100) // 4]
    for file in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        with contextlib.suppress(OSError, ValueError):  # "max"
            bounds.append(int(Path(file).read_text()) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    yield min(bounds)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def threads_but_trios() -> set[threading.Thread]:
    """anyio's plugin has trio wait for events in a thread, which trio replaces at times."""
    return {x for x in threading.enumerate() if not x.name.startswith("Trio thread ")}


@needs_members
async def test_p15_a_thousand_at_once_without_a_thread(as_many_as_may_be: int) -> None:
    stdin, hold = os.pipe()
    threads = threads_but_trios()
    alive = 0

    async def one() -> None:
        nonlocal alive
        async with process("cat", stdin=stdin, stdout=None) as child:
            alive += 1
            if alive == as_many_as_may_be:  # the end of its input, for each of them
                os.close(hold)
            assert await child.wait() == 0
            assert threads_but_trios() <= threads

    async with anyio.create_task_group() as tasks:
        for _ in range(as_many_as_may_be):
            tasks.start_soon(one)
    os.close(stdin)
    assert alive == as_many_as_may_be


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


# -- words -------------------------------------------------------------------


async def test_repr_says_what_runs_and_how_it_ended() -> None:
    async with process("sh", "-c", "read x; exit 3") as child:
        assert repr(child) == f"<Process {child.pid} `sh -c 'read x; exit 3'` running>"
        assert child.args == ("sh", "-c", "read x; exit 3")
        assert child.stdin is not None
        await child.stdin.aclose()
        await child.wait()
    assert repr(child).endswith("exited with 3>")
    assert repr(child._child) == f"child {child.pid} `sh -c 'read x; exit 3'`"
    async with process("sleep", FOREVER) as child:
        pass
    assert repr(child).endswith("ended by signal 15>")


async def test_a_command_that_is_no_text_can_be_printed() -> None:
    async with process("echo", b"\xff", "a b", "it's") as child:
        command = """echo '\\udcff' 'a b' 'it'"'"'s'"""
        await child.wait()
        assert repr(child) == f"<Process {child.pid} `{command}` exited with 0>"
