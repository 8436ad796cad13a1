"""Two small helpers, running and opening. They need no event loop."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=MutableMapping[Any, Any])


class running(Generic[M]):  # noqa: N801  # it is used like a function
    """``item[key]`` is true inside the block and false after it (R1).

    Works with both ``with`` and ``async with``, and may be entered again.

    Args:
        item: Any mutable mapping. ``as`` binds it.
        key: The key to set in it.

    >>> import within
    >>> state = {}
    >>> with within.running(state):
    ...     print(state)
    {'running': True}
    >>> state
    {'running': False}
    """

    __slots__ = ("_item", "_key")

    def __init__(self, item: M, key: Any = "running") -> None:
        self._item = item
        self._key = key

    def __enter__(self) -> M:
        self._item[self._key] = True
        return self._item

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._item[self._key] = False

    async def __aenter__(self) -> M:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)


_WAY_OUT = "use the result of `async with` or `await`"


class Opening(Generic[T_co]):
    """A resource that is about to be opened: await this or enter it, but only once.

    If you await it, you have to close the resource yourself. If you enter it, the end of
    the block closes the resource: with its own ``__aexit__`` if it has one, otherwise
    with ``aclose()`` or ``close()``. If these return an awaitable, it is awaited.
    """

    __slots__ = ("__weakref__", "_coroutine", "_resource", "_what")

    def __init__(self, coroutine: Coroutine[Any, Any, T_co], what: str) -> None:
        self._coroutine: Coroutine[Any, Any, T_co] | None = coroutine
        self._what = what
        self._resource: Any = None

    def __repr__(self) -> str:
        state = "opened" if self._coroutine is None else "not opened yet"
        return f"<{self._what}(...) {state}>"

    def __await__(self) -> Generator[Any, Any, T_co]:
        # If it is never called, Python itself warns that the coroutine was never
        # awaited, and names it.
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is None:
            raise RuntimeError(
                f"this {self._what}(...) has already been awaited or entered: call "
                f"{self._what} again to get another one"
            )
        return coroutine.__await__()

    if not TYPE_CHECKING:
        # Type checkers reject all of this anyway. Python's own errors would not say what
        # to do instead.

        def __enter__(self):
            self._refuse(f"{self._what}(...) is entered with `async with`, not `with`")

        def __exit__(self, *exc):
            pass

        def __aiter__(self):
            self._refuse(f"{self!r} is not iterable: {_WAY_OUT}")

        __iter__ = __aiter__

        def _refuse(self, says):
            coroutine, self._coroutine = self._coroutine, None
            if coroutine is not None:
                coroutine.close()  # a warning that it was never awaited would be noise
            raise TypeError(says)

        def __getattr__(self, name):
            if name.startswith("_"):  # copy() may ask before __init__()
                raise AttributeError(name)
            says = f"{self!r} has no attribute {name!r}: {_WAY_OUT}"
            raise AttributeError(says, name=name, obj=self)

    async def __aenter__(self) -> T_co:
        opened = await self
        self._resource = resource = cast("Any", opened)
        if not hasattr(resource, "__aexit__"):
            return opened
        try:
            entered: T_co = await resource.__aenter__()
            return entered
        except BaseException:
            # The block was not entered, so nothing else closes what was opened.
            if hasattr(resource, "aclose") or hasattr(resource, "close"):
                await _close(resource)
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        resource, self._resource = self._resource, None
        if hasattr(resource, "__aexit__"):
            swallow: bool | None = await resource.__aexit__(exc_type, exc, traceback)
            return swallow
        await _close(resource)
        return None


async def _close(resource: Any) -> None:
    closed = resource.aclose() if hasattr(resource, "aclose") else resource.close()
    if hasattr(closed, "__await__"):
        await closed


def opening(
    function: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Opening[T]]:
    """Decorate a function that opens a resource: callers can await or enter its calls (R2).

    Args:
        function: A coroutine function that opens a resource and returns it.

    Raises:
        RuntimeError: If the same call is awaited or entered a second time.

    >>> import asyncio, within
    >>> class Door:
    ...     async def aclose(self):
    ...         print("closed")
    >>> @within.opening
    ... async def door():
    ...     print("opened")
    ...     return Door()
    >>> async def main():
    ...     async with door():
    ...         print("inside")
    ...     mine = await door()
    ...     await mine.aclose()
    >>> asyncio.run(main())
    opened
    inside
    closed
    opened
    closed
    """
    what = function.__name__

    def call(*args: P.args, **kwargs: P.kwargs) -> Opening[T]:
        coroutine = function(*args, **kwargs)
        # Python names it in the warning about a coroutine that was never awaited.
        coroutine.__qualname__ = function.__qualname__  # type: ignore[attr-defined]
        return Opening(coroutine, what)

    return update_wrapper(call, function)
