"""Waiting until a server accepts connections (P23)."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any, cast, overload

from ._platform import Pump
from ._pump import limited

if TYPE_CHECKING:
    from collections.abc import Generator

# The pause between two attempts, in seconds: at first, and at most.
_SHORTEST = 0.005
_LONGEST = 0.25

# How long an address may take to answer, in seconds. One behind a firewall never does.
_PATIENCE = 2.0

_LOOPBACK = "127.0.0.1"

Address = tuple[Any, Any, int, str, Any]


class listening:  # noqa: N801  # it is used like a function
    """Waits until something accepts connections on a TCP port or a Unix socket.

    Pass it to :func:`server` as ``ready``, or await it on its own:
    ``await within.listening(5432)``. It tries to connect again and again, with short
    pauses, and closes the connection at once. It has no limit of its own.

    Args:
        port: The number of the port, or the path of a Unix socket, as a ``Path``.
        host: A name or an address, IPv4 or IPv6. If a name has several addresses, it is
            enough if one of them accepts connections.

    Raises:
        ValueError: If the port is not between 1 and 65535, the host is empty, or the
            path is too long for a socket.
        TypeError: If the port is neither a number nor a path, if the host is not a
            ``str``, or if a host is given together with a path.
        NotImplementedError: If a path is given on Windows.
        OSError: If the host name cannot be resolved.

    >>> import asyncio, within
    >>> async def main():
    ...     def hang_up(reader, writer):
    ...         writer.close()
    ...     tcp = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    ...     async with tcp:
    ...         port = tcp.sockets[0].getsockname()[1]
    ...         await within.listening(port)
    ...         print("it accepts connections")
    >>> asyncio.run(main())
    it accepts connections
    """

    __slots__ = ("_host", "_path", "_port")

    @overload
    def __init__(self, port: int, host: str = "127.0.0.1") -> None: ...
    @overload
    def __init__(self, port: os.PathLike[str]) -> None: ...
    def __init__(self, port: Any, host: Any = _LOOPBACK) -> None:
        self._path = ""
        if isinstance(port, os.PathLike):
            if host != _LOOPBACK:
                raise TypeError(
                    f"host is {host!r}, but a path has no host: leave it out"
                )
            self._path = _checked_path(cast("os.PathLike[str]", port))
            return
        self._port = _checked_port(port)
        if not isinstance(host, str):
            raise TypeError(f"host is {host!r}: give a name or an address, as text")
        if not host:
            raise ValueError('host is "": give a name or an address')
        self._host = host

    def __repr__(self) -> str:
        if self._path:
            return f"listening({self._path!r})"
        return f"listening({self._port}, {self._host!r})"

    def __await__(self) -> Generator[Any, Any, None]:
        return self().__await__()

    if not TYPE_CHECKING:  # type checkers reject them anyway

        def __enter__(self):
            """Raise an error: nothing is opened, so there is no block."""
            raise TypeError(
                f"{self!r} is not a block: await it, or pass it to server() as ready="
            )

        def __exit__(self, *exc):
            """Never called."""

        __aenter__, __aexit__ = __enter__, __exit__

    async def __call__(self) -> None:
        """Return once a connection was accepted."""
        from anyio.lowlevel import checkpoint

        await checkpoint()
        addresses = await self._addresses()
        pause = _SHORTEST
        while True:
            for address in addresses:
                if await _accepts(address):
                    return
            with Pump() as pump, limited(pause, pump):
                await pump.until(lambda: False)
            pause = min(2 * pause, _LONGEST)

    async def _check_free(self) -> None:
        """Raise ``OSError`` if something is already listening on the port."""
        for address in await self._addresses():
            if await _accepts(address):
                raise OSError(
                    errno.EADDRINUSE,
                    f"{os.strerror(errno.EADDRINUSE)}: something is already listening "
                    f"on {self._where()}, so the server was not started",
                )

    def _where(self) -> str:
        if self._path:
            return repr(self._path)
        return f"port {self._port} of {self._host!r}"

    async def _addresses(self) -> list[Address]:
        import socket

        if sys.platform != "win32" and self._path:
            return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", self._path)]
        where, kind = (self._host, self._port), socket.SOCK_STREAM
        try:  # a numeric address, which needs no lookup
            return socket.getaddrinfo(*where, type=kind, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            from anyio import getaddrinfo

            return list(await getaddrinfo(*where, type=kind))


def _checked_port(port: Any) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(
            f"port is {port!r}: give a number, as an int, or the path of a socket, as a "
            "pathlib.Path"
        )
    if port == 0:
        raise ValueError(
            "port is 0, which lets the server choose one: wait for what it prints "
            'instead, as in ready=re.compile("port [0-9]+")'
        )
    if not 0 < port < 65536:
        raise ValueError(f"port is {port}: give a number from 1 to 65535")
    return port


def _checked_path(path: os.PathLike[str]) -> str:
    if sys.platform == "win32":
        raise NotImplementedError(f"port is {path!r}: on Windows, give a number")
    most = 107 if sys.platform == "linux" else 103
    if (size := len(os.fsencode(path))) > most:
        raise ValueError(
            f"port is {path!r}, a path of {size} bytes: use a path of at most {most} "
            "bytes, which is the limit for a socket"
        )
    return os.fsdecode(path)


class _Attempt:
    """A connection that is being made, as a pump sees it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_decided = False

    def move(self) -> int:
        self.is_decided = True
        return 0


async def _accepts(address: Address) -> bool:
    if sys.platform == "win32":  # where a pump cannot wait for a socket
        from ._windows._connecting import accepts

        return await accepts(address, _PATIENCE)

    import socket

    family, kind, protocol, _, name = address
    try:
        connection = socket.socket(family, kind, protocol)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:  # no IPv6 here, for example
            return False
        raise
    with connection:
        connection.setblocking(False)
        result = connection.connect_ex(name)
        if result in (errno.EINPROGRESS, errno.EAGAIN):
            attempt = _Attempt(connection.fileno())
            with Pump() as pump, limited(_PATIENCE, pump):
                pump.fill(attempt)
                await pump.until(lambda: attempt.is_decided)
            if not attempt.is_decided:
                return False
            result = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            return False
        try:
            # If nobody listens, the kernel may choose the very port that it connects to
            # as the port that it connects from, and the socket then talks to itself.
            return bool(connection.getsockname() != connection.getpeername())
        except OSError:  # it was reset, or the queue of a Unix socket is full
            return False
