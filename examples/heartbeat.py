"""A connection that must not fall silent: keep-alive, heartbeat and good-bye.

    python examples/heartbeat.py

The limit on silence is one block, whose deadline each message moves on. Beats go
out at fixed times, however long each takes to send. However the session ends, it
says good-bye, and has a grace to do so. The same on each loop; the demonstration
runs in virtual time, in which its day takes none.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.streams.stapled import StapledObjectStream

import within
import within.testing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import ObjectSendStream, ObjectStream

BEAT = "beat"
GOOD_BYE = "good-bye"


async def session(
    connection: ObjectStream[str],
    handle: Callable[[str], Awaitable[None]],
    *,
    interval: float,
    limit: float,
    grace: float,
) -> None:
    """Handle messages until the peer ends the stream, and close the connection.

    Args:
        handle: Awaited for each message before the next is read; its time counts
            as silence, so it must be quicker than ``limit``.
        interval: Seconds from beat to beat.
        limit: Seconds of silence after which the session is over.
        grace: Seconds that the good-bye may take.

    Raises:
        DeadlineExceeded: ``limit`` seconds after the last message.
        ExceptionGroup: With what ``handle`` or a send has raised.
    """
    silence = within.timeout(limit, name="keep-alive")
    try:
        # Around the group, which would make a group of its error.
        async with silence, anyio.create_task_group() as tasks:
            tasks.start_soon(beat, connection, interval)
            async for message in connection:
                # A message may be read when the deadline has struck already. That
                # cannot be taken back, and ends the block at its next await.
                if not silence.expired:
                    silence.reschedule(within.current_time() + limit)
                await handle(message)
            tasks.cancel_scope.cancel()
    finally:
        with within.shield(grace):
            try:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await connection.send(GOOD_BYE)
            finally:
                await connection.aclose()


async def beat(connection: ObjectSendStream[str], interval: float) -> None:
    """Send the n-th beat ``n * interval`` seconds from now, for ever.

    A beat whose time has passed while another was being sent is left out.
    """
    began, number = within.current_time(), 1
    while True:
        # Not sleep(interval): what each send takes would add up.
        await anyio.sleep_until(began + number * interval)
        await connection.send(BEAT)
        due = (within.current_time() - began) / interval
        number = max(number + 1, math.ceil(due))


async def main() -> None:
    to_peer, from_us = anyio.create_memory_object_stream[str](math.inf)
    to_us, from_peer = anyio.create_memory_object_stream[str]()

    async def peer() -> None:
        for greeting in ("good morning", "good evening"):
            await to_us.send(greeting)
            await anyio.sleep(12 * 3600)

    async def handle(message: str) -> None:
        print(f"{within.current_time():6.0f} s: {message}")

    async with from_us, to_us, anyio.create_task_group() as tasks:
        tasks.start_soon(peer)
        connection = StapledObjectStream(to_peer, from_peer)
        try:
            await session(connection, handle, interval=30, limit=46_801, grace=5)
        except within.DeadlineExceeded as error:
            print(f"{within.current_time():6.0f} s: {error}")
        sent = [message async for message in from_us]
    print(f"sent: {sent.count(BEAT)} beats and {sent.count(GOOD_BYE)} good-bye")


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        within.testing.run(main, backend=backend, virtual_time=True)
