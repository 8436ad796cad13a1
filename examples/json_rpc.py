"""A client that keeps a JSON-RPC 2.0 server: a process, spoken to by its pipes.

    python examples/json_rpc.py

One message a line, as tool servers have it. Many requests may be in flight, each
with a limit of its own; when the server dies all fail at once, with its last words.
However the block is left, server and helpers are stopped. The same on each loop.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

import within
import within.testing

STOP = within.Stop(close_stdin=2, grace=2, tree="group")
LAST_WORDS = 0.5  # seconds for the rest, once the server has ended or hung up
CANCEL = 0.1  # seconds to tell it that nobody waits for an answer any more
MAX_STDERR = 2000  # bytes of it to keep

Message = dict[str, Any]
Notified = Callable[[str, Any], Awaitable[None]]


class ServerError(Exception):
    """The server has answered with an error: its code, message and data in a dict."""


class ServerGone(ConnectionError):
    """Nobody is there to answer; the message says why, with the end of stderr."""


class Client:
    """A running server; made by :meth:`start`."""

    def __init__(self, process: within.Process, notified: Notified | None) -> None:
        self.process = process
        self.stderr = b""  # the end of it
        self._notified = notified
        self._numbers = itertools.count(1)
        self._waiting: dict[int, MemoryObjectSendStream[Message]] = {}
        self._outbox, self._lines = anyio.create_memory_object_stream[bytes]()
        self._written, self._ending, self._over = (anyio.Event() for _ in range(3))
        self._why = ""

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *command: str | os.PathLike[str],
        notified: Notified | None = None,
        stop: within.Stop = STOP,
        **options: Any,
    ) -> AsyncIterator[Client]:
        """Start a server that does not outlive the block.

        ``notified`` is awaited with each notification before the next line is read:
        a slow one slows the server down, and one that awaits a request waits for
        ever. What it raises ends the block, in a group.
        """
        failure = None
        async with (
            within.process(*command, stderr=PIPE, stop=stop, **options) as process,
            anyio.create_task_group() as tasks,
        ):
            client = cls(process, notified)
            tasks.start_soon(client._write)
            tasks.start_soon(client._attend)
            try:
                yield client
                client._outbox.close()
                with within.move_on_after(stop.close_stdin):
                    await client._written.wait()
            except Exception as error:  # noqa: BLE001  # raised below, in no group
                failure = error
            finally:
                client._close("the client has been closed")
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def request(
        self, method: str, params: Any = None, *, timeout: float | None = None
    ) -> Any:
        """The server's result; else ServerError, ServerGone or DeadlineExceeded.

        After ``timeout`` seconds, or when the caller is cancelled, the server is
        told so, and what it answers later is dropped.
        """
        number = next(self._numbers)
        sender, answer = anyio.create_memory_object_stream[Message](1)
        with sender, answer, within.timeout(timeout, name=method):
            self._waiting[number] = sender
            try:
                await self._send(id=number, method=method, params=params)
                message = await answer.receive()
            except anyio.EndOfStream:
                raise ServerGone(self._why) from None
            except anyio.get_cancelled_exc_class():
                with within.shield(CANCEL), suppress(ServerGone):
                    await self.notify("$/cancelRequest", {"id": number})
                raise
            finally:
                self._waiting.pop(number, None)
        if message.get("error") is not None:
            raise ServerError(message["error"])
        return message.get("result")

    async def notify(self, method: str, params: Any = None) -> None:
        """Tell the server, without an answer, as soon as it takes what came before."""
        await self._send(method=method, params=params)

    async def _send(self, **fields: Any) -> None:
        message = {name: it for name, it in fields.items() if it is not None}
        line = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False)
        try:
            await self._outbox.send(line.encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._over.wait()
            raise ServerGone(self._why) from None

    async def _write(self) -> None:
        # A task of its own: a request that is cancelled while it writes would leave
        # half a line in the pipe, and the next one would go on in the middle of it.
        assert self.process.stdin is not None
        try:
            async for line in self._lines:
                await self.process.stdin.send(line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._lines.close()
            self._ending.set()
        finally:
            self._written.set()

    async def _attend(self) -> None:
        """Listen to the server until it is gone; then nobody waits any longer."""
        with within.move_on_after(None) as rest:
            async with anyio.create_task_group() as tasks:
                for listen in (self._read, self._read_stderr, self._wait):
                    tasks.start_soon(listen)
                await self._ending.wait()
                # A helper may hold the pipes open: their end may never come.
                rest.reschedule(within.current_time() + LAST_WORDS)
        how = f"the server is gone (status {self.process.returncode})"
        words = self.stderr.decode(errors="replace").strip()
        self._close(f"{how}; its stderr ends with: {words}")

    def _close(self, why: str) -> None:
        self._why = self._why or why
        self._over.set()
        self._outbox.close()
        self._lines.close()
        for sender in self._waiting.values():
            sender.close()

    async def _wait(self) -> None:
        await self.process.wait()
        self._ending.set()

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        async for data in self.process.stderr:
            self.stderr = (self.stderr + data)[-MAX_STDERR:]

    async def _read(self) -> None:
        async for line in self.process:
            try:
                message = json.loads(line)
                number, method = message.get("id"), message.get("method")
            except (ValueError, AttributeError, RecursionError):
                logging.getLogger(__name__).warning("no message: %.80r", line)
                continue
            if method is None and isinstance(number, int) and number in self._waiting:
                self._waiting.pop(number).send_nowait(message)
            elif method is not None and number is None and self._notified is not None:
                await self._notified(method, message.get("params"))
        self._ending.set()


SERVER = (sys.executable, Path(__file__).with_name("json_rpc_server.py"))


async def main() -> None:
    async with Client.start(*SERVER) as client:

        async def hold(name: str) -> None:
            print("released:", await client.request("hold", name))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold, "first")
            tasks.start_soon(hold, "second")
            print("1 + 2 =", await client.request("add", [1, 2], timeout=30))
            await client.request("release", "second")
            await client.request("release", "first")
        with suppress(within.DeadlineExceeded):
            await client.request("hold", "for ever", timeout=0.1)
        print("cancelled:", len(await client.request("cancelled")))
    print("stopped by the end of its stdin, status", client.process.returncode)
    try:
        async with Client.start(*SERVER) as client:
            await client.request("die", "out of paper")
    except ServerGone as error:
        print(error)


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
