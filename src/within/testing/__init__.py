"""For the test suites of code that runs on several loops.

:func:`backends` makes one test run on each loop, in real or in virtual time;
:func:`run` does the same outside pytest.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

__all__ = ["backends", "run"]


def backends(
    virtual_time: bool = False, *, uvloop: bool | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """The parameters for anyio's pytest plugin: a test on each loop.

    Args:
        virtual_time: Let a sleep take no time: the clock jumps when every task
            is blocked, but not while a child process of ours is awaited. On
            asyncio nor does it while a thread of the loop's executor is at work;
            on trio it is :class:`trio.testing.MockClock`, which jumps past
            threads.
        uvloop: Whether to run on uvloop too; ``None`` for where it is installed.
            It has no virtual time.

    >>> from within.testing import backends
    >>> [name for name, options in backends(virtual_time=True)]
    ['asyncio', 'trio']

    In a ``conftest.py``::

        @pytest.fixture(params=backends(virtual_time=True))
        def anyio_backend(request):
            return request.param
    """
    found = [("asyncio", _options("asyncio", virtual_time))]
    if uvloop and virtual_time:
        raise ValueError("uvloop=True: uvloop keeps real time, there is no virtual one")
    if uvloop or (uvloop is None and not virtual_time and _installed("uvloop")):
        found.append(("asyncio", _options("uvloop", virtual_time)))
    if _installed("trio"):
        found.append(("trio", _options("trio", virtual_time)))
    return found


def run(
    function: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    backend: str = "asyncio",
    virtual_time: bool = False,
) -> T:
    """Run a coroutine function on a loop of its own.

    Args:
        function: Called with ``args`` and awaited.
        backend: ``"asyncio"``, ``"uvloop"`` or ``"trio"``.
        virtual_time: As for :func:`backends`.

    >>> import anyio, within
    >>> async def nap():
    ...     began = within.current_time()
    ...     await anyio.sleep(3600)
    ...     return within.current_time() - began
    >>> within.testing.run(nap, backend="trio", virtual_time=True)
    3600.0
    """
    import anyio

    if backend not in ("asyncio", "uvloop", "trio"):
        raise ValueError(f"backend is {backend!r}: give asyncio, uvloop or trio")
    if backend == "uvloop" and virtual_time:
        raise ValueError("virtual_time=True: uvloop keeps real time, use asyncio")
    return anyio.run(
        function,
        *args,
        backend="trio" if backend == "trio" else "asyncio",
        backend_options=_options(backend, virtual_time),
    )


def _options(backend: str, virtual_time: bool) -> dict[str, Any]:
    """What anyio is to start the loop with."""
    if backend == "uvloop":
        return {"use_uvloop": True}
    if not virtual_time:
        return {}
    if backend == "asyncio":
        from .._backends._asyncio_virtual import VirtualTimeLoop

        return {"loop_factory": VirtualTimeLoop}
    from .._backends._trio import virtual_clock

    return {"clock": virtual_clock()}


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
