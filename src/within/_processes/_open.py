"""Starting a child process that lives in a block: :func:`process` (P1)."""

from __future__ import annotations

from codecs import getincrementaldecoder, getincrementalencoder
from typing import TYPE_CHECKING, Any, overload

from .._contexts import opening
from ._command import Command, check_command, check_files, check_text
from ._options import PIPE
from ._plan import Stop, check_stop
from ._process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Unpack

    from .._contexts import Opening
    from ._options import File, Pipe, PopenOptions, ProcessOptions, Word
    from ._streams import ReceiveStream, SendStream

    MaybeSend = SendStream | None
    MaybeReceive = ReceiveStream | None


# A file that is PIPE is a stream of the process; with any other, it may be None. A call
# gets the first signature that fits, so mypy need not fear those where two of them do.
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
    ``p = await process(...)`` you have to end it with ``await p.aclose()``.

    On a terminal, the child is in a background process group. The kernel stops it if it
    asks for a password at ``/dev/tty``. With ``start_new_session=True`` it has no
    terminal, and such a command fails at once; with ``Stop(tree="child")`` it stays in
    our group and can ask.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`.
        cwd: The directory to run it in.
        env: Its whole environment; ``None`` to inherit ours.
        stop: How to end it.
        encoding, errors: For all text that is read and written.
        max_line: The longest line to accept, in characters, and the longest text up to a
            match of :meth:`Process.read_until`; ``None`` for any length.
        popen_options: More options, with the meaning that they have for
            :class:`subprocess.Popen`: ``executable``, ``close_fds``, ``pass_fds``,
            ``pipesize``, ``restore_signals``, ``start_new_session``, ``preexec_fn``,
            ``umask``, ``user``, ``group``, ``extra_groups``.

    Raises:
        OSError: If it cannot be started; the error names the file or the directory.
        ValueError: For no command, an empty program, or a NUL.
        TypeError: For arguments of another type, and options that make no sense.
        NotImplementedError: For what the platform cannot do (on Windows, some options
            and most signals).

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
    check_stop(stop)
    checked = check_command(command, {"cwd": cwd, "env": env, **popen_options})
    check_files(stdin, stdout, stderr)
    check_text(encoding, errors)
    getincrementaldecoder(encoding)(errors)
    getincrementalencoder(encoding)(errors)
    if max_line is not None and max_line < 1:
        raise ValueError(f"max_line is {max_line!r}: give 1 or more, or None")
    return start(checked, stop, (stdin, stdout, stderr), (encoding, errors, max_line))


async def start(
    command: Command,
    plan: Stop,
    files: tuple[Any, Any, Any] = (None, None, None),
    text: tuple[str, str, int | None] = ("utf-8", "strict", None),
    on_signal: Callable[[int], None] | None = None,
) -> Process[Any, Any, Any]:
    """Start a command that has been checked. The command line calls this as well.

    The option ``process_group`` of ``command`` is the number of a group that the child
    joins instead of getting a new one. The group is ended with the child. Its leader
    must be a child of ours that is reaped later than this one, or its number could be
    reused while we signal it (P5).

    ``on_signal`` is called with each signal that the stop sequence sends.
    """
    from anyio.lowlevel import checkpoint

    await checkpoint()  # a task that is cancelled starts nothing
    return Process(command, plan, files, text, on_signal)
