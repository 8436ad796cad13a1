"""The lesson that this package grew out of, using the classes of the package.

    python examples/lesson.py

It shows a block with ``__aenter__`` and ``__aexit__`` that must end in time, a child
process that can be awaited, entered and iterated over, and a synchronous block that
sets a flag. It works the same on every loop.
"""

from __future__ import annotations

import anyio

import within


async def limited(seconds: float) -> None:
    try:
        async with within.timeout(2):
            await anyio.sleep(seconds)
            print("done")
        print("after")
    except TimeoutError:
        print("timeout")


async def talk() -> None:
    async with within.process("printf", "one\\ntwo\\n") as process:
        async for line in process:
            print("line:", line.rstrip())
    mine = await within.process("cat")
    await mine.aclose()
    print("process ended:", mine.returncode is not None)


def flag() -> None:
    state = {"running": False}
    with within.running(state):
        print(state)
    print(state)


async def main() -> None:
    await limited(1)
    await limited(3)
    await talk()
    flag()


if __name__ == "__main__":
    for backend, options in (
        ("asyncio", {}),
        ("asyncio", {"use_uvloop": True}),
        ("trio", {}),
    ):
        anyio.run(main, backend=backend, backend_options=options)
