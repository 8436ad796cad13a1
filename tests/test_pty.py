"""P21: a child on a terminal of its own, as its programs see it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import termios
from pathlib import Path
from typing import Any

import anyio
import pytest
from children import FOREVER
from hypothesis import HealthCheck, given, settings, strategies as st
from terminals import Screen

from within import process
from within._processes._posix import _spawn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

CTRL_C, CTRL_D, CTRL_Z, ERASE = "\x03", "\x04", "\x1a", "\x7f"

# A directory is one of those options that posix_spawn() does not have.
WAYS = pytest.mark.parametrize("way", [{}, {"cwd": "/"}], ids=["spawned", "forked"])

LOOK = """
import fcntl, os, signal, struct, termios
tty = os.open("/dev/tty", os.O_RDWR)
leads = os.getsid(0) == os.getpid() == os.getpgrp() == os.tcgetpgrp(tty)
same = len({os.ttyname(fd) for fd in (0, 1, 2)}) == 1
print("leads its session:", leads, "on all three:", same)
print("size:", *os.get_terminal_size(tty))
signals = signal.pthread_sigmask(signal.SIG_BLOCK, [])
print("blocked:", *signals)
"""


@WAYS
@pytest.mark.parametrize(
    ("pty", "size"), [(True, "80 24"), ((50, 132), "132 50"), ((1, 65535), "65535 1")]
)
async def test_p21_the_child_has_a_controlling_terminal_of_its_own(
    way: dict[str, Any], pty: Any, size: str
) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])
    try:
        async with process(sys.executable, "-c", LOOK, pty=pty, **way) as child:
            assert [line async for line in child] == [
                "leads its session: True on all three: True\n",
                f"size: {size}\n",
                "blocked:\n",
            ]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert child.returncode == 0
    assert child.stderr is None


async def test_p21_it_is_forked_where_python_cannot_make_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Python that was built with an old glibc."""

    def posix_spawn(*args: Any, **options: Any) -> int:
        raise NotImplementedError("setsid")

    monkeypatch.setattr(os, "posix_spawn", posix_spawn)
    async with process(sys.executable, "-c", LOOK, pty=True) as child:
        assert "leads its session: True" in await anext(aiter(child))


SIZES = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("ready", flush=True)
while True:
    signal.sigwait([signal.SIGWINCH])
    print(*os.get_terminal_size(), flush=True)
"""


@WAYS
async def test_p21_a_new_size_is_seen(way: dict[str, Any]) -> None:
    async with process(sys.executable, "-c", SIZES, pty=True, **way) as child:
        lines = aiter(child)
        assert await anext(lines) == "ready\n"
        for rows, columns in ((10, 20), (100, 200)):
            child.resize(rows, columns)
            assert await anext(lines) == f"{columns} {rows}\n"
    child.resize(1, 1)  # which does nothing any more


@WAYS
async def test_p21_lines_can_be_edited(way: dict[str, Any]) -> None:
    async with process("sh", "-c", "read a; echo got=$a", pty=True, **way) as child:
        screen = Screen(child)
        await screen.types(f"cax{ERASE}t\n")
        assert await screen.sees("got=") == "cat"


# As sudo, ssh and getpass() do.
ASK = """
exec 2>/dev/null </dev/null
exec 3<>/dev/tty
stty -echo <&3
printf 'Password: ' >&3
read secret <&3
stty echo <&3
echo >&3
echo got=$secret
"""


@WAYS
async def test_p21_a_password_is_asked_for_and_not_shown(way: dict[str, Any]) -> None:
    async with process("sh", "-c", ASK, pty=True, **way) as child:
        screen = Screen(child)
        await screen.prompts("Password: ")
        await screen.types("secret\n")
        assert await screen.rest() == "\r\ngot=secret\r\n"
    assert child.returncode == 0


async def test_p21_the_program_may_switch_the_echo_off() -> None:
    async with process("sh", "-c", "read a; echo got=$a", pty=True) as child:
        fd = child.stdin.fileno()  # type: ignore[union-attr]
        modes = termios.tcgetattr(fd)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        screen = Screen(child)
        await screen.types("one\n")
        assert await screen.rest() == "got=one\r\n"


# dash may lose a key that comes while it forks.
KEYS = """
import signal
keys = [signal.SIGINT, signal.SIGQUIT]
signal.pthread_sigmask(signal.SIG_BLOCK, keys)
print("ready", flush=True)
print("got", int(signal.sigwait(keys)))
"""


@pytest.mark.parametrize(
    ("key", "number"), [(CTRL_C, signal.SIGINT), ("\x1c", signal.SIGQUIT)]
)
async def test_p21_keys_are_signals(key: str, number: int) -> None:
    async with process(sys.executable, "-c", KEYS, pty=True) as child:
        screen = Screen(child)
        await screen.sees("ready")
        await screen.types(key)
        assert await screen.sees("got") == str(int(number))


# It cannot miss the signal, as a handler might that comes right before a read.
JOB = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
print("job", os.getpid(), flush=True)
signal.sigwait([signal.SIGCONT])
print("continued", flush=True)
print("got", input())
"""

