"""Run a command to its end, and have its output."""

from __future__ import annotations

import io
import os
import subprocess
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._backends import current
from .._errors import message
from .._timeouts import Timeout
from ._child import Child, Usage
from ._command import Command, Pipes, check_command, check_files, check_stop
from ._errors import OutputLimitExceeded, ProcessTimeout
from ._pump import Pump
from ._stop import Stop, stop_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from typing import Unpack

    from ._command import Word
    from ._process import File, PopenOptions

    class _Options(PopenOptions, total=False):
        """What :func:`run` takes, whatever the type of the output."""

        timeout: float | timedelta | None
        check: bool
        stdin: File
        stdout: File
        stderr: File
        max_output: int | None
        stop: Stop
        cwd: Word | None
        env: Mapping[str, str] | None


T = TypeVar("T")
Bytes = bytes | bytearray | memoryview

# How much of the end of stderr goes into the note on a failure, in bytes.
_NOTE = 2000


class Completed(subprocess.CompletedProcess[T]):
    """What :func:`run` returns: a :class:`subprocess.CompletedProcess` with
    ``usage``: wall and CPU time in seconds, peak memory in bytes. To a type checker
    it is a ``Completed[bytes]``, with ``text=True`` a ``Completed[str]``.
    """

    usage: Usage | None

    def __init__(
        self, args: Any, returncode: int, stdout: Any, stderr: Any, usage: Usage | None
    ) -> None:
        super().__init__(args, returncode, stdout, stderr)
        self.usage = usage


