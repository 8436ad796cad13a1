"""A JSON-RPC 2.0 client that runs its server as a child process, on stdin and stdout.

There is one message per line, and any number of requests may be in flight. If the server
dies, all of them fail at once, with the end of its stderr. ``json_rpc_demo.py`` uses it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

import within

STOP = within.Stop(close_stdin=2, grace=2)
CANCEL = 0.1  # seconds for telling the server that a request is cancelled
CLOSED = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class ServerError(Exception):
    """The server answered with an error: a dict with its code, message and data."""


class ServerGone(ConnectionError):
    """The server cannot answer; the message says why, with the end of its stderr."""


class Client:
    def __init__(self, server: Any, on_notification: Any) -> None:
        self.server, self._on_notification = server, on_notification
        self._waiting: dict[int, Any] = {}
        self._number = 0
        self._end = "the client has been closed"
        self.outbox, self.lines = anyio.create_memory_object_stream[str]()

    async def request(self, method: str, params: Any = None) -> Any:
        number = self._number = self._number + 1
        sender, answer = anyio.create_memory_object_stream[Any](1)
        with sender, answer:
            self._waiting[number] = sender
            try:
                await self.notify(method, params, id=number)
                message = await answer.receive()
            except anyio.EndOfStream:
                raise ServerGone(self._end) from None
            except anyio.get_cancelled_exc_class():
                with within.shield(CANCEL), suppress(ServerGone):
                    await self.notify("$/cancelRequest", {"id": number})
                raise
            finally:
                self._waiting.pop(number, None)
        if message.get("error") is not None:
            raise ServerError(message["error"])
        return message.get("result")

    async def notify(self, method: str, params: Any = None, **fields: Any) -> None:
        if params is not None:
            fields["params"] = params
        line = json.dumps({"jsonrpc": "2.0", "method": method, **fields}) + "\n"
        try:
            await self.outbox.send(line)
        except CLOSED:
            raise ServerGone(self._end) from None

    async def write(self) -> None:
        # In a task of its own, so that a request that is cancelled leaves no half line.
        try:
            async for line in self.lines:
                await self.server.write(line)
        except anyio.ClosedResourceError:
            pass  # by the end of the block
        except anyio.BrokenResourceError:
            self.server.terminate()  # it has closed its stdin: that will not end it
            with within.move_on_after(STOP.grace):
                await self.server.wait()
            self.server.kill()  # unless it has exited; then `listen` fails the requests

    async def listen(self) -> None:
        try:
            async for line in self.server:
                await self._receive(line)
            how, log = self.server.returncode, self.server.log[-2000:].strip()
            self._end = (
                f"the server is gone (status {how}); its stderr ends with: {log}"
            )
        finally:
            for stream in (self.outbox, self.lines, *self._waiting.values()):
                stream.close()

    async def _receive(self, line: str) -> None:
        try:
            message = json.loads(line)
            number, method = message.get("id"), message.get("method")
        except (ValueError, AttributeError, RecursionError):
            logging.getLogger(__name__).warning("not a message: %.80r", line)
            return
        if method is None and isinstance(number, int) and number in self._waiting:
            self._waiting.pop(number).send_nowait(message)
        elif method is not None and number is None and self._on_notification:
            await self._on_notification(method, message.get("params"))


@asynccontextmanager
async def open_client(
    *command: within.Word, on_notification: Any = None, stop: within.Stop = STOP
) -> AsyncIterator[Client]:
    async with within.server(*command, stdout=within.PIPE, stop=stop) as server:
        client = Client(server, on_notification)
        with client.outbox, client.lines:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.write)
                tasks.start_soon(client.listen)
                yield client
                with within.move_on_after(stop.close_stdin), suppress(*CLOSED):
                    await client.outbox.send("")  # taken once all before it is written
                await server.stdin.aclose()
                tasks.cancel_scope.cancel()
