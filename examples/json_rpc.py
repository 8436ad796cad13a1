"""A JSON-RPC 2.0 client that runs its server as a child process on stdio.

    python examples/json_rpc.py

There is one message per line, as usual for tool servers. Many requests may be in
flight, each with a limit of its own. If the server dies, they all fail at once, and
their errors show the end of its stderr. However the block ends, the server and its
process group are stopped. It works the same on every loop.
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
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

import within
import within.testing

STOP = within.Stop(close_stdin=2, grace=2, tree="group")
CANCEL = 0.1  # seconds for telling the server that a request is cancelled
MAX_STDERR = 2000  # how many bytes from the end of stderr to keep

Message = dict[str, Any]
Server = within.Process[within.SendStream, within.ReceiveStream, within.ReceiveStream]
OnNotification = Callable[[str, Any], Awaitable[None]]


class ServerError(Exception):
    """The server answered with an error: a dict with its code, message and data."""


class ServerGone(ConnectionError):
    """The server cannot answer; the message says why and shows the end of stderr."""


class Client:
    """A client of a running server; use :meth:`start` to create one."""

    def __init__(self, process: Server, on_notification: OnNotification | None) -> None:
        self.process = process
        self.stderr = b""  # the last MAX_STDERR bytes
        self._on_notification = on_notification
        self._numbers = itertools.count(1)
        self._waiting: dict[int, MemoryObjectSendStream[Message]] = {}
        self._outbox, self._lines = anyio.create_memory_object_stream[str]()
        self._written, self._over = anyio.Event(), anyio.Event()
        self._reason = ""

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *command: str | os.PathLike[str],
        on_notification: OnNotification | None = None,
        stop: within.Stop = STOP,
        **options: Any,
    ) -> AsyncIterator[Client]:
        """Start a server that does not outlive the block.

        ``on_notification`` is awaited for each notification before the next line is
        read. So if it is slow, it slows the server down, and if it awaits a request,
        it waits forever. If it raises, the block ends with an exception group.
        """
        failure = None
        async with (
            within.process(
                *command, stderr=within.PIPE, stop=stop, **options
            ) as process,
            anyio.create_task_group() as tasks,
        ):
            client = cls(process, on_notification)
            tasks.start_soon(client._write)
            tasks.start_soon(client._listen)
            try:
                yield client
                client._outbox.close()
                with within.move_on_after(stop.close_stdin):
                    await client._written.wait()
            except Exception as error:  # noqa: BLE001  # raised below, outside a group
                failure = error
            finally:
                client._close("the client has been closed")
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def request(
        self, method: str, params: Any = None, *, timeout: float | None = None
    ) -> Any:
        """Send a request, and return the server's result.

        After ``timeout`` seconds, or if the caller is cancelled, the server is told
        that the request is cancelled. If it answers later, the answer is dropped.

        Raises:
            ServerError: If the server answers with an error.
            ServerGone: If the server exits or hangs up first.
            DeadlineExceeded: If ``timeout`` seconds pass first.
        """
        number = next(self._numbers)
        sender, answer = anyio.create_memory_object_stream[Message](1)
        with sender, answer, within.timeout(timeout, name=method):
            self._waiting[number] = sender
            try:
                await self._send(id=number, method=method, params=params)
                message = await answer.receive()
            except anyio.EndOfStream:
                raise ServerGone(self._reason) from None
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
        """Send a notification, as soon as the messages before it have been sent."""
        await self._send(method=method, params=params)

    async def _send(self, **fields: Any) -> None:
        message = {name: it for name, it in fields.items() if it is not None}
        line = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False)
        try:
            await self._outbox.send(line + "\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._over.wait()
            raise ServerGone(self._reason) from None

    async def _write(self) -> None:
        # Writing has a task of its own. If a request was cancelled while it wrote, it
        # would leave half a line in the pipe, and the next request would continue it.
        try:
            async for line in self._lines:
                await self.process.write(line)
        except anyio.BrokenResourceError:
            # It reads no more. If it has not exited, it has closed its stdin, and can
            # neither be asked anything nor be told to end in any other way.
            self._lines.close()
            self.process.terminate()
        except anyio.ClosedResourceError:
            pass  # by _close()
        finally:
            self._written.set()

    async def _listen(self) -> None:
        """Read from the server until it is gone, and then fail all open requests."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read_stderr)
            await self._read()
            # If it has exited, its stderr will end too, even if a process that it has
            # started holds that open. If it has only closed its stdout, it may not.
            if self.process.returncode is None:
                tasks.cancel_scope.cancel()
        how = f"the server is gone (status {self.process.returncode})"
        stderr = self.stderr.decode(errors="replace").strip()
        self._close(f"{how}; its stderr ends with: {stderr}")

    def _close(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._over.set()
        self._outbox.close()
        self._lines.close()
        for sender in self._waiting.values():
            sender.close()

    async def _read_stderr(self) -> None:
        async for data in self.process.stderr:
            self.stderr = (self.stderr + data)[-MAX_STDERR:]

    async def _read(self) -> None:
        async for line in self.process:
            try:
                message = json.loads(line)
                number, method = message.get("id"), message.get("method")
            except (ValueError, AttributeError, RecursionError):
                logging.getLogger(__name__).warning("not a message: %.80r", line)
                continue
            if method is None and isinstance(number, int) and number in self._waiting:
                self._waiting.pop(number).send_nowait(message)
            elif method is not None and number is None and self._on_notification:
                await self._on_notification(method, message.get("params"))


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
            await client.request("hold", "forever", timeout=0.1)
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
