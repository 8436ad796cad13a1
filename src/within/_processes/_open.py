"""Starting a child process that lives in a block: :func:`process` (P1)."""

from __future__ import annotations

from codecs import getincrementaldecoder, getincrementalencoder
from typing import TYPE_CHECKING, Any, overload

from .._contexts import opening
from ._command import Command, check_command, check_files, check_text
from ._options import PIPE, STDOUT
from ._plan import Stop, check_stop
from ._process import Process
from ._pty import check_pty

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Unpack

    from .._contexts import Opening
    from ._options import File, Pipe, PopenOptions, ProcessOptions, ThreeFiles, Word
    from ._streams import ReceiveStream, SendStream

    MaybeSend = SendStream | None
    MaybeReceive = ReceiveStream | None


# A file that is PIPE becomes a stream of the process; any other may leave it None. A
# call gets the first overload that fits, so the overlaps that mypy reports are harmless.
@overload
def process(
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: Pipe = PIPE,
    stderr: Pipe,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[SendStream, ReceiveStream, ReceiveStream]]: ...
@overload
def process(  # type: ignore[overload-overlap]
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: Pipe = PIPE,
    stderr: File = None,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[SendStream, ReceiveStream, MaybeReceive]]: ...
@overload
def process(  # type: ignore[overload-overlap]
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: File,
    stderr: Pipe,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[SendStream, MaybeReceive, ReceiveStream]]: ...
@overload
def process(  # type: ignore[overload-overlap]
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: File,
    stderr: File = None,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[SendStream, MaybeReceive, MaybeReceive]]: ...
@overload
def process(
    *command: Word,
    stdin: File,
    stdout: Pipe = PIPE,
    stderr: Pipe,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[MaybeSend, ReceiveStream, ReceiveStream]]: ...
@overload
def process(  # type: ignore[overload-overlap]
    *command: Word,
    stdin: File,
    stdout: Pipe = PIPE,
    stderr: File = None,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[MaybeSend, ReceiveStream, MaybeReceive]]: ...
@overload
def process(
    *command: Word,
    stdin: File,
    stdout: File,
    stderr: Pipe,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[MaybeSend, MaybeReceive, ReceiveStream]]: ...
@overload
def process(
    *command: Word,
    stdin: File,
    stdout: File,
    stderr: File = None,
    **options: Unpack[ProcessOptions],
) -> Opening[Process[MaybeSend, MaybeReceive, MaybeReceive]]: ...
@opening
def process(
    *command: Word,
    stdin: File = PIPE,
    stdout: File = PIPE,
    stderr: File = None,
    pty: bool | tuple[int, int] = False,
    cwd: Word | None = None,
    env: Mapping[str, str] | None = None,
    stop: Stop = Stop(),  # noqa: B008  # frozen
    encoding: str = "utf-8",
    errors: str = "strict",
    max_line: int | None = None,
    **popen_options: Unpack[PopenOptions],
) -> Coroutine[Any, Any, Process[Any, Any, Any]]:
    """Start a child process that does not outlive its block.

    ``async with process(...) as p`` ends the child with the block. After
    ``p = await process(...)`` you have to end it yourself, with ``await p.aclose()``.

    If your program runs on a terminal, the child is in a background process group there,
    and is lent the terminal when it asks for something, such as a password. With
    ``start_new_session=True`` it has no terminal, so a command that asks fails at once;
    with ``pty=True`` it has a terminal of its own.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`; ``stdin`` can also be the
            ``stdout`` of another process. By default, stdin and stdout are pipes, and
            stderr is inherited.
        pty: Give the child a controlling terminal of its own, which is its stdin, stdout
            and stderr: ``True`` for a terminal of 24 rows and 80 columns, or
            ``(rows, columns)``. Do not pass the three files with it, except an explicit
            ``PIPE`` for stdin or stdout.
        cwd: The directory to run it in.
        env: Its complete environment; ``None`` inherits yours.
        stop: How to end it.
        encoding, errors: For all text that is read and written.
        max_line: The length of the longest line to accept, in characters, and also of
            the longest text up to a match of :meth:`Process.read_until`. ``None`` accepts
            any length.
        popen_options: More options, which mean the same as for
            :class:`subprocess.Popen`: ``executable``, ``close_fds``, ``pass_fds``,
            ``pipesize``, ``restore_signals``, ``start_new_session``, ``preexec_fn``,
            ``umask``, ``user``, ``group``, ``extra_groups`` and, on Windows,
            ``creationflags``.

    Returns:
        An :class:`Opening`, which can be awaited or entered, and gives a :class:`Process`.

    Raises:
        OSError: If the child cannot be started; the error names the file or directory.
        ValueError: If the command or its program is empty, if it contains a NUL, or if
            the values of options are invalid or cannot be combined.
        TypeError: If an argument has the wrong type, or if there is no such option.
        LookupError: If there is no such ``encoding``, or no such error handler.
        NotImplementedError: If the platform cannot do it (on Windows, some options and
            most signals).

    >>> import asyncio, within
    >>> async def main():
    ...     async with within.process("printf", "one\\\\ntwo\\\\n") as p:
    ...         async for line in p:
    ...             print(repr(line))
    ...     print(p.returncode)
    >>> asyncio.run(main())
    'one\\n'
    'two\\n'
    0
    """
    files, text = (stdin, stdout, stderr), (encoding, errors, max_line)
    options = {"cwd": cwd, "env": env, **popen_options}
    checked = check_process(command, options, stop, files, text)
    if (terminal := check_pty(pty, *files)) is not None:
        checked, files = checked._replace(terminal=terminal), (stdin, stdout, STDOUT)
    return _start(checked, stop, files, text)


def check_process(
    command: tuple[Any, ...],
    options: dict[str, Any],
    stop: Stop,
    files: ThreeFiles,
    text: tuple[str, str, int | None],
) -> Command:
    """Return the command, or raise an error for an argument that makes no sense."""
    check_stop(stop)
    checked = check_command(command, options)
    check_files(*files)
    encoding, errors, max_line = text
    check_text(encoding, errors)
    # Not every codec that str.encode() knows has these.
    getincrementaldecoder(encoding)(errors)
    getincrementalencoder(encoding)(errors)
    check_max_line(max_line)
    return checked


def check_max_line(number: Any) -> None:
    """Raise an error for a number that makes no sense."""
    if isinstance(number, bool) or not isinstance(number, int | None):
        raise TypeError(f"max_line is {number!r}: give a number of characters, or None")
    if number is not None and number < 1:
        raise ValueError(f"max_line is {number!r}: give 1 or more, or None")


async def _start(
    command: Command,
    plan: Stop,
    files: ThreeFiles,
    text: tuple[str, str, int | None],
) -> Process[Any, Any, Any]:
    await before_start()
    return Process(command, plan, files, text)


async def before_start() -> None:
    """Prepare a start. In a cancelled task, this raises before anything is started."""
    from anyio import abc
    from anyio.lowlevel import checkpoint

    abc.Process.register(Process)  # P17: it counts as one of anyio's
    await checkpoint()
