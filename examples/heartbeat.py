"""A connection that must not fall silent: keep-alive, heartbeat and goodbye.

    python examples/heartbeat.py

One block limits the silence, and each message moves its deadline. Heartbeats go out
at fixed times, however long each takes to send. However the session ends, it says
goodbye, within a grace period. It works the same on every loop. The demonstration
runs in virtual time, so its day takes no time.
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
GOODBYE = "goodbye"


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
        handle: Awaited for each message before the next one is read. Its time counts
            as silence, so it must take less than ``limit``.
        interval: Seconds from one beat to the next.
        limit: Seconds of silence that end the session.
        grace: Seconds that the goodbye may take.

    Raises:
        DeadlineExceeded: If ``limit`` seconds pass without a message.
        ExceptionGroup: Contains the exceptions that ``handle`` or a send raised.
    """
    silence = within.timeout(limit, name="keep-alive")
    try:
        # Outside the task group, which would wrap the error in an exception group.
        async with silence, anyio.create_task_group() as tasks:
            tasks.start_soon(beat, connection, interval)
            async for message in connection:
                # A message may be read after the block has expired. That cannot be
                # undone, and the block ends at its next await.
                if not silence.expired:
                    silence.restart()
                await handle(message)
            tasks.cancel_scope.cancel()
    finally:
        with within.shield(grace):
            try:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await connection.send(GOODBYE)
            finally:
                await connection.aclose()


async def beat(connection: ObjectSendStream[str], interval: float) -> None:
    """Send the n-th beat ``n * interval`` seconds from now, forever.

    A beat is skipped if its time passes while an earlier one is being sent.
    """
    began, number = within.current_time(), 1
    while True:
        # With sleep(interval) the duration of the sends would add up.
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
    print(f"sent: {sent.count(BEAT)} beats and {sent.count(GOODBYE)} goodbye")


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        within.testing.run(main, backend=backend, virtual_time=True)
