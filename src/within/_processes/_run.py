"""Run a command to its end, and return its output."""

from __future__ import annotations

import os
from contextlib import suppress
from subprocess import DEVNULL, PIPE, STDOUT
from typing import TYPE_CHECKING, Any, Literal, overload

from .._backends import current
from .._clock import current_time
from .._errors import message, note_interrupted
from .._timeouts import Timeout
from ._capture import Capture, Text
from ._command import Command, check_command, check_files, check_text
from ._ends import Ends
from ._errors import ProcessTimeout
from ._plan import Stop, check_stop
from ._platform import Child, Pump
from ._rest import Rest
from ._stopping import let_finish, stop_child

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Unpack

    from .._results import Completed
    from ._options import File, PopenOptions, Word

    class _Options(PopenOptions, total=False):
        """What :func:`run` takes, whatever the type of the output."""

        timeout: float | timedelta | None
        check: bool
        stdin: File
        stdout: File
        stderr: File
        max_output: int | None
        errors: str | None
        stop: Stop
        cwd: Word | None
        env: Mapping[str, str] | None


Bytes = bytes | bytearray | memoryview


@overload
async def run(
    *command: Word,
    input: Bytes | None = None,
    text: Literal[False] = False,
    encoding: None = None,
    **options: Unpack[_Options],
) -> Completed[bytes]: ...
@overload
async def run(
    *command: Word,
    input: str | None = None,
    text: Literal[True],
    encoding: str | None = None,
    **options: Unpack[_Options],
) -> Completed[str]: ...
@overload
async def run(
    *command: Word,
    input: str | None = None,
    text: Literal[True] = True,
    encoding: str,
    **options: Unpack[_Options],
) -> Completed[str]: ...
@overload
async def run(
    *command: Word,
    input: None = None,  # its type depends on the value of text
    text: bool,
    encoding: str | None = None,
    **options: Unpack[_Options],
) -> Completed[bytes] | Completed[str]: ...
async def run(
    *command: Word,
    input: Bytes | str | None = None,
    timeout: float | timedelta | None = None,
    check: bool = True,
    text: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    stdin: File = DEVNULL,
    stdout: File = PIPE,
    stderr: File = PIPE,
    max_output: int | None = None,
    stop: Stop = Stop(),  # noqa: B008  # frozen
    cwd: Word | None = None,
    env: Mapping[str, str] | None = None,
    **popen_options: Any,
) -> Completed[Any]:
    """Run a command until it exits, and return its status, output and usage.

    It returns when the child has exited and its output has ended. If a process that the
    child left behind holds the output open, this call waits only as long as more output
    keeps coming, with short pauses at most (see :class:`Stop`), and then ends that
    process. Nothing of the command survives, however this call ends.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        input: What it reads from stdin: ``bytes``, or ``str`` with ``text=True``.
        timeout: Seconds, or a ``timedelta``, after which it is stopped.
        check: Raise :exc:`subprocess.CalledProcessError` unless it exits with 0.
        text: Take and return ``str`` instead of ``bytes``, with ``\\n`` line endings.
        encoding, errors: As for ``bytes.decode()``, "utf-8" and "strict"; either one
            implies ``text=True``. If the command fails or is stopped, bytes that
            cannot be decoded are replaced.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`.
        max_output: Keep at most this many bytes, of stdout and stderr together. A
            child that writes more is stopped.
        stop: How to stop it.
        cwd: The directory to run it in.
        env: Its whole environment; ``None`` to inherit ours.
        popen_options: As for :func:`process`.

    Raises:
        ProcessTimeout: After ``timeout``, with the output so far.
        subprocess.CalledProcessError: For a failure, with the end of stderr as a
            note; and for more output than ``max_output``, with what was kept.
        UnicodeDecodeError: For output that is not text. ``error.completed`` has the
            result of the command, with its output as bytes.
        OSError: If it cannot be started; the error names the file or the directory.
        ValueError, TypeError: For arguments that make no sense.
        NotImplementedError: For what the platform cannot do (on Windows, some options
            and most signals).

    >>> import asyncio, within
    >>> async def main():
    ...     done = await within.run("tr", "a-z", "A-Z", input="hello", text=True)
    ...     return done.stdout
    >>> asyncio.run(main())
    'HELLO'
    """
    check_stop(stop)
    request = check_command(command, {"cwd": cwd, "env": env, **popen_options})
    check_files(stdin, stdout, stderr)
    decoding = _decoding(text, encoding, errors)
    data = _input(input, decoding)
    if data is not None:
        if stdin not in (DEVNULL, PIPE):
            raise ValueError(f"stdin={stdin!r} and input=... exclude each other")
        stdin = PIPE
    _check_max_output(max_output)
    limit = Timeout(timeout, quiet=True, name=os.fsdecode(request.args[0]))
    seconds = limit.remaining()
    piped = {"stdout": stdout == PIPE, "stderr": stderr == PIPE}
    capture = Capture(
        request,
        [name for name in piped if piped[name]],
        limit=max_output,
        text=decoding,
    )
    cancelled = current().cancelled
    with limit:
        try:
            files = stdin, stdout, stderr
            await _run(request, stop, files, data or b"", capture, limit)
        except cancelled as error:  # T25: maybe by a limit around us
            note_interrupted(error, capture.completed())
            raise
    if limit.cancelled_caught:
        raise _timed_out(capture.completed(), limit, seconds)
    return capture.result(check=check)


