"""Uses the client of ``json_rpc.py`` with the server of ``json_rpc_server.py``.

    python examples/json_rpc_demo.py

It works the same on every loop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
from json_rpc import ServerGone, open_client

import within
import within.testing

SERVER = (sys.executable, Path(__file__).with_name("json_rpc_server.py"))


async def main() -> None:
    async with open_client(*SERVER) as client:

        async def hold(name: str) -> None:
            print("released:", await client.request("hold", name))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold, "first")
            tasks.start_soon(hold, "second")
            with within.timeout(30):
                print("1 + 2 =", await client.request("add", [1, 2]))
            await client.request("release", "second")
            await client.request("release", "first")
        with within.move_on_after(0.1):
            await client.request("hold", "forever")
        print("cancelled:", len(await client.request("cancelled")))
    print("stopped by the end of its stdin, status", client.server.returncode)
    async with open_client(*SERVER) as client:
        try:
            await client.request("die", "out of paper")
        except ServerGone as error:
            print(error)


if __name__ == "__main__":
    for backend in ("asyncio", "uvloop", "trio"):
        print(f"--- {backend}")
        within.testing.run(main, backend=backend)
