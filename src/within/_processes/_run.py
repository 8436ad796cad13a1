"""Run a command to its end, and return its output."""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import suppress
from functools import partial
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any, Literal, overload

from .._backends import current
from .._clock import current_time
from .._errors import message, note_interrupted
from .._seconds import as_seconds
from .._timeouts import Timeout
from ._capture import Capture
from ._command import Command, check_command, check_files, check_text
from ._decoding import Text
from ._ends import Ends
from ._errors import ProcessTimeout
from ._files import is_shared
from ._keep import check_keep
from ._live import Live
from ._plan import Stop, check_stop
from ._platform import Child, Pump
from ._rest import Rest
from ._stopping import let_finish, stop_child

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Unpack

    from .._results import Completed
    from ._keep import Keep
    from ._live import OnOutput
    from ._options import File, PopenOptions, Source, ThreeFiles, Word

    class _Options(PopenOptions, total=False):
        """What :func:`run` takes, whatever the type of the output."""

        timeout: float | timedelta | None
        check: bool
        stdin: File
        stdout: File
        stderr: File
        on_output: OnOutput | None
        max_output: int | None
        keep: Keep
        stop: Stop
        cwd: Word | None
        env: Mapping[str, str] | None


Bytes = bytes | bytearray | memoryview

# How much is read before the calls of ``on_output``, in bytes. With little, the function
# sees each line soon, and a coroutine function that pauses soon holds up the child.
_LIVE_TURN = 65536


