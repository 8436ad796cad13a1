"""run(): a command to its end, and its output (P8, P9, P12)."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from children import FOREVER, QUICK, alive, longer_and_longer

import within
from within import DEVNULL, PIPE, Stop, process, run
from within._processes._typed import as_typed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


async def test_p8_three_pipes_at_once() -> None:
    """More than any pipe holds in each direction, so that turns would block."""
    data = os.urandom(3_000_000)
    done = await run("sh", "-c", "tee /dev/stderr", input=data)
    assert (done.stdout == data, done.stderr == data) == (True, True)


@pytest.mark.parametrize("stdin", [None, PIPE, DEVNULL])
async def test_p8_input_takes_the_place_of_stdin(stdin: int | None) -> None:
    assert (await run("cat", stdin=stdin, input=b"in")).stdout == b"in"


async def test_p8_input_that_the_child_does_not_read() -> None:
    done = await run("sh", "-c", "exec <&-; echo done", input=bytes(1_000_000))
    assert done.stdout == b"done\n"


async def test_p9_output_from_before_the_limit_is_kept() -> None:
    script = f"echo out; echo err >&2; echo $$; exec sleep {FOREVER}"
    for limit in longer_and_longer():
        with pytest.raises(within.ProcessTimeout) as raised:
            await run("sh", "-c", script, timeout=limit, stop=QUICK)
        error = raised.value
        if error.stdout.count(b"\n") == 2:
            break
    assert isinstance(error, subprocess.TimeoutExpired)
    assert isinstance(error, within.DeadlineExceeded)
    assert error.stdout.startswith(b"out\n")
    assert (error.stderr, error.timeout) == (b"err\n", limit)
    assert error.cmd == ("sh", "-c", script)
    assert f"'sh' exceeded its limit of {limit:g} s" in str(error)
    assert error.returncode == -signal.SIGTERM
    assert error.usage is not None
    assert error.usage.wall > 0
    assert not alive(int(error.stdout.split()[1]))


async def test_p9_output_written_after_the_polite_signal_is_kept() -> None:
    script = "trap 'echo bye; exit' TERM; echo hi; while :; do sleep 0.01; done"
    stop = Stop(grace=60)
    for limit in longer_and_longer():
        with pytest.raises(within.ProcessTimeout) as raised:
            await run("sh", "-c", script, timeout=limit, text=True, stop=stop)
        if raised.value.stdout:
            break
    assert raised.value.stdout == "hi\nbye\n"


async def test_p9_an_enclosing_deadline_is_not_a_process_timeout() -> None:
    with within.move_on_after(0.05) as limit:
        await run("sleep", FOREVER, timeout=600)
    assert limit.cancelled_caught


async def test_p9_a_failure_carries_the_end_of_stderr() -> None:
    script = "seq 10000 >&2; echo last words >&2; exit 3"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("sh", "-c", script)
    error = raised.value
    assert (error.returncode, error.stdout) == (3, b"")
    [note] = error.__notes__
    assert note.startswith("stderr ends with:")
    assert note.endswith("last words")
    assert len(note) < 3000
    assert (await run("sh", "-c", script, check=False)).returncode == 3


async def test_p9_output_that_cannot_be_decoded_does_not_hide_a_failure() -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("sh", "-c", "printf 'a\\377'; exit 3", text=True)
    assert (raised.value.returncode, raised.value.stdout) == (3, "a\ufffd")


async def test_p9_a_decoding_error_names_the_command_and_keeps_the_bytes() -> None:
    with pytest.raises(UnicodeDecodeError) as raised:
        await run("sh", "-c", "printf 'a\\377'; echo err >&2", text=True)
    error = raised.value
    typed = as_typed(error.completed.args)  # type: ignore[attr-defined]
    assert f"stdout of `{typed}`, which exited with status 0" in str(error)
    assert 'errors="replace"' in error.__notes__[0]
    kept = error.completed  # type: ignore[attr-defined]
    assert (kept.stdout, kept.stderr, kept.returncode) == (b"a\xff", b"err\n", 0)
    assert kept.usage.wall > 0


async def test_p9_a_decoding_error_says_which_signal_ended_the_command() -> None:
    with pytest.raises(UnicodeDecodeError, match="which was ended by signal 15"):
        await run("sh", "-c", "printf '\\377'; kill $$", text=True, check=False)


async def test_p9_text_in_any_encoding_and_with_any_errors() -> None:
    done = await run("cat", input="käse", encoding="latin-1")
    assert done.stdout == "käse"
    done = await run("printf", "a\\377b", errors="ignore")
    assert done.stdout == "ab"
    assert (await run("printf", "\\344", encoding="latin-1", text=True)).stdout == "ä"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("sh", "-c", "printf '\\344' >&2; exit 1", encoding="latin-1")
    assert raised.value.stderr == "ä"
    assert raised.value.__notes__ == ["stderr ends with:\nä"]


async def test_p12_max_output_stops_it_and_keeps_what_there_is() -> None:
    with pytest.raises(
        subprocess.CalledProcessError, match="max_output=1000"
    ) as raised:
        await run("yes", max_output=1000)
    assert raised.value.stdout == b"y\n" * 500
    assert raised.value.usage is not None  # type: ignore[attr-defined]
    done = await run("printf", "12345", max_output=5)
    assert done.stdout == b"12345"


async def test_p12_an_unread_pipe_stops_the_child_and_not_our_memory() -> None:
    async with process("yes") as child:
        assert child.stdout is not None
        await child.stdout.receive(1)
        await anyio.wait_all_tasks_blocked()
        assert child.returncode is None


async def test_run_text_and_streams() -> None:
    done = await run("cat", input="å\r\nb\rc\n", text=True)
    assert done.stdout == "å\nb\nc\n"
    done = await run("sh", "-c", "echo out; echo err >&2", stderr=subprocess.STDOUT)
    assert (done.stdout, done.stderr) == (b"out\nerr\n", None)
    done = await run("sh", "-c", "echo out", stdout=subprocess.DEVNULL)
    assert done.stdout is None
    assert isinstance(done, subprocess.CompletedProcess)
    assert (await run("cat", stdin=subprocess.PIPE)).stdout == b""
    with open("/etc/passwd", "rb") as file:
        assert (await run("cat", stdin=file)).stdout == Path("/etc/passwd").read_bytes()


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"input": "text"}, TypeError, "text=True"),
        ({"input": b"bytes", "text": True}, TypeError, "takes str"),
        ({"input": 5}, TypeError, "int"),
        ({"input": b"", "stdin": 0}, ValueError, "cannot be combined"),
        ({"max_output": -1}, ValueError, "-1"),
        ({"max_output": 2.5}, TypeError, "2.5"),
        ({"stop": 5}, TypeError, "within.Stop"),
        ({"timeout": "5"}, TypeError, "timeout is '5'"),
        ({"encoding": "klingon"}, LookupError, "klingon"),
        ({"encoding": "hex"}, LookupError, "not a text encoding"),
        ({"errors": "klingon"}, LookupError, "klingon"),
        ({"encoding": "utf-8", "text": False}, ValueError, "leave text=False out"),
        ({"capture_output": True}, TypeError, "unless told otherwise"),
        ({"timeout": float("nan")}, ValueError, "timeout is NaN"),
        ({"pty": True}, TypeError, r"pty= is not an option here: process\(\)"),
    ],
)
async def test_run_bad_arguments(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await run("true", **options)