def _timed_out(kept: Completed[Any], limit: Timeout, seconds: float) -> ProcessTimeout:
    return ProcessTimeout(
        message(limit, current_time()),
        limit,
        cmd=kept.args,
        timeout=seconds,
        stdout=kept.stdout,
        stderr=kept.stderr,
        returncode=kept.returncode,
        usage=kept.usage,
    )


async def _run(
    request: Command,
    plan: Stop,
    files: tuple[Any, Any, Any],
    data: bytes,
    capture: Capture,
    limit: Timeout,
) -> None:
    from anyio.lowlevel import checkpoint

    await checkpoint()  # a task that is cancelled starts nothing
    with Child(request, plan) as child:
        started = child.start(*files)
        capture.child = child
        # The pump is made after the start, while the child is starting, so that it
        # costs no time.
        with Pump() as pump:
            rest = Rest(child, plan)
            ends = Ends(child, started, rest)
            try:
                if ends.stdin is not None:
                    ends.stdin.feed(pump, data)
                for name, output in (("stdout", ends.stdout), ("stderr", ends.stderr)):
                    if output is not None:
                        output.sink = capture.sink(name)
                        output.join(pump)
                pump.watch(child.exit_fd)
                await pump.until(lambda: child.has_exited() or capture.is_over)
                if not capture.is_over:
                    rest.begin(limit.remaining())
                    # It has ended in time. If the limit strikes before we are done,
                    # the call must not be reported as timed out.
                    with suppress(RuntimeError):
                        limit.reschedule(None)
                    shared = any(x not in (PIPE, DEVNULL, STDOUT) for x in files[1:])
                    await let_finish(child, pump, rest, is_shared=shared)
            finally:
                try:
                    await stop_child(child, pump, plan, close_stdin=ends.close_stdin)
                finally:
                    # P9: its last output is still in the pipes.
                    if child.is_ours():
                        pump.drain()


def _check_max_output(limit: Any) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int | None):
        raise TypeError(f"max_output is {limit!r}: give a number of bytes, or None")
    if limit is not None and limit < 0:
        raise ValueError(f"max_output is {limit!r}: give 0 or more, or None")


def _decoding(
    text: bool | None, encoding: str | None, errors: str | None
) -> Text | None:
    if text is False and not (encoding is None and errors is None):
        raise ValueError("encoding= and errors= are for text: leave text=False out")
    if not text and encoding is None and errors is None:
        return None
    found = Text(encoding or "utf-8", errors or "strict")
    check_text(*found)
    return found


def _input(data: object, text: Text | None) -> bytes | None:
    if data is None:
        return None
    if text and isinstance(data, str):
        return data.encode(*text)
    if not text and isinstance(data, bytes | bytearray):
        return bytes(data)
    if not text and isinstance(data, memoryview):
        return data.tobytes()
    wanted, way_out = ("str", "text=False") if text else ("bytes", "text=True")
    raise TypeError(
        f"input is of type {type(data).__name__}, but text={bool(text)} takes {wanted}: "
        f"convert it, or pass {way_out}"
    )