@overload
async def run(
    *command: Word,
    input: Bytes | None = None,
    text: Literal[False] | None = None,
    encoding: None = None,
    errors: None = None,
    **options: Unpack[_Options],
) -> Completed[bytes]: ...
@overload
async def run(
    *command: Word,
    input: str | None = None,
    text: Literal[True],
    encoding: str | None = None,
    errors: str | None = None,
    **options: Unpack[_Options],
) -> Completed[str]: ...
@overload
async def run(
    *command: Word,
    input: str | None = None,
    text: Literal[True] | None = None,
    encoding: str,
    errors: str | None = None,
    **options: Unpack[_Options],
) -> Completed[str]: ...
@overload
async def run(
    *command: Word,
    input: str | None = None,
    text: Literal[True] | None = None,
    encoding: str | None = None,
    errors: str,
    **options: Unpack[_Options],
) -> Completed[str]: ...
@overload
async def run(
    *command: Word,
    input: None = None,  # its type depends on the values of the other three
    text: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
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
    on_output: OnOutput | None = None,
    max_output: int | None = None,
    keep: Keep = "all",
    stop: Stop = Stop(),  # noqa: B008  # frozen
    cwd: Word | None = None,
    env: Mapping[str, str] | None = None,
    **popen_options: Any,
) -> Completed[Any]:
    """Run a command until it exits, and return its status, output and usage.

    This returns when the command has exited and its output has ended. If the command
    leaves a process behind that holds the output open, ``run`` goes on reading only while
    more output keeps coming (see :class:`Stop`), and then ends that process. However the
    call ends, no process of the command's group is left, unless ``stop`` says otherwise
    or you are not permitted to signal it.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        input: The command's standard input: ``bytes``, or ``str`` with ``text=True``.
        timeout: Seconds, or a ``timedelta``, after which the command is stopped.
        check: Raise :exc:`subprocess.CalledProcessError` unless the command exits with 0.
        text: Take and return ``str`` instead of ``bytes``, with ``\\n`` line endings.
        encoding, errors: As for ``bytes.decode()``; the defaults are "utf-8" and
            "strict". Either one implies ``text=True``. If the command fails or is
            stopped, bytes that cannot be decoded are replaced.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`. By default there is no
            input, and both outputs are captured. With ``input``, stdin is a pipe.
        on_output: A function that is called with each line as it arrives:
            ``on_output(source, text)``, where ``source`` is ``"stdout"`` or
            ``"stderr"``. The text is always ``str``, even if the result has ``bytes``: it
            is decoded with ``encoding`` or as UTF-8, and bytes that cannot be decoded are
            replaced. It ends with ``\\n``, except for an unfinished line at the end of the
            output. A line longer than a million characters comes in pieces, and only
            the last piece ends with ``\\n``. If this is a coroutine function, each call is
            awaited; nothing is read meanwhile, and ``timeout`` ends such a call too. If it
            raises, the command is stopped, and ``run`` raises that exception.
        max_output: The number of bytes to keep, of stdout and stderr together.
        keep: What to do if there is more output than ``max_output``: ``"all"`` stops the
            command; ``"head"`` keeps the first bytes and ``"tail"`` the last ones,
            and the command keeps running.
        stop: How to stop the command.
        cwd: The directory to run it in.
        env: Its complete environment; ``None`` inherits yours.
        popen_options: As for :func:`process`.

    Returns:
        A :class:`Completed` with ``bytes``, or with ``str`` if text was asked for. An
        output that was not captured is ``None``.

    Raises:
        ProcessTimeout: After ``timeout`` seconds, with the output so far.
        subprocess.CalledProcessError: If the command fails. A note has the end of stderr.
        OutputLimitExceeded: If there is more output than ``max_output`` with
            ``keep="all"``. This is a ``CalledProcessError`` with the output that was kept.
        UnicodeDecodeError: If the output is not text in this encoding. The attribute
            ``completed`` of the error has the result, with its output as bytes.
        OSError: If the command cannot be started; the error names the file or directory.
        RuntimeError: If the command cannot be ended, because you are not permitted to
            signal it (P3).
        ValueError, TypeError, LookupError: If an argument is invalid.
        NotImplementedError: If the platform cannot do it (on Windows, some options and
            most signals).

    >>> import asyncio, within
    >>> async def main():
    ...     done = await within.run("tr", "a-z", "A-Z", input="hello", text=True)
    ...     return done.stdout
    >>> asyncio.run(main())
    'HELLO'

    Show the output live, and keep only the end of it:

    >>> async def main():
    ...     def show(source, line):
    ...         print(source, repr(line))
    ...     done = await within.run("seq", "3", on_output=show, max_output=2, keep="tail")
    ...     return done.stdout, done.dropped
    >>> asyncio.run(main())
    stdout '1\\n'
    stdout '2\\n'
    stdout '3\\n'
    (b'3\\n', 4)
    """
    check_stop(stop)
    request = check_command(command, {"cwd": cwd, "env": env, **popen_options})
    check_files(stdin, stdout, stderr)
    decoding = _decoding(text, encoding, errors)
    data = _input(input, decoding)
    if data is not None:
        if stdin not in (DEVNULL, PIPE, None):
            raise ValueError(f"stdin={stdin!r} and input=... cannot be combined")
        stdin = PIPE
    check_keep(keep, max_output)
    piped: dict[Source, bool] = {"stdout": stdout == PIPE, "stderr": stderr == PIPE}
    names: list[Source] = [name for name in piped if piped[name]]
    live = None if on_output is None else _live(on_output, names, decoding)
    # Checked here, because Timeout's own error would call it `delay`.
    delay = None if timeout is None else as_seconds(timeout, "timeout")
    limit = Timeout(delay, quiet=True, name=os.fsdecode(request.args[0]))
    seconds = limit.remaining()
    capture = Capture(
        request, names, keep=keep, limit=max_output, text=decoding, live=live
    )
    cancelled = current().cancelled
    with limit:
        try:
            files = stdin, stdout, stderr
            await _run(request, stop, files, data or b"", capture, limit)
            if check:
                await _let_interrupt_come(capture.child)
        except cancelled as error:
            if capture.child is not None:  # T25: it may be for a limit around us
                note_interrupted(error, capture.completed())
            raise
    if limit.cancelled_caught:
        raise _timed_out(capture, limit, seconds)
    return capture.result(check=check)


