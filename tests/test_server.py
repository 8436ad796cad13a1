"""server() and listening(): a server for the length of a block (P23)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from children import (
    FOREVER,
    after_each_chunk,
    alive,
    free_port,
    longer_and_longer,
    shell,
)

import within
from within import listening, server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PATIENCE = 60  # seconds; reached only if something hangs
SERVE = f"echo ready; exec sleep {FOREVER}"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [x.name for x in threading.enumerate() if "within-log" in x.name] == []


# -- getting ready -------------------------------------------------------------


@pytest.mark.parametrize("ready", ["listening on", re.compile(r"port (\d+)$")])
@pytest.mark.parametrize("pipe", [1, 2])
async def test_p23_the_block_is_entered_when_the_text_was_seen(
    ready: Any, pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = anyio.Event()
    says = f"echo 'listening on port 80' >&{pipe}"
    script = f"echo loading; read x; {says}; sleep {FOREVER}"
    reading, writing = os.pipe()
    kept, keeps = os.pipe()
    after_each_chunk(monkeypatch, lambda: os.write(keeps, b"!"))

    async def use() -> None:
        async with shell(script, ready=ready, stdin=reading) as running:
            entered.set()
            assert running.log == "loading\nlistening on port 80\n"
            assert running.returncode is None
            if isinstance(ready, re.Pattern):
                assert running.match[1] == "80"
            else:
                with pytest.raises(RuntimeError, match="not a compiled pattern"):
                    _ = running.match
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.wait_readable(kept)
        await anyio.wait_all_tasks_blocked()
        assert not entered.is_set()
        os.write(writing, b"\n")
        with within.timeout(PATIENCE):
            await entered.wait()
        tasks.cancel_scope.cancel()
    for fd in (reading, writing, kept, keeps):
        os.close(fd)


@pytest.mark.parametrize("written", ["ready> ", "50%%\\rready", "ready"])
async def test_p23_a_line_need_not_have_ended(written: str) -> None:
    with within.timeout(PATIENCE):
        async with shell(f"printf '{written}'; sleep {FOREVER}", ready="ready"):
            pass


async def test_p23_a_text_that_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    after_each_chunk(monkeypatch, lambda: os.write(writing, b"\n"))
    says = "printf re; read x; printf 'ady\\303'; read x; printf '\\244!'"
    with within.timeout(PATIENCE):
        async with shell(
            f"{says}; sleep {FOREVER}", ready="readyä", stdin=reading
        ) as running:
            assert "readyä" in running.log
    os.close(reading)
    os.close(writing)


async def test_p23_without_ready_the_block_is_entered_at_once() -> None:
    async with shell(f"sleep {FOREVER}") as running:
        assert (running.log, running.stdout, running.stderr) == ("", None, None)


async def test_p23_it_is_ended_with_its_tree() -> None:
    script = f"sleep {FOREVER} & echo $!; exec sleep {FOREVER}"
    async with shell(script, ready="\n") as running:
        child = int(running.log)
        assert alive(child)
    assert not alive(child)
    assert running.returncode == -signal.SIGTERM


async def test_p23_entered_in_one_task_and_left_in_another() -> None:
    async def enter() -> None:
        made.append(await shell(SERVE, ready="ready"))

    async def leave() -> None:
        async with made[0]:
            pass

    made: list[within.Server] = []
    for step in (enter, leave):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step)
    assert made[0].returncode == -signal.SIGTERM


# -- a function ----------------------------------------------------------------


async def test_p23_any_coroutine_function() -> None:
    calls = []

    async def ready() -> None:
        calls.append(1)
        await anyio.lowlevel.checkpoint()

    async with shell(f"sleep {FOREVER}", ready=ready):
        pass
    assert calls == [1]


async def test_p23_an_error_of_the_function_has_the_log() -> None:
    async def ready() -> None:
        while "loading" not in seen[0].log:
            await anyio.sleep(0.001)
        raise LookupError("no answer")

    seen: list[within.Server] = []
    original = within.Server._get_ready

    async def noted(self: Any, ready: Any) -> None:
        seen.append(self)
        await original(self, ready)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(within.Server, "_get_ready", noted)
        with pytest.raises(LookupError, match="no answer") as raised:
            await shell(f"echo loading; exec sleep {FOREVER}", ready=ready)
    [note] = raised.value.__notes__
    assert note.endswith("its output ends with:\n    loading")
    assert seen[0].returncode == -signal.SIGTERM


async def test_p23_a_function_that_cannot_tell_when_it_is_ready() -> None:
    async def healthy() -> bool:
        return False

    for ready, words in ((healthy, "awaited only once"), (lambda: 5, "returned 5")):
        with pytest.raises((ValueError, TypeError), match=words):
            await shell(SERVE, ready=ready)


# -- not getting ready ---------------------------------------------------------


async def never() -> None:
    await anyio.sleep_forever()


async def refused() -> None:
    """Notices the exit by itself."""
    try:
        await anyio.sleep_forever()
    finally:
        raise ConnectionRefusedError


@pytest.mark.parametrize(
    "ready",
    ["serving", re.compile("serving$"), listening(free_port()), never, refused],
    ids=["text", "pattern", "port", "function", "failing function"],
)
@pytest.mark.parametrize(
    ("end", "status", "how"),
    [
        ("exit 3", 3, "exited with status 3"),
        ("exit 0", 0, "exited with status 0"),
        ("kill -9 $$", -9, "was ended by signal 9"),
    ],
)
async def test_p23_an_end_before_it_is_ready(
    ready: Any, end: str, status: int, how: str
) -> None:
    script = f"echo loading; echo no paper >&2; {end}"
    with within.timeout(PATIENCE), pytest.raises(within.ServerFailed) as raised:
        await shell(script, ready=ready)
    error = raised.value
    assert isinstance(error, subprocess.CalledProcessError)
    assert str(error) == (
        f"`sh -c '{script}'` {how} before it was ready; its output ends with:\n"
        "    loading\n    no paper"
    )
    assert (error.returncode, error.stdout) == (status, "loading\nno paper\n")
    assert error.cmd == ("sh", "-c", script)


@pytest.mark.parametrize("ready", ["serving", never])
async def test_p23_an_end_while_a_child_of_it_holds_the_output(ready: Any) -> None:
    script = f"sleep {FOREVER} & echo no paper; exit 3"
    with within.timeout(PATIENCE), pytest.raises(within.ServerFailed) as raised:
        await shell(script, ready=ready)
    assert "exited with status 3 before it was ready" in str(raised.value)
    assert raised.value.output == "no paper\n"


async def test_p23_an_end_of_the_output_before_it_is_ready() -> None:
    with within.timeout(PATIENCE), pytest.raises(within.ServerFailed) as raised:
        await shell(f"exec >/dev/null 2>&1; exec sleep {FOREVER}", ready="ready")
    assert str(raised.value).endswith(
        "closed its output before it was ready; it has written nothing"
    )
    assert raised.value.returncode == -signal.SIGTERM


@pytest.mark.parametrize("ready", ["serving", never, listening(free_port())])
async def test_p23_a_limit_says_what_it_has_written(ready: Any) -> None:
    for limit in longer_and_longer():
        with pytest.raises(within.DeadlineExceeded, match="'start' exceeded") as raised:
            async with within.timeout(limit, name="start"):
                await shell(f"echo loading; exec sleep {FOREVER}", ready=ready)
        error = raised.value
        if error.interrupted is not None and error.interrupted.stdout:
            break
    [note] = error.__notes__
    assert "was not ready" in note
    assert repr(ready) in note
    assert note.endswith("its output ends with:\n    loading")
    assert error.interrupted is not None
    assert error.interrupted.stdout == "loading\n"
    assert error.interrupted.returncode == -signal.SIGTERM


async def test_p23_a_command_that_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-server"):
        await server("no-such-server", ready="ready")


# -- its output ----------------------------------------------------------------


async def test_p23_it_never_waits_for_us_and_keeps_the_end() -> None:
    """The loop stands still here, as it does between the tests of a fixture."""
    told, telling = os.pipe()
    script = f"seq 1000000; echo the end; echo >/dev/fd/{telling}; sleep {FOREVER}"
    try:
        async with shell(script, pass_fds=[telling], keep=1000) as running:
            os.read(told, 1)
            deadline = time.monotonic() + PATIENCE
            while not running.log.endswith("the end\n"):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert len(running.log) == 1000
    finally:
        os.close(told)
        os.close(telling)


async def test_p23_the_log_has_what_was_written_by_now() -> None:
    script = 'while read x; do echo "$x" >&2; echo; done'
    async with shell(script, stdout=within.PIPE) as running:
        for n in range(200):
            await running.write(f"{n}\n")
            await running.readline()
            assert running.log.endswith(f"{n}\n")


async def test_p23_what_it_writes_while_it_is_stopped_is_in_the_log() -> None:
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    stop = within.Stop(grace=PATIENCE)
    async with shell(script, ready="ready", stop=stop) as running:
        pass
    assert "bye\n" in running.log
    assert running.returncode == 0


async def test_p23_a_log_that_is_cut_within_a_character() -> None:
    async with shell("printf 'äöü!'; sleep 60", ready="!", keep=4) as running:
        assert running.log == "ü!"


async def test_p23_standard_streams_for_us_and_stderr_for_the_log() -> None:
    script = 'echo started >&2; while read x; do echo "got $x"; echo "saw $x" >&2; done'
    async with shell(
        script, ready="started", stdout=within.PIPE, stop=within.Stop(close_stdin=60)
    ) as running:
        await running.write("one\n")
        assert await running.readline() == "got one\n"
        await running.write("two\n")
        assert await running.read_until("two") == "got two"
        await running.stdin.aclose()
        with pytest.raises(within.IncompleteOutput, match="saw two"):
            await running.read_until("three")
    assert running.log == "started\nsaw one\nsaw two\n"
    assert running.returncode == 0


async def test_p23_nothing_is_logged() -> None:
    async with shell("cat", stdout=within.DEVNULL, stderr=None) as running:
        assert running.log == ""


# -- arguments -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"ready": ""}, ValueError, "in every output"),
        ({"ready": re.compile("x*")}, ValueError, "in every output"),
        ({"ready": re.compile(b"x")}, TypeError, "not of bytes"),
        ({"ready": "one\ntwo"}, ValueError, "each line is searched on its own"),
        ({"ready": b"ready"}, TypeError, "give a string"),
        ({"ready": 8000}, TypeError, "within.listening"),
        ({"ready": "x", "stdout": -3, "stderr": None}, ValueError, 'is "log"'),
        ({"keep": 0}, ValueError, "keep is 0"),
        ({"keep": 2.5}, TypeError, "keep is 2.5"),
        ({"stdout": "logs"}, TypeError, "stdout is 'logs'"),
        ({"stdin": "log"}, TypeError, "stdin is 'log'"),
        ({"stop": 5}, TypeError, "within.Stop"),
        ({"encoding": "klingon"}, LookupError, "klingon"),
        ({"shell": True}, TypeError, "there is no shell"),
    ],
)
async def test_p23_bad_arguments(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await server("true", **options)
