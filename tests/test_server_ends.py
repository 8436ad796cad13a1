"""A server that ends while its block is open (P23)."""

from __future__ import annotations

import errno
import os
import selectors
import threading
import time

import anyio
import anyio.lowlevel
import pytest
from children import alive, shell

import within
from within._processes._posix import _log

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PATIENCE = 60  # seconds; reached only if something hangs
SERVE = "echo ready; exec sleep 600"
GIVE_UP = "echo ready; read x; echo out of memory; exit 7"


def ended(running: within.Server) -> None:
    """Wait until it has exited, without the knowledge of the object, and without a task."""
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)


async def test_p23_an_end_during_the_block_is_an_error_when_it_is_left() -> None:
    with pytest.raises(within.ServerFailed) as raised:
        async with shell(GIVE_UP, ready="ready") as running:
            await running.write("\n")
            ended(running)
            await anyio.lowlevel.checkpoint()  # the block goes on
    assert str(raised.value) == (
        f"`sh -c '{GIVE_UP}'` exited with status 7 before the end of its block; "
        "its output ends with:\n    ready\n    out of memory"
    )


async def test_p23_an_end_during_the_block_is_told_by_the_error_of_the_block() -> None:
    with pytest.raises(ConnectionError) as raised:
        async with shell(GIVE_UP, ready="ready") as running:
            await running.write("\n")
            ended(running)
            raise ConnectionError
    [note] = raised.value.__notes__
    assert "exited with status 7" in note
    assert note.endswith("out of memory")


async def test_p23_aclose_tells_it_too() -> None:
    running = await shell(GIVE_UP, ready="ready")
    await running.write("\n")
    ended(running)
    with pytest.raises(within.ServerFailed):
        await running.aclose()
    await running.aclose()


async def test_p23_an_end_that_was_asked_for_is_no_error() -> None:
    async with shell(GIVE_UP, ready="ready") as running:
        await running.write("\n")
        assert await running.wait() == 7
    async with shell(SERVE, ready="ready") as running:
        running.terminate()
        ended(running)
    async with shell(GIVE_UP, ready="ready") as running:
        assert running.stdin is not None
        await running.stdin.aclose()
        ended(running)
    async with shell("echo ready; read x; exit 0", ready="ready") as running:
        await running.write("\n")
        ended(running)


async def test_p23_a_cancellation_is_not_replaced() -> None:
    with within.move_on_after(None) as limit:
        async with shell(GIVE_UP, ready="ready") as running:
            await running.write("\n")
            while alive(running.pid):
                await anyio.sleep(0.001)
            limit.cancel()
            await anyio.sleep_forever()
    assert limit.cancelled_caught
    assert running.returncode == 7


async def test_p16_a_server_whose_log_gets_no_descriptor_is_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(selectors, "DefaultSelector", fail)
    with within.timeout(PATIENCE), pytest.raises(OSError, match="too many"):
        async with shell(SERVE, ready="ready"):
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_p23_an_error_in_the_thread_of_the_log_ends_the_start() -> None:
    # The handler knows what to do for "\\377", but not for half a UTF-16 surrogate.
    script = "printf '\\0\\330a\\0'; exec sleep 600"
    with within.timeout(PATIENCE), pytest.raises(UnicodeDecodeError):
        async with shell(
            script, ready="x", encoding="utf-16-le", errors="surrogateescape"
        ):
            pass


async def test_p23_the_log_has_what_was_written_before_however_late_its_thread_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    we_wait = threading.Event()

    def keep_late(log: _log.Log, data: bytes) -> None:
        we_wait.wait(PATIENCE)
        keep(log, data)

    def sleep_and_tell(seconds: float) -> None:
        we_wait.set()
        sleep(seconds)

    keep, sleep = _log.Log.keep, time.sleep
    monkeypatch.setattr(_log, "_MOMENT", PATIENCE)
    script = "echo ready >&2; read x; echo saw it >&2; echo told; read x"
    async with shell(script, ready="ready", stdout=within.PIPE) as running:
        monkeypatch.setattr(_log.Log, "keep", keep_late)
        await running.write("\n")
        assert await running.readline() == "told\n"
        monkeypatch.setattr(_log.time, "sleep", sleep_and_tell)
        try:
            assert running.log == "ready\nsaw it\n"
        finally:
            we_wait.set()