async def _let_interrupt_come(child: Child | None) -> None:
    """If Ctrl-C has ended the child, let it interrupt us before ``check`` raises (P3).

    If the key was pressed on our terminal, we have received the signal by now. But a
    loop may raise the exception only where the task suspends.
    """
    if sys.platform == "win32" or child is None:  # no terminal is lent
        return
    from anyio.lowlevel import checkpoint

    number = signals.SIGINT
    if child.returncode == -number and number not in child.sent:
        await checkpoint()


def _timed_out(capture: Capture, limit: Timeout, seconds: float) -> ProcessTimeout[Any]:
    kept = capture.completed()
    return ProcessTimeout(
        message(limit, current_time()),
        limit,
        cmd=kept.args,
        timeout=seconds,
        stdout=kept.stdout,
        stderr=kept.stderr,
        returncode=kept.returncode,
        usage=None if capture.child is None else kept.usage,
        dropped=kept.dropped,
    )


async def _run(
    request: Command,
    plan: Stop,
    files: ThreeFiles,
    data: bytes,
    capture: Capture,
    limit: Timeout,
) -> None:
    from anyio.lowlevel import checkpoint

    await checkpoint()  # a task that is cancelled starts nothing
    live = capture.live
    deliver = None if live is None else live.deliver
    with Child(request, plan) as child:
        started = child.start(*files)
        capture.child = child
        # The pump is made after the start, while the child is starting, so that it
        # costs no time.
        with Pump() if live is None else Pump(_LIVE_TURN) as pump:
            rest = Rest(child, plan)
            ends = Ends(child, started, rest)
            try:
                _connect(ends, pump, data, capture)
                pump.watch(child.exit_fd)
                await pump.until(
                    lambda: child.has_exited() or capture.exceeds_limit, deliver
                )
                if not capture.exceeds_limit:
                    rest.begin(limit.remaining())
                    # It has ended in time. If the limit strikes before we are done,
                    # the call must not be reported as timed out.
                    deadline = _suspend(limit)
                    if live is not None:
                        deliver = partial(_deliver_rest, live, limit, deadline)
                    shared = is_shared(files)
                    await let_finish(
                        child, pump, rest, is_shared=shared, between=deliver
                    )
            finally:
                if live is not None:
                    live.stop()
                try:
                    await stop_child(child, pump, plan, close_stdin=ends.close_stdin)
                finally:
                    # P9: its last output is still in the pipes.
                    if child.is_ours():
                        pump.drain()
                    if live is not None:
                        live.end()
    if deliver is not None:
        await deliver()


def _connect(ends: Ends, pump: Pump, data: bytes, capture: Capture) -> None:
    if ends.stdin is not None:
        ends.stdin.feed(pump, data)
    for name, output in ends.outputs.items():
        output.sink = capture.sink(name)
        output.join(pump)


def _suspend(limit: Timeout) -> float | None:
    """Remove the deadline of ``limit``, unless it has passed, and return it."""
    deadline = limit.deadline
    with suppress(RuntimeError):
        limit.reschedule(None)
    return deadline


async def _deliver_rest(live: Live, limit: Timeout, deadline: float | None) -> None:
    """Deliver lines after the exit of the child. The limit applies to the calls."""
    if not live.is_waiting():
        return
    with suppress(RuntimeError):
        limit.reschedule(deadline)
    try:
        await live.deliver()
    finally:
        _suspend(limit)


def _live(on_output: Any, names: list[Source], text: Text | None) -> Live:
    if not callable(on_output):
        raise TypeError(f"on_output is {on_output!r}: give a function, or None")
    if not names:
        raise ValueError(
            "on_output sees the pipes of the command, but neither stdout nor stderr is "
            "PIPE"
        )
    return Live(on_output, names, text)


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