SHELL = ["bash", "--norc", "--noprofile", "-i"]


@WAYS
async def test_p21_a_shell_has_job_control(way: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text(JOB)
    env = {**os.environ, "PS1": "$ ", "TERM": "dumb"}
    async with process(*SHELL, pty=True, env=env, **way) as child:
        screen = Screen(child)
        await screen.types("echo option''s=$-\n")
        assert "m" in await screen.sees("options=")
        await screen.types(f"{sys.executable} {path}\n")
        job = int(await screen.sees("\njob "))
        assert os.tcgetpgrp(child.stdout.fileno()) == job  # type: ignore[union-attr]
        await screen.types(CTRL_Z)
        await screen.sees("Stopped")
        await screen.types("fg\n")
        await screen.sees("continued")
        await screen.types("one\n")
        assert await screen.sees("got ") == "one"
        await screen.prompts("$ ")
        await screen.types("exit 3\n")
        assert await child.wait() == 3


@pytest.mark.skipif(not shutil.which("less"), reason="less is not installed")
async def test_p21_a_pager_shows_pages(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("".join(f"line {i}.\n" for i in range(100)))
    env = {**os.environ, "TERM": "xterm", "LESS": ""}
    async with process("less", str(path), pty=(10, 40), env=env) as child:
        screen = Screen(child)
        first = await screen.prompts("line 8.")
        assert "line 0." in first
        assert "line 9." not in first
        await screen.types("G")
        await screen.prompts("line 99.")
        await screen.types("q")
        assert await child.wait() == 0


# -- reading and writing -------------------------------------------------------


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    size=st.one_of(
        st.sampled_from([0, 1, 4095, 4096, 4097, 65536, 150_000]), st.integers(0, 9000)
    ),
    read_at_once=st.booleans(),
)
async def test_p21_no_byte_is_lost_at_the_end(
    size: int, read_at_once: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Even if nobody has read before the child has exited, and the kernel reports EIO."""
    data = os.urandom(size)
    path = tmp_path_factory.mktemp("output") / "data"
    path.write_bytes(data)
    script = 'stty raw; exec cat "$1"'
    async with process("sh", "-c", script, "sh", path, pty=True) as child:
        assert child.stdout is not None
        got = b""
        if not read_at_once and size < 4000:  # the terminal holds that much
            assert await child.wait() == 0
        async for part in child.stdout:
            got += part
    assert got == data
    assert child.returncode == 0


async def test_p21_a_child_may_close_the_terminal_and_open_it_again() -> None:
    script = """
    exec <&- >&- 2>&-
    read waits <"$1"
    echo late >/dev/tty
    """
    readable, writable = os.pipe()
    path = f"/proc/self/fd/{readable}"
    options: dict[str, Any] = {"pty": True, "pass_fds": [readable]}
    async with process("sh", "-c", script, "sh", path, **options) as child:
        os.close(readable)
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                assert await Screen(child).rest() == "late\r\n"

            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            os.write(writable, b"go on\n")
    os.close(writable)


async def test_p21_the_end_of_the_input_is_the_end_of_file_character() -> None:
    async with process("cat", pty=True) as child:
        screen = Screen(child)
        await screen.types("one\nno line end")
        assert child.stdin is not None
        await child.stdin.aclose()
        assert await child.wait() == 0
        assert (await screen.rest()).replace("\r", "").endswith("no line end")


async def test_p12_much_can_be_typed_as_fast_as_it_is_read() -> None:
    lines = (b"x" * 99 + b"\n") * 10_000
    script = "stty -echo; echo ready; exec wc -c"
    async with process("sh", "-c", script, pty=True) as child:
        screen = Screen(child)
        await screen.sees("ready")
        assert child.stdin is not None
        await child.stdin.send(lines)
        await child.stdin.aclose()
        assert int(await screen.rest()) == len(lines)


async def test_p12_a_child_that_does_not_read_blocks_the_writer() -> None:
    script = f"stty raw -echo; echo ready; exec sleep {FOREVER}"
    async with process("sh", "-c", script, pty=True) as child:
        await Screen(child).sees("ready")
        assert child.stdin is not None
        with anyio.move_on_after(0.05) as scope:
            await child.stdin.send(bytes(1 << 20))
        assert scope.cancelled_caught


# -- what a start passes on ----------------------------------------------------


@WAYS
async def test_p21_a_start_passes_on_what_is_asked_for_and_no_more(
    way: dict[str, Any],
) -> None:
    readable, writable = os.pipe()
    os.set_inheritable(writable, True)  # as a C library may open one
    look = "import os; d = '/proc/self/fd/'; print(sorted(int(x) for x in os.listdir(d) if os.path.exists(d + x)))"
    for passed in ([], [readable]):
        async with process(
            sys.executable, "-c", look, pty=True, pass_fds=passed, **way
        ) as child:
            assert await anext(aiter(child)) == f"{[0, 1, 2, *passed]}\n"
    async with process(
        "sh", "-c", "echo $VARIABLE", pty=True, env={"VARIABLE": "value"}, **way
    ) as child:
        assert await Screen(child).rest() == "value\r\n"
    ignored = "grep SigIgn /proc/self/status"
    for restore, mask in ((True, 0), (False, 1 << signal.SIGPIPE - 1)):
        async with process(
            "sh", "-c", ignored, pty=True, restore_signals=restore, **way
        ) as child:
            found = int((await Screen(child).sees("SigIgn:")), 16)
            assert found & 1 << signal.SIGPIPE - 1 == mask
    os.close(readable)
    os.close(writable)


@WAYS
async def test_p2_what_cannot_be_started(way: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        await process("no-such-program", "x", pty=True, **way)
    assert missing.value.filename == "no-such-program"
    with pytest.raises(FileNotFoundError) as line:
        await process("ls -l", pty=True, **way)
    assert "one by one" in line.value.__notes__[0]
    (tmp_path / "tool").write_text("no program")
    env = {"PATH": f"/nowhere:{tmp_path}:/bin"}
    with pytest.raises(PermissionError):
        await process("tool", pty=True, env=env, **way)
    (tmp_path / "tool").chmod(0o700)
    with pytest.raises(OSError, match="Exec format") as unknown:
        await process("tool", pty=True, env=env, **way)
    assert unknown.value.filename == "tool"
    if not way:
        with pytest.raises(FileNotFoundError) as nowhere:
            await process("true", pty=True, cwd="/no/such/place")
        assert nowhere.value.filename == "/no/such/place"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"pty": (0, 80)}, ValueError, "rows is 0: give a number from 1"),
        ({"pty": (24, -1)}, ValueError, "columns is -1"),
        ({"pty": (24, 65536)}, ValueError, "columns is 65536"),
        ({"pty": (24.0, 80)}, TypeError, "rows is 24.0: give a number"),
        ({"pty": (True, 80)}, TypeError, "rows is True"),
        ({"pty": (24,)}, TypeError, r"pty is \(24,\): give True, or \(rows, columns\)"),
        ({"pty": 24}, TypeError, "pty is 24"),
        ({"pty": None}, TypeError, "pty is None"),
        ({"pty": True, "stderr": -1}, ValueError, "stderr=PIPE and pty=True cannot"),
        ({"pty": True, "stdin": None}, ValueError, "stdin=None and pty=True cannot"),
        ({"pty": (9, 9), "stdout": -3}, ValueError, "stdout=DEVNULL and pty="),
    ],
)
async def test_p21_bad_options_are_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await process("true", **options)


async def test_p21_a_size_is_for_a_terminal_only() -> None:
    async with process("cat") as child:
        with pytest.raises(TypeError, match="start it with pty=True"):
            child.resize(24, 80)
    async with process("cat", pty=True) as child:
        with pytest.raises(ValueError, match="rows is 0"):
            child.resize(0, 80)


async def test_p20_a_terminal_is_no_pipe() -> None:
    async with process("cat", pty=True) as child:
        with pytest.raises(ValueError, match="is a terminal"):
            await process("cat", stdin=child.stdout)


async def test_p21_a_start_spawns_where_it_can() -> None:
    """That neither copies our memory nor runs our code in a fork."""
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(1))
    async with process("true", pty=True) as child:
        await child.wait()
    assert not forks
    async with process("true", pty=True, cwd="/") as child:
        await child.wait()
    assert forks
    assert _spawn.spawn([], child._child._command, [b"/bin/true"], None, 0) is False
