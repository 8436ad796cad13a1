"""Loops for tests: their parameters for pytest, and a function that uses them."""

from __future__ import annotations

import functools
import importlib.util
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple

from .._backends import current
from ._clock import finite_start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .._seconds import Seconds
    from ._clock import VirtualClock

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")


def backends(
    virtual_time: bool = False, *, uvloop: bool | None = None, start: float = 0.0
) -> list[tuple[str, dict[str, Any]]]:
    """The parameters with which anyio's pytest plugin runs a test on each loop.

    Args:
        virtual_time: Let sleeps take no time: once every task is blocked, the clock
            jumps to the next deadline. It does not jump while a task waits for a
            thread, or for a child process of ours, so a limit on such a wait does not
            expire. The ``grace`` of a stubborn child counts in real seconds.
        uvloop: Whether to run on uvloop too; ``None`` means only if it is installed.
            uvloop has no virtual time.
        start: The time at which a virtual clock starts, in seconds.

    Raises:
        ValueError: For uvloop in virtual time.
        ModuleNotFoundError: If ``uvloop`` is true and it is not installed.

    >>> from within.testing import backends
    >>> [name for name, options in backends(virtual_time=True)]
    ['asyncio', 'trio']

    In a ``conftest.py``::

        @pytest.fixture(params=backends(virtual_time=True))
        def anyio_backend(request):
            return request.param
    """
    _check(virtual_time, start)
    if uvloop not in (True, False, None):
        raise TypeError(f"uvloop is {uvloop!r}: give True, False or None")
    found = [("asyncio", _options("asyncio", virtual_time, start))]
    if uvloop and virtual_time:
        raise ValueError(
            "uvloop=True: uvloop has no virtual time, but asyncio's own loop does"
        )
    if uvloop:
        _need("uvloop", "uvloop=True")
    if uvloop or (uvloop is None and not virtual_time and _is_installed("uvloop")):
        found.append(("asyncio", _options("uvloop", False, start)))
    if _is_installed("trio"):
        found.append(("trio", _options("trio", virtual_time, start)))
    return found


def run(
    function: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    backend: str = "asyncio",
    virtual_time: bool = False,
    start: float = 0.0,
) -> T:
    """Run a coroutine function on a new loop.

    Args:
        function: Called with ``args`` and awaited.
        backend: ``"asyncio"``, ``"uvloop"`` or ``"trio"``.
        virtual_time: As for :func:`backends`.
        start: As for :func:`backends`.

    Raises:
        Deadlock: In virtual time, if nothing is left that could wake a task.
        TypeError: If ``function`` is not a coroutine function (but a coroutine, say).
        ValueError: For an unknown backend, or for uvloop in virtual time.
        ModuleNotFoundError: If the loop is not installed.

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
        raise ValueError(
            "virtual_time=True: uvloop has no virtual time, use backend='asyncio'"
        )
    _check(virtual_time, start)
    if not callable(function):
        if iscoroutine(function):
            function.close()  # or Python warns that it was never awaited
        raise TypeError(
            f"function is {function!r}: give a coroutine function without calling it, "
            "followed by its arguments: run(main, 1, 2)"
        )
    _need(backend, f"backend is {backend!r}")
    function = _checked(function)
    if virtual_time:
        function = raising_deadlocks(function, backend)
        if backend == "trio":
            from ._trio_clock import run as run_on_trio

            return run_on_trio(function, *args, start=start)
    return anyio.run(
        function,
        *args,
        backend="trio" if backend == "trio" else "asyncio",
        backend_options=_options(backend, virtual_time, start),
    )


def virtual_clock() -> VirtualClock:
    """The clock of the running loop, which must be in virtual time.

    Raises:
        RuntimeError: If the loop runs in real time, or no loop is running.

    >>> import anyio
    >>> from within.testing import run, virtual_clock
    >>> async def nap():
    ...     await anyio.sleep(3600)
    ...     return virtual_clock().now
    >>> run(nap, backend="asyncio", virtual_time=True)
    3600.0
    """
    clock = running_clock()
    if clock is None:
        current()  # if no loop is running, it says so
        raise RuntimeError(
            "this loop runs in real time: mark the test with pytest.mark.virtual_time, "
            "parametrise it with backends(virtual_time=True), or use "
            "run(..., virtual_time=True)"
        )
    return clock


def running_clock() -> VirtualClock | None:
    """The clock of the running loop, if there is one and it is in virtual time."""
    try:
        backend = current()
    except RuntimeError:
        return None
    if backend.name == "trio":
        from ._trio_clock import running_clock as clock_of_loop
    else:
        from ._asyncio_loop import running_clock as clock_of_loop
    return clock_of_loop()


def raising_deadlocks(
    function: Callable[P, Awaitable[T]], backend: str
) -> Callable[P, Awaitable[T]]:
    """Wrap ``function`` so that it raises :exc:`Deadlock` if it can never continue.

    :func:`run` and the pytest plugin use it on what they run in virtual time.
    """
    if backend == "trio":
        from ._trio_clock import guarded
    else:
        from ._asyncio_loop import guarded

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return await guarded(function, *args, **kwargs)

    return wrapper


def _check(virtual_time: object, start: Seconds) -> None:
    if not isinstance(virtual_time, bool):
        raise TypeError(f"virtual_time is {virtual_time!r}: give True or False")
    finite_start(start)


def _need(loop: str, argument: str) -> None:
    if not _is_installed(loop):
        raise ModuleNotFoundError(
            f"{argument}, which is not installed: pip install within[{loop}]", name=loop
        )


def _checked(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """The function, with an error that names it if what it returns is no awaitable."""

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        found: Any = function(*args, **kwargs)
        if not isawaitable(found):
            raise TypeError(
                f"function is {function!r}, whose call returns {found!r}: give a "
                "coroutine function ('async def')"
            )
        result: T = await found
        return result

    return wrapper


class VirtualTime(dict[str, Any]):
    """Options with which anyio starts a loop in virtual time."""


def _options(backend: str, virtual_time: bool, start: float) -> dict[str, Any]:
    """The options with which anyio starts the loop."""
    if backend == "uvloop":
        return {"use_uvloop": True}
    if not virtual_time:
        return {}
    if backend == "asyncio":
        from ._asyncio_loop import VirtualTimeLoop

        return VirtualTime(loop_factory=functools.partial(VirtualTimeLoop, start))
    from ._trio_clock import VirtualTrioClock

    return VirtualTime(clock=VirtualTrioClock(start))


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
