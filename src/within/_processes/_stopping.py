"""Ends a child as its :class:`Stop` says, even if we are cancelled (P3, P4)."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, TypeVar

from .._backends import current
from .._timeouts import Timeout, move_on_at
from ._platform import CONTINUE, KILL
from ._pty import polite_signal
from ._pump import limited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from ._plan import Stop
    from ._platform import Child, Pump
    from ._rest import Rest

T = TypeVar("T")

# How long to wait before the end of the input is typed again, each time, in seconds. A
# shell that is just starting may discard what was typed too early.
_AGAIN = (0.1, 0.4, 1.5)

# How long to wait after SIGKILL, in seconds. Only the kernel can hold a process up then.
_LAST_PATIENCE = 10.0


async def let_finish(
    child: Child,
    pump: Pump,
    rest: Rest,
    *,
    is_shared: bool,
    between: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Let what an exited child has left behind write the rest of its output (P6).

    ``is_shared`` says that some of the output goes where we cannot watch it, into a file
    or to a terminal. Then we wait for the processes themselves.
    """
    pump.unwatch()
    is_shared = is_shared and not child.is_spared()
    # Most children leave no process behind. Then the rest is in the pipes, and reading
    # it now saves a pass of the loop, and a look at the group.
    pump.drain()
    if between is not None:
        await between()
    try:
        while pump.is_reading() or (is_shared and child.left()):
            seconds = rest.left()
            if not seconds:
                break
            with limited(seconds, pump):
                if is_shared and (left := child.left()):
                    await pump.until_one_ends(left)
                else:
                    await pump.once()
            if between is not None:
                await between()
    except BaseException:  # the caller stops waiting, here and anywhere else
        rest.end()
        raise


async def stop_child(
    child: Child,
    pump: Pump,
    plan: Stop,
    *,
    close_stdin: Callable[[], None] = lambda: None,
    orderly: bool = False,
) -> None:
    """End ``child`` and its tree, and reap it, even if we are cancelled meanwhile.

    ``close_stdin`` closes our end of its stdin, if there is one. ``orderly`` says that
    the child has closed its output by itself. It then first gets ``grace`` seconds to
    exit without a signal.
    """
    if not child.is_ours():
        return
    try:
        current()
    except RuntimeError:  # the loop is gone: nothing can be awaited any more
        child.end_now()
        return
    stopping = _Stopping(child, pump, plan, close_stdin, orderly)
    try:
        if not child.is_done():
            pump.watch(child.exit_fd)
            await _finish(stopping.advance)
        stopping.over = True
    finally:
        if stopping.over:
            child.reap()
        else:  # out of descriptors, or the loop is gone: the steps cannot be taken
            try:
                pump.drain()
            finally:
                pump.close()  # it takes some descriptors to find all of a tree
                child.end_now()


async def _finish(attempt: Callable[[], Awaitable[T]]) -> T:
    """Await ``attempt()`` to its end, even if the caller is cancelled meanwhile.

    A shield holds off our deadlines, and the scopes of anyio and trio. On asyncio
    nothing holds off a bare ``Task.cancel()`` (T14); then ``attempt`` is called
    again, and must be able to continue where it was interrupted. The cancellation is
    raised at the end.
    """
    cancelled = current().cancelled
    cancellation: BaseException | None = None
    with Timeout(shield=True):
        while True:
            try:
                result = await attempt()
            except cancelled as exc:
                cancellation = exc
            else:
                break
    if cancellation is not None:
        try:
            raise cancellation
        finally:
            del cancellation  # its traceback holds this frame
    return result