@overload
async def run(
    *command: Word,
    input: Bytes | None = None,
    text: Literal[False] = False,
    **options: Unpack[_Options],
) -> Completed[bytes]: ...
@overload
async def run(
    *command: Word,
    input: str | None = None,
    text: Literal[True],
    **options: Unpack[_Options],
) -> Completed[str]: ...
@overload
async def run(
    *command: Word,
    input: None = None,  # of which type, only a value of text says
    text: bool,
    **options: Unpack[_Options],
) -> Completed[bytes] | Completed[str]: ...
async def run(
    *command: Word,
    input: Bytes | str | None = None,
    timeout: float | timedelta | None = None,
    check: bool = True,
    text: bool = False,
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

    It returns when the child exits, even if a descendant holds its output open
    (P6); what is left of its group is ended then. Nothing of it survives,
    however this is left.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        input: What it reads: ``bytes``, or ``str`` with ``text=True``.
        timeout: Seconds, or a ``timedelta``, until it is stopped.
        check: Raise :exc:`subprocess.CalledProcessError` unless it exits with 0.
        text: Take and give ``str`` (UTF-8, line endings as ``\\n``), not ``bytes``.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`.
        max_output: How many bytes of stdout and stderr together to keep at most;
            past it the child is stopped.
        stop: How it is stopped.
        cwd: Where it runs.
        env: Its whole environment; ``None`` for ours.
        popen_options: As for :func:`process`.

    Raises:
        ProcessTimeout: After ``timeout``, with the output so far.
        subprocess.CalledProcessError: For a failure, with the end of stderr as a
            note; and for more output than ``max_output``, with what was kept.
        OSError: If it cannot be started, with the file or the cwd named.
        ValueError, TypeError: For arguments that make no sense.
        NotImplementedError: On Windows.

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
    data = _input(input, text=text)
    if data is not None:
        if stdin not in (DEVNULL, PIPE):
            raise ValueError(f"stdin={stdin!r} and input=... exclude each other")
        stdin = PIPE
    bound: Any = max_output
    if isinstance(bound, bool) or not isinstance(bound, int | None):
        raise TypeError(f"max_output is {bound!r}: give a number of bytes, or None")
    if max_output is not None and max_output < 0:
        raise ValueError(f"max_output is {max_output!r}: give 0 or more, or None")
    limit = Timeout(timeout, quiet=True, name=os.fsdecode(request.args[0]))
    seconds = limit.remaining()

    piped = {"stdout": stdout == PIPE, "stderr": stderr == PIPE}
    capture = _Capture([name for name in piped if piped[name]], max_output)
    with limit:
        await _run(request, stop, (stdin, stdout, stderr), data or b"", capture)
    child = capture.child
    if limit.cancelled_caught:
        raise ProcessTimeout(
            message(limit, current().current_time()),
            limit,
            cmd=request.args,
            timeout=seconds,
            # Cut anywhere, maybe within a character.
            stdout=capture.get("stdout", text=text, errors="replace"),
            stderr=capture.get("stderr", text=text, errors="replace"),
            returncode=None if child is None else child.returncode,
            usage=None if child is None else child.usage,
        )
    assert child is not None
    returncode = child.returncode
    if returncode is None:
        raise RuntimeError(f"{child!r} could not be ended; see the ResourceWarning")
    if capture.over:
        assert max_output is not None
        raise OutputLimitExceeded(
            max_output,
            returncode,
            request.args,
            capture.get("stdout", text=text, errors="replace"),
            capture.get("stderr", text=text, errors="replace"),
            child.usage,
        )
    failed = check and returncode != 0
    # P9: that it failed matters more than what is wrong with its output.
    errors = "replace" if failed else "strict"
    completed: Completed[Any] = Completed(
        request.args,
        returncode,
        capture.get("stdout", text=text, errors=errors),
        capture.get("stderr", text=text, errors=errors),
        child.usage,
    )
    if failed:
        error = subprocess.CalledProcessError(
            returncode, request.args, completed.stdout, completed.stderr
        )
        if note := capture.get("stderr", text=True, errors="replace"):
            error.add_note(f"stderr ends with:\n{note[-_NOTE:].rstrip()}")
        try:
            raise error
        finally:
            del error  # it holds this frame by its traceback
    return completed


async def _run(
    request: Command,
    plan: Stop,
    files: tuple[Any, Any, Any],
    data: bytes,
    capture: _Capture,
) -> None:
    from anyio.lowlevel import checkpoint

    await checkpoint()  # who is cancelled starts nothing
    with Pipes(request.pipe_size) as pipes:
        stdin, to_child = pipes.to_child(files[0])
        stdout, from_child = pipes.from_child(files[1])
        stderr, complaints = pipes.from_child(files[2])
        child = Child(request, plan, stdin=stdin, stdout=stdout, stderr=stderr)
        capture.child = child
        # The pump comes last: what is done from here on takes no time, because the
        # child is starting meanwhile. (And Popen has given back more descriptors by
        # now than a pump takes.)
        with child, Pump() as pump:
            try:
                pipes.started()
                if to_child is not None:
                    pump.write(to_child, data, lambda: pipes.close(to_child))
                if from_child is not None:
                    pump.read(from_child, capture.sink("stdout"))
                if complaints is not None:
                    pump.read(complaints, capture.sink("stderr"))
                pump.watch(child.exit_fd)
                await pump.until(lambda: child.has_exited() or capture.over)
            finally:
                try:
                    await stop_child(
                        child,
                        pump,
                        plan,
                        close_stdin=lambda: _close(pump, pipes, to_child),
                    )
                finally:
                    # P9: what it wrote before it went is in the pipes still.
                    if child.is_ours():
                        pump.drain()


def _close(pump: Pump, pipes: Pipes, fd: int | None) -> None:
    if fd is not None:
        pump.forget(fd)
        pipes.close(fd)


class _Capture:
    """What comes out of a child's pipes, up to a limit for all of them."""

    def __init__(self, names: list[str], limit: int | None) -> None:
        self.child: Child | None = None  # once it is started
        self.over = False
        self._room = limit
        self._kept = {name: io.BytesIO() for name in names}

    def sink(self, name: str) -> Callable[[bytes], object]:
        kept = self._kept[name]
        if self._room is None:
            return kept.write
        return lambda data: kept.write(self._fitting(data))

    def _fitting(self, data: bytes) -> bytes:
        assert self._room is not None
        if len(data) > self._room:
            self.over = True
            data = data[: self._room]
        self._room -= len(data)
        return data

    def get(self, name: str, *, text: bool, errors: str = "strict") -> Any:
        if name not in self._kept:
            return None
        data = self._kept[name].getvalue()
        if not text:
            return data
        decoded = data.decode("utf-8", errors)
        return decoded.replace("\r\n", "\n").replace("\r", "\n")


def _input(data: object, *, text: bool) -> bytes | None:
    if data is None:
        return None
    if text and isinstance(data, str):
        return data.encode()
    if not text and isinstance(data, bytes | bytearray):
        return bytes(data)
    if not text and isinstance(data, memoryview):
        return data.tobytes()
    wanted, way_out = ("str", "text=False") if text else ("bytes", "text=True")
    raise TypeError(
        f"input is of type {type(data).__name__}, but text={text} takes {wanted}: "
        f"convert it, or say {way_out}"
    )
