"""What is raised, and what it says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from ._backends import current

if TYPE_CHECKING:
    from ._timeouts import Timeout


class DeadlineExceeded(TimeoutError):
    """A block did not end before its deadline.

    A ``TimeoutError``, and by that an ``OSError``, as those of sockets are.
    ``scope`` is the :class:`~within.Timeout` whose block ended, so that one
    timeout can be told from another, and from a socket's:

    >>> import asyncio, within
    >>> async def main():
    ...     with within.timeout(30, name="request") as request:
    ...         try:
    ...             with within.timeout(0, name="connect") as connect:
    ...                 await asyncio.sleep(1)
    ...         except TimeoutError as error:
    ...             print(error.scope is connect, error.scope is request)
    >>> asyncio.run(main())
    True False
    """

    scope: Timeout

    def __init__(self, message: str, scope: Timeout) -> None:
        super().__init__(message)
        self.scope = scope

    def __reduce__(self) -> Any:
        # What goes to another process is the message, and the name of the block.
        return _unpickled, (type(self), self.args[0], self.scope.name, _rest(self))


def reason(timeout: Timeout, now: float) -> str:
    """What the cancellation inside the block says, where the loop lets it speak."""
    name = "a block" if timeout._name is None else repr(timeout._name)
    left = timeout._when - now
    if left > 0:
        rest = "" if left == math.inf else f", {left:.3g} s before its deadline"
        return f"{name} was ended by cancel(){rest}"
    if timeout._delay is not None:
        return f"{name} exceeded its limit of {timeout._delay:g} s"
    return f"{name} exceeded its deadline {timeout._when:.12g}"


def message(timeout: Timeout) -> str:
    """Name, limit and lateness (T10)."""
    now = current().current_time()
    late = now - timeout._when
    says = reason(timeout, now)
    return f"{says} (ended {late:.3g} s late)" if late >= 0 else says


def exceeded(timeout: Timeout) -> DeadlineExceeded:
    """The error for a block that its deadline has ended."""
    return DeadlineExceeded(message(timeout), timeout)


def explain(
    error: BaseException,
    timeout: Timeout,
    cancelled: type[BaseException],
    *,
    certain: bool = False,
) -> bool:
    """Put what ``timeout`` would have raised into the context chain of ``error`` (T9).

    It goes just above the cancellation that it stands for, so that a traceback
    reads: cancelled here, because of this deadline, and then this went wrong. In
    a group it goes to each member with a cancellation behind it, and to the
    group. Where there is none nothing changes, unless it is ``certain`` to be
    behind it; the answer is whether there was.
    """
    for member in _members(error):
        certain = explain(member, timeout, cancelled) or certain
    seen = {id(error)}
    last: BaseException = error
    context = last.__context__
    while context is not None and not isinstance(context, cancelled):
        if id(context) in seen:
            return certain  # a cycle that somebody has made: not ours to mend
        seen.add(id(context))
        last, context = context, context.__context__
    if context is None and not certain:
        return False
    inserted = exceeded(timeout)
    inserted.__cause__ = inserted.__context__ = context
    last.__context__ = inserted
    return True


def _members(error: BaseException) -> tuple[BaseException, ...]:
    is_group = isinstance(error, BaseExceptionGroup)
    return cast("BaseExceptionGroup[Any]", error).exceptions if is_group else ()


def _rest(error: DeadlineExceeded) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if name != "scope"}


def _unpickled(
    kind: type[DeadlineExceeded], says: str, name: str | None, rest: dict[str, Any]
) -> DeadlineExceeded:
    from ._timeouts import Timeout

    error = kind.__new__(kind, says)
    error.args = (says,)
    error.scope = Timeout(name=name)
    vars(error).update(rest)
    return error
