"""A client that talks to a tool server over stdin and stdout, as agents do with MCP.

    python examples/tool_client.py

It asks one question at a time. The server's stderr is its log: it is read all the time,
and the errors show the end of it. ``json_rpc.py`` is a client that has many
requests in flight.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

import within
import within.testing

STOP = within.Stop(close_stdin=2, grace=2)
PATIENCE = 2  # seconds for the server to read a request, and to exit
Server = within.Server[
    within.SendStream, within.ReceiveStream, within.ReceiveStream | None
]


class ToolError(Exception):
    """The tool has failed; the message is the server's."""


class Tools:
    """The tools of a running server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count(1)
        self._asking = anyio.Lock()

    async def call(self, method: str, **params: Any) -> Any:
        """Call a tool, and return its result.

        If the call is cancelled or runs into a limit, its answer is skipped later.

        Raises:
            ToolError: If the tool fails.
            ConnectionError: If the server is gone; the message has the end of its log.
        """
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        async with self._asking, anyio.create_task_group() as tasks:
            # At the same time: a server that is still writing the answer to an abandoned
            # call reads nothing until that answer has been read.
            tasks.start_soon(self._send, json.dumps(request) + "\n")
            message = await self._answer(number)
        if message is None:
            with within.move_on_after(PATIENCE):
                await self.server.wait()
            how, log = self.server.returncode, self.server.log.strip()
            raise ConnectionError(f"the server is gone (status {how}); it says: {log}")
        if "error" in message:
            raise ToolError(message["error"]["message"])
        return message.get("result")

    async def _send(self, line: str) -> None:
        try:
            with within.shield(PATIENCE) as sending:  # never half a line
                await self.server.write(line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.server.kill()  # it reads no more: without this, no answer would come
        else:
            if sending.cancelled_caught:
                self.server.kill()

    async def _answer(self, number: int) -> dict[str, Any] | None:
        """Read the answer to this request; it is ``None`` if the output ends."""
        while line := await self.server.readline():
            with suppress(ValueError, RecursionError):  # not JSON, such as a banner
                message = json.loads(line)
                if isinstance(message, dict) and message.get("id") == number:
                    return message
        return None


@asynccontextmanager
async def open_tools(*command: str) -> AsyncIterator[Tools]:
    """Start a server for the length of a block."""
    async with within.server(
        *command, stdout=within.PIPE, stop=STOP, errors="replace"
    ) as server:
        tools = Tools(server)
        with within.timeout(10, name="handshake"):
            await tools.call("initialize")
        yield tools


# A server with three tools, of which the last one ends it.
SERVER = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    method, params = request["method"], request["params"]
    print("asked for", method, file=sys.stderr, flush=True)
    answer = {"jsonrpc": "2.0", "id": request["id"]}
    if method == "initialize":
        answer["result"] = ["upper", "explode"]
    elif method == "upper":
        answer["result"] = params["text"].upper()
    elif method == "explode":
        sys.exit("out of paper")
    else:
        answer["error"] = {"code": -32601, "message": f"there is no tool {method}"}
    print(json.dumps({"jsonrpc": "2.0", "method": "progress"}))
    print(json.dumps(answer), flush=True)
"""
COMMAND = (sys.executable, "-c", SERVER)


async def main() -> None:
    async with open_tools(*COMMAND) as tools:
        print(await tools.call("upper", text="hello"))
        try:
            await tools.call("fly")
        except ToolError as error:
            print(error)
    print("stopped by the end of its stdin, status", tools.server.returncode)
    async with open_tools(*COMMAND) as tools:
        try:
            await tools.call("explode")
        except ConnectionError as error:
            print(error)


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
