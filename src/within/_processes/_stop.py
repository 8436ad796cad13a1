"""How a child is ended: what to send, and how long to wait in between (P4)."""

from __future__ import annotations

import signal as signals
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .._backends import current
from .._seconds import as_seconds
from .._timeouts import move_on_at, shield

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._child import Child
    from ._pump import Pump

# After SIGKILL only the kernel can hold a process up. In seconds.
_LAST_PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """How to end a child and its tree.

    In this order, each step only if the last was not enough: close its stdin and
    wait ``close_stdin`` seconds; send ``signal`` and wait ``grace`` seconds; send
    SIGKILL. Its output is read on meanwhile, so that it can flush and go.

    Args:
        close_stdin: Seconds that the child is given after its stdin was closed. With
            none, ``signal`` is sent first.
        signal: The polite one, SIGTERM.
        grace: Seconds from ``signal`` to SIGKILL.
        tree: Who is ended with the child. ``"child"``: nobody. ``"group"``: the
            process group that is made for it. ``"all"`` (Linux): whoever left
            that group too, found by a mark in the environment, at the price of a
            look at every process; one that clears its environment is not found.

    Raises:
        ValueError: For a negative number of seconds, an unknown signal or tree.
        TypeError: For what is no number of seconds, or no signal.

    >>> from within import Stop
    >>> Stop(grace=1.5, tree="child")
    Stop(close_stdin=0.0, signal=<Signals.SIGTERM: 15>, grace=1.5, tree='child')
    """

    close_stdin: float = 0.0
    signal: int = signals.SIGTERM
    grace: float = 5.0
    tree: Literal["child", "group", "all"] = "group"

    def __post_init__(self) -> None:
        for what in ("close_stdin", "grace"):
            seconds = as_seconds(getattr(self, what), what)
            if seconds < 0:
                raise ValueError(f"{what} is {seconds:g}: give 0 seconds or more")
            object.__setattr__(self, what, seconds)
        number: Any = self.signal
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"signal is {number!r}: give one of signal.Signals")
        if self.signal not in signals.valid_signals():
            raise ValueError(f"signal is {self.signal!r}: there is no such signal")
        if self.tree not in ("child", "group", "all"):
            raise ValueError(
                f'tree is {self.tree!r}: give "child", "group" or "all" (see Stop)'
            )


async def stop_child(
    child: Child,
    pump: Pump,
    plan: Stop,
    *,
    close_stdin: Callable[[], None],
    orderly: bool = False,
) -> None:
    """End ``child`` and its tree, and reap it, whatever cancels us meanwhile.

    ``orderly`` says that the child has closed its output of its own accord, and
    so gets ``grace`` to exit by itself as well.
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
        if not child.is_gone():
            pump.watch(child.exit_fd)
            await finish(stopping.advance)
        stopping.over = True
    finally:
        if stopping.over:
            child.reap()
        else:  # out of descriptors, or of a loop: no time for politeness
            try:
                pump.drain()
            finally:
                pump.close()  # it takes some descriptors to find all of a tree
                close_stdin()
                child.end_now()


async def finish(attempt: Any) -> None:
    cancelled = current().cancelled
    cancellation: BaseException | None = None
    with shield():
        while True:
            try:
                await attempt()
            except cancelled as exc:
                cancellation = exc
            else:
                break
    if cancellation is not None:
        try:
            raise cancellation
        finally:
            del cancellation


class _Stopping:
    """The sequence, as something that can be interrupted and taken up again."""

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
        self._signalled = 0  # the last one sent
        self.over = False
        self._patience = _Patience(0)
        patience = max(plan.close_stdin, plan.grace) if orderly else plan.close_stdin

        def close() -> None:
            close_stdin()
            self._continue()

        def end() -> None:
            self._signal(plan.signal)
            # With no time between the two it is the signal that comes first: else
            # it would be a matter of luck which of them a child ends by.
            if not patience:
                close_stdin()

        # What to do next, and for how long to wait after it.
        self._steps: list[tuple[Callable[[], None], float]] = [
            (end, plan.grace),
            (lambda: self._signal(signals.SIGKILL), _LAST_PATIENCE),
        ]
        if patience:
            self._steps.insert(0, (close, patience))

    async def advance(self) -> None:
        while not await self._gone():
            if not self._steps:
                warnings.warn(
                    f"{self._child!r} is still there {_LAST_PATIENCE:g} s after "
                    "SIGKILL: the kernel holds it up; it is left to itself",
                    ResourceWarning,
                    stacklevel=2,
                )
                break
            act, patience = self._steps.pop(0)
            act()
            self._patience = _Patience(patience)
        self.over = True

    def _signal(self, number: int) -> None:
        self._signalled = number
        self._child.signal_tree(number)
        if number != signals.SIGKILL:
            self._continue()

    def _continue(self) -> None:
        # One that is stopped sees no end of its input, and takes no signal but
        # SIGKILL, until it runs on.
        self._child.signal_tree(signals.SIGCONT, report=False)

    async def _gone(self) -> bool:
        child = self._child
        if not self._patience.is_over() and not child.is_gone():
            with self._patience.limit(self._pump):
                await self._pump.until(child.has_exited)
                self._pump.unwatch()
                # What the child has left behind does not mind its stdin: who is
                # not told to go is not waited for.
                while self._signalled and (left := child.left()):
                    if self._signalled == signals.SIGKILL:  # who is born meanwhile
                        child.signal_tree(signals.SIGKILL, report=False)
                    await self._pump.until_one_ends(left)
        return child.is_gone()


class _Patience:
    """Seconds that a child is given, from now on."""

    def __init__(self, seconds: float) -> None:
        backend = current()
        # Virtual time stands while a child is at work, as this one is. But it may
        # refuse to end, and the seconds are real to it.
        self._is_real = backend.has_virtual_time()
        self._now = time.monotonic if self._is_real else backend.current_time
        self._deadline = self._now() + seconds

    def is_over(self) -> bool:
        # To be asked as well, for somebody else's cancellation hides a deadline
        # that comes with it (T6): one in every pass would do so for ever.
        return self._now() >= self._deadline

    @contextmanager
    def limit(self, pump: Pump) -> Generator[None, None, None]:
        """End the block when they are over; any number of times."""
        with move_on_at(None if self._is_real else self._deadline) as limit:
            if self._is_real:
                with pump.alarm(self._deadline - self._now(), limit.cancel):
                    yield
            else:
                yield
