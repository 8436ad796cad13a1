"""listening(): waiting until a server accepts connections (P23)."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from children import QUICK, free_port

import within
from within import listening, server
from within._processes import _listening

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

needs_unix_sockets = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="Python has no Unix sockets here"
)

PATIENCE = 60  # seconds; reached only if something hangs

# It listens on the port that it is given, once it has read a line, and says nothing.
LISTENER = """
import socket, sys, time
sys.stdin.readline()
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
with socket.create_server((sys.argv[2], int(sys.argv[1])), family=family) as listener:
    while True:
        listener.accept()[0].close()
"""


@pytest.mark.parametrize(
    ("at", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
    ],
)
async def test_p23_a_port_on_which_it_listens(
    at: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(at)
    command = [sys.executable, "-c", LISTENER, str(port), at]
    ready = listening(port, host)
    addresses = await ready._addresses()
    refusals = 0
    accepts = _listening._accepts

    async def accepts_or_is_counted(address: Any) -> bool:
        nonlocal refusals
        accepted = await accepts(address)
        refusals += not accepted
        return accepted

    monkeypatch.setattr(_listening, "_accepts", accepts_or_is_counted)
    async with anyio.create_task_group() as tasks:
        reading, writing = os.pipe()

        async def go() -> None:
            while refusals <= len(addresses):  # which are tried before the start
                await anyio.sleep(0.001)
            os.write(writing, b"\n")

        tasks.start_soon(go)
        with within.timeout(PATIENCE):
            async with server(*command, ready=ready, stdin=reading, stop=QUICK):
                socket.create_connection((at, port), timeout=PATIENCE).close()
                await listening(port, host)
        os.close(reading)
        os.close(writing)


async def test_p23_a_port_that_is_in_use_is_an_error_before_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=f"already listening on port {port} of '127.0.0.1'"
        ):
            await server("false", ready=listening(port))


async def test_p23_a_connection_to_itself_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel may choose the port that we connect to as the one to connect from."""

    class FromThere(socket.socket):
        def connect_ex(self, address: Any) -> int:
            self.bind(address)
            return super().connect_ex(address)

    port = free_port()
    monkeypatch.setattr(socket, "socket", FromThere)
    [address] = await listening(port)._addresses()
    assert not await _listening._accepts(address)


async def test_p23_a_host_that_is_not_known() -> None:
    with pytest.raises(OSError, match=r"not known|resolution"):
        await listening(80, "no-such-host.invalid")


def test_p23_a_port_has_a_readable_name() -> None:
    assert repr(listening(80, "::1")) == "listening(80, '::1')"


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("8000",), TypeError, "port is '8000': give a number.* or the path"),
        ((True,), TypeError, "port is True"),
        ((0,), ValueError, "lets the server choose"),
        ((65536,), ValueError, "from 1 to 65535"),
        ((-1,), ValueError, "from 1 to 65535"),
        ((80, ""), ValueError, 'host is ""'),
        ((80, 127), TypeError, "host is 127"),
    ],
)
def test_p23_bad_ports(
    arguments: tuple[Any, ...], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        listening(*arguments)


@needs_unix_sockets
async def test_p23_a_unix_socket_on_which_it_listens() -> None:
    with tempfile.TemporaryDirectory() as short:
        path = Path(short, "socket")
        ready = listening(path)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))  # a file that nobody listens on any more
        program = (
            "import os, socket, sys; os.unlink(sys.argv[1]); "
            "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
            "exec('while True: s.accept()')"
        )
        with within.timeout(PATIENCE):
            command = (sys.executable, "-c", program, str(path))
            async with server(*command, ready=ready, stop=QUICK):
                with pytest.raises(
                    OSError, match=f"already listening on '{path}'"
                ) as caught:
                    await server("true", ready=ready)
    assert caught.value.errno == errno.EADDRINUSE
    assert repr(ready) == f"listening('{path}')"


@needs_unix_sockets
def test_p23_bad_paths() -> None:
    with pytest.raises(ValueError, match="a path of 201 bytes: use a path of at most"):
        listening(Path("/" + "a" * 200))
    some: Any = listening
    with pytest.raises(TypeError, match="host is '::1', but a path has no host"):
        some(Path("/run/socket"), "::1")


async def test_p23_listening_is_awaited_and_not_entered() -> None:
    waiting: Any = listening(8080)
    words = r"listening\(8080, '127.0.0.1'\) is not a block: await it, or pass it to"
    with pytest.raises(TypeError, match=words):
        async with waiting:
            pass
    with pytest.raises(TypeError, match=words):
        with waiting:
            pass