class _Stopping:
    """The steps of a stop, which can be interrupted and resumed."""

    def __init__(
        self,
        child: Child,
        pump: Pump,
        plan: Stop,
        close_stdin: Callable[[], None],
        orderly: bool,
    ) -> None:
        self._child = child
        self._pump = pump
        self._is_polite_to_tree = plan.first == "tree"
        self._signalled = 0  # the last one sent
        self.over = False
        self._patience = _Patience(0)
        patience = max(plan.close_stdin, plan.grace) if orderly else plan.close_stdin

        def close() -> None:
            close_stdin()
            self._continue()

        def end() -> None:
            self._signal(
                polite_signal(plan.signal, on_terminal=child.terminal is not None)
            )
            # With no time between the two, the signal comes first: otherwise it
            # would be a matter of luck which of them ends the child.
            if not patience:
                close_stdin()

        # What to do next, and how long to wait after it.
        self._steps: list[tuple[Callable[[], None], float]] = [(end, plan.grace)]
        if child.terminal is not None:
            # The end of the input is typed again at these times within the grace.
            for pause in _AGAIN:
                act, left = self._steps.pop()
                first = min(pause, left)
                self._steps += [(act, first), (child.terminal.type_again, left - first)]
        self._steps.append((lambda: self._signal(KILL), _LAST_PATIENCE))
        if patience:
            self._steps.insert(0, (close, patience))

    async def advance(self) -> None:
        """Take the remaining steps. Call it again if it was interrupted."""
        while not await self._gone():
            if not self._steps:
                why = f"{_LAST_PATIENCE:g} s after SIGKILL: the kernel is holding it up"
                if self._child.is_refused():
                    why = "because we are not permitted to kill it (see kill(2), EPERM)"
                warnings.warn(
                    f"{self._child!r} or its tree is still there {why}; it is left "
                    "as it is",
                    ResourceWarning,
                    stacklevel=2,
                )
                break
            act, patience = self._steps.pop(0)
            act()
            if self._signalled == KILL:
                in_vain = self._child.is_refused()
            else:
                in_vain = bool(self._signalled) and self._child.is_unreachable
            self._patience = _Patience(0 if in_vain else patience)
        self.over = True

    def _signal(self, number: int) -> None:
        self._signalled = number
        if self._is_polite_to_tree or number == KILL:
            self._child.signal_tree(number)
        else:
            self._child.signal(number, report=True)
        if number != KILL:
            self._continue()

    def _continue(self) -> None:
        # A stopped process does not see the end of its input, and takes no signal
        # but SIGKILL, until it is continued.
        if self._is_polite_to_tree:
            self._child.signal_tree(CONTINUE, report=False)
        else:
            self._child.signal(CONTINUE)

    def _has_signalled_tree(self) -> bool:
        is_signalled = bool(self._signalled) and self._is_polite_to_tree
        return is_signalled or self._signalled == KILL

    async def _gone(self) -> bool:
        """Wait as long as the last step allows; return whether nothing is left to end."""
        child = self._child
        if not self._patience.is_over() and not child.is_done():
            with self._patience.limit(self._pump):
                await self._pump.until(child.has_exited)
                self._pump.unwatch()
                # We do not wait for a process that was not told to end: closing the
                # child's stdin does not end what the child has left behind.
                while self._has_signalled_tree() and (left := child.left()):
                    if self._signalled == KILL:  # some may have been forked since
                        child.signal_tree(KILL, report=False)
                        if child.is_refused():
                            break
                    await self._pump.until_one_ends(left)
        return child.is_done()


class _Patience:
    """A time that a child is given, from now on."""

    def __init__(self, seconds: float) -> None:
        backend = current()
        # A virtual clock stands still while a task waits for a child, as now. But the
        # child may refuse to end, so the limit has to be in real seconds.
        self._is_real = backend.has_virtual_time()
        self._now = time.monotonic if self._is_real else backend.current_time
        self._deadline = self._now() + seconds

    def is_over(self) -> bool:
        """Whether the time is over.

        Check this in addition to the limit: a cancellation from elsewhere hides a
        deadline that passes at the same time (T6), and if one came in every pass, it
        would always do so.
        """
        return self._now() >= self._deadline

    def limit(self, pump: Pump) -> AbstractContextManager[object]:
        """A block that ends when the time is over."""
        if self._is_real:
            return limited(self._deadline - self._now(), pump)
        return move_on_at(self._deadline)
