"""Programs in which every task waits forever, and the lines at which they wait."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio
from virtual_runs import LOOPS, virtually

import within
from within.testing import Deadlock

Main = Callable[[], Awaitable[Any]]


def waits(function: Any) -> str:
    """The line of ``function`` with the comment `# waits`, as in the report."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (n for n, line in enumerate(lines) if "# waits" in line)
    file = function.__code__.co_filename
    return f"{file}:{first + offset} in {function.__qualname__}"


def deadlock(loop: str, main: Main) -> str:
    """The report of the deadlock that ``main`` runs into, in virtual time."""
    with pytest.raises(Deadlock) as caught:
        virtually(loop, main)
    return str(caught.value)


async def for_an_event() -> None:
    await anyio.Event().wait()  # waits


async def forever() -> None:
    await anyio.sleep_forever()  # waits


async def for_a_lock() -> None:
    lock = anyio.Lock()
    async with lock, anyio.create_task_group() as group:  # waits
        group.start_soon(lock.acquire)


async def for_a_stream() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    with send, receive:
        await receive.receive()  # waits


async def in_a_shield() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()  # waits


async def in_a_shield_of_ours() -> None:
    with within.shield():
        await anyio.sleep_forever()  # waits


async def numbers() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()  # waits
    yield 2


@asynccontextmanager
async def manager() -> AsyncIterator[None]:
    await anyio.sleep_forever()  # waits
    yield


class Awaited:
    async def _run(self) -> None:
        await anyio.sleep_forever()  # waits

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run().__await__()


async def over_a_generator() -> None:
    async for _ in (generator := numbers()):
        pass
    await generator.aclose()  # type: ignore[attr-defined]


async def for_the_next_of_a_generator() -> None:
    generator = numbers()
    while await anext(generator, None):
        pass


async def entering_a_manager() -> None:
    async with manager():
        pass


async def for_an_awaitable() -> None:
    await Awaited()


async def for_a_future() -> None:
    await asyncio.get_running_loop().create_future()  # waits


async def for_an_asyncio_queue() -> None:
    await asyncio.wait_for(asyncio.Queue[int]().get(), None)  # waits


async def in_gather() -> None:
    await asyncio.gather(asyncio.sleep(1), asyncio.Event().wait())  # waits


async def with_an_infinite_deadline() -> None:
    async with asyncio.timeout(float("inf")):
        await asyncio.sleep(float("inf"))  # waits


async def for_a_trio_channel() -> None:
    send, receive = trio.open_memory_channel[int](0)
    with send, receive:
        await receive.receive()  # waits


async def in_a_trio_shield() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()  # waits


ANYWHERE: list[tuple[Main, Any]] = [
    (for_an_event, for_an_event),
    (forever, forever),
    (for_a_lock, for_a_lock),
    (for_a_stream, for_a_stream),
    (in_a_shield, in_a_shield),
    (in_a_shield_of_ours, in_a_shield_of_ours),
    (over_a_generator, numbers),
    (for_the_next_of_a_generator, numbers),
    (entering_a_manager, manager.__wrapped__),  # type: ignore[attr-defined]
    (for_an_awaitable, Awaited._run),
]
ON_ASYNCIO = [for_a_future, for_an_asyncio_queue, in_gather]
ON_ASYNCIO += [with_an_infinite_deadline]
ON_TRIO = [for_a_trio_channel, in_a_trio_shield]
CASES = [
    *((loop, main, where) for loop in LOOPS for main, where in ANYWHERE),
    *(("asyncio", main, main) for main in ON_ASYNCIO),
    *(("trio", main, main) for main in ON_TRIO),
]
