"""Starting a server that lives in a block: :func:`server` (P23)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, overload

from .._contexts import opening
from ._decoding import Text
from ._listening import listening
from ._open import before_start, check_process
from ._options import PIPE, STDOUT
from ._plan import Stop
from ._platform import Log
from ._pty import check_pty
from ._ready import Sought, check_ready
from ._server import Server

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Unpack

    from .._contexts import Opening
    from ._options import File, Pipe, PopenOptions, ProcessOptions, Source, Word
    from ._ready import Ready
    from ._streams import ReceiveStream, SendStream

    Logged = Literal["log"]
    MaybeSend = SendStream | None
    MaybeReceive = ReceiveStream | None

    class _Options(ProcessOptions, total=False):
        ready: Ready
        keep: int


# An output that is logged is not a stream.
@overload
def server(
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: Logged = "log",
    stderr: Logged = "log",
    **options: Unpack[_Options],
) -> Opening[Server[SendStream, None, None]]: ...
@overload
def server(
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: Pipe,
    stderr: Logged = "log",
    **options: Unpack[_Options],
) -> Opening[Server[SendStream, ReceiveStream, None]]: ...
@overload
def server(
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: Pipe,
    stderr: File | Logged = "log",
    **options: Unpack[_Options],
) -> Opening[Server[SendStream, ReceiveStream, MaybeReceive]]: ...
@overload
def server(  # type: ignore[overload-overlap]
    *command: Word,
    stdin: Pipe = PIPE,
    stdout: File | Logged = "log",
    stderr: File | Logged = "log",
    **options: Unpack[_Options],
) -> Opening[Server[SendStream, MaybeReceive, MaybeReceive]]: ...
@overload
def server(
    *command: Word,
    stdin: File,
    stdout: Pipe,
    stderr: File | Logged = "log",
    **options: Unpack[_Options],
) -> Opening[Server[MaybeSend, ReceiveStream, MaybeReceive]]: ...
@overload
def server(
    *command: Word,
    stdin: File,
    stdout: File | Logged = "log",
    stderr: File | Logged = "log",
    **options: Unpack[_Options],
) -> Opening[Server[MaybeSend, MaybeReceive, MaybeReceive]]: ...
@opening
def server(
    *command: Word,
    ready: Ready = None,
    keep: int = 65536,
    stdin: File = PIPE,
    stdout: File | Logged = "log",
    stderr: File | Logged = "log",
    pty: bool | tuple[int, int] = False,
    cwd: Word | None = None,
    env: Mapping[str, str] | None = None,
    stop: Stop = Stop(),  # noqa: B008  # frozen
    encoding: str = "utf-8",
    errors: str = "strict",
    max_line: int | None = None,
    **popen_options: Unpack[PopenOptions],
) -> Coroutine[Any, Any, Server[Any, Any, Any]]:
    """Run a server for the length of a block, which is entered when the server is ready.

    ``async with server(...) as s`` ends the server with the block. After
    ``s = await server(...)`` you have to end it, with ``await s.aclose()`` or ``async with
    s``. A thread reads the output all the time, even while the event loop does not run, so
    the server never has to wait for you. The end of the output is in ``s.log``.

    There is no limit on how long the server may take to get ready. Put one around the
    call, as in the example; its error shows the end of the output.

    If the server exits during the block, the block is not interrupted. If the exit
    status is not 0, leaving the block raises :exc:`ServerFailed`, or adds a note to the
    exception that is leaving the block. There is no error if you asked for the exit: by
    awaiting :meth:`Server.wait`, by sending a signal with a method of ``s``, or by
    closing its stdin.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        ready: How to tell that the server is ready. A string or a compiled pattern is
            searched for in each line that is logged, even before the line has ended;
            the match of a pattern is in ``s.match``. A match at the end of an
            incomplete line may still grow, so it counts only when more of the line has
            arrived, or after half a second of silence. :class:`listening` waits for a
            port or a Unix socket, and first makes sure that nothing else is listening
            there. Any other callable is called once and awaited; it has to return when
            the server is ready. With ``None``, the block is entered at once.
        keep: How much of the end of the output to keep, in bytes.
        stdin: As for :func:`process`. By default it is a pipe that stays open for the
            length of the block, because many servers exit when their input ends.
        stdout, stderr: ``"log"``, or as for :func:`process`. With ``stdout=PIPE`` you
            talk to the server as to any :class:`Process`, and only stderr is logged.
        pty: As for :func:`process`. Many programs that buffer their output to a pipe
            write each line at once to a terminal.
        cwd, env, stop, encoding, errors, max_line, popen_options: As for
            :func:`process`.

    Returns:
        An :class:`Opening`, which can be awaited or entered, and gives a :class:`Server`.

    Raises:
        ServerFailed: If the server exits before its block is entered, or closes its
            output before it is ready. This is a :exc:`subprocess.CalledProcessError`.
        OSError: If the server cannot be started, or if something else is listening on
            the port.
        ValueError, TypeError, LookupError: If an argument is invalid.
        NotImplementedError: If the platform cannot do it (on Windows, some options and
            most signals).

    >>> import asyncio, within
    >>> async def main():
    ...     script = "echo loading; echo ready to serve; exec sleep 60"
    ...     async with within.timeout(10, name="start"):
    ...         server = await within.server("sh", "-c", script, ready="ready to")
    ...     async with server:
    ...         print(server.log.splitlines())
    >>> asyncio.run(main())
    ['loading', 'ready to serve']
    """
    if isinstance(cast("Any", keep), bool) or not isinstance(cast("Any", keep), int):
        raise TypeError(f"keep is {keep!r}: give a number of bytes")
    if keep < 1:
        raise ValueError(f"keep is {keep!r}: give 1 or more")
    terminal = check_pty(
        pty,
        stdin,
        PIPE if stdout == "log" else stdout,
        None if stderr == "log" else stderr,
    )
    logged: Source | None = None
    if stdout == "log":
        # One pipe for both: the log has them in the order in which they were written.
        logged, stdout = "stdout", PIPE
        stderr = STDOUT if stderr == "log" else stderr
    elif terminal is not None:
        stderr = STDOUT
    elif stderr == "log":
        logged, stderr = "stderr", PIPE
    check_ready(ready, is_logged=logged is not None)
    files, text = (stdin, stdout, stderr), (encoding, errors, max_line)
    options = {"cwd": cwd, "env": env, **popen_options}
    checked = check_process(command, options, stop, files, text)
    checked = checked._replace(terminal=terminal)
    readable = Text(encoding, errors).tolerant()
    sought = None if ready is None or callable(ready) else Sought(ready, readable)
    log = Log(keep, readable, sought)

    async def start() -> Server[Any, Any, Any]:
        await before_start()
        if isinstance(ready, listening):
            await ready._check_free()  # pyright: ignore[reportPrivateUsage]
        made: Server[Any, Any, Any] = Server(checked, stop, files, text, log, logged)
        await made._get_ready(ready)  # pyright: ignore[reportPrivateUsage]
        return made

    return start()
