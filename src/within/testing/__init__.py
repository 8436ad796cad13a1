"""For the test suites of code that runs on several loops.

:func:`backends` makes one test run on each loop, in real or in virtual time, and
:func:`run` does so outside pytest. In virtual time a sleep of an hour takes none:
the clock (:func:`virtual_clock`) moves only when every task is blocked, and a
program that nothing can wake is a :exc:`Deadlock` and not a hang.

The plugin for pytest adds the marker ``virtual_time``, which runs an async test on
asyncio and trio (or on those that it names), and the fixture ``virtual_clock``::

    @pytest.mark.virtual_time
    async def test_keep_alive(virtual_clock):
        with within.move_on_after(3600) as limit:
            await anyio.sleep(7200)
        assert limit.cancelled_caught
        assert virtual_clock.now == 3600

The mark serves an async test of Hypothesis as well. There call :func:`virtual_clock`
in place of the fixture, which Hypothesis takes exception to, and count from what it
shows at first: an async fixture keeps one loop, and its time, for all examples.

Where a wait ends at the very instant of a deadline, either may win, by the loop.
In tests choose times that cannot meet: odd multiples of 1/64 for deadlines and
whole seconds for the rest, which are exact in floating point.

Random programs, and what must become of them, are in :mod:`within.testing.model`.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple

from ._clock import Deadlock, VirtualClock, virtual_clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

__all__ = ["Deadlock", "VirtualClock", "backends", "run", "virtual_clock"]


def backends(
    virtual_time: bool = False, *, uvloop: bool | None = None, start: float = 0.0
) -> list[tuple[str, dict[str, Any]]]:
    """The parameters for anyio's pytest plugin: a test on each loop.

    Args:
        virtual_time: Let a sleep take no time: the clock jumps to the next
            deadline when every task is blocked, but not while one waits for a
            thread, or for a child process of ours. So a limit on such a wait
            does not run out, and nor does the ``grace`` of a stubborn child.
        uvloop: Whether to run on uvloop too; ``None`` for where it is installed.
            It has no virtual time.
        start: What a virtual clock shows at first, in seconds.

    Raises:
        ValueError: For uvloop in virtual time.

    >>> from within.testing import backends
    >>> [name for name, options in backends(virtual_time=True)]
    ['asyncio', 'trio']

    In a ``conftest.py``::

        @pytest.fixture(params=backends(virtual_time=True))
        def anyio_backend(request):
            return request.param
    """
    found = [("asyncio", _options("asyncio", virtual_time, start))]
    if uvloop and virtual_time:
        raise ValueError("uvloop=True: uvloop keeps real time, there is no virtual one")
    if uvloop or (uvloop is None and not virtual_time and _installed("uvloop")):
        found.append(("asyncio", _options("uvloop", False, start)))
    if _installed("trio"):
        found.append(("trio", _options("trio", virtual_time, start)))
    return found


def run(
    function: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    backend: str = "asyncio",
    virtual_time: bool = False,
    start: float = 0.0,
) -> T:
    """Run a coroutine function on a loop of its own.

    Args:
        function: Called with ``args`` and awaited.
        backend: ``"asyncio"``, ``"uvloop"`` or ``"trio"``.
        virtual_time: As for :func:`backends`.
        start: As for :func:`backends`.

    Raises:
        Deadlock: In virtual time, when nothing is left that could wake a task.
        ValueError: For another backend, and for uvloop in virtual time.
        ModuleNotFoundError: For a loop that is not installed.

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
    if not _installed(backend):
        raise ModuleNotFoundError(
            f"backend is {backend!r}, which is not installed: pip install "
            f"within[{backend}]",
            name=backend,
        )
    if virtual_time:
        function = guarded(function, backend)
    return anyio.run(
        function,
        *args,
        backend="trio" if backend == "trio" else "asyncio",
        backend_options=_options(backend, virtual_time, start),
    )


def guarded(
    function: Callable[P, Awaitable[T]], backend: str
) -> Callable[P, Awaitable[T]]:
    """``function``, from which a deadlock in virtual time is raised.

    For who starts the loop by other means than :func:`run` and the plugin.
    """
    if backend == "trio":
        from .._backends._trio_virtual import guarded as guard
    else:
        from .._backends._asyncio_virtual import guarded as guard

    @functools.wraps(function)
    async def guarded_function(*args: P.args, **kwargs: P.kwargs) -> T:
        return await guard(function, *args, **kwargs)

    return guarded_function


class VirtualTime(dict[str, Any]):
    """What anyio is to start a loop with that keeps virtual time."""


def _options(backend: str, virtual_time: bool, start: float) -> dict[str, Any]:
    """What anyio is to start the loop with."""
    if backend == "uvloop":
        return {"use_uvloop": True}
    if not virtual_time:
        return {}
    if backend == "asyncio":
        from .._backends._asyncio_virtual import VirtualTimeLoop

        return VirtualTime(loop_factory=functools.partial(VirtualTimeLoop, start))
    from .._backends._trio_virtual import VirtualTrioClock

    return VirtualTime(clock=VirtualTrioClock(start))


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
