"""Polling: a task that runs again and again while virtual time stands still (V8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._outside import Outside

# After so many passes of the loop at one instant, in which nothing has come from
# outside, a task counts as polling. They take about ten seconds of real time.
MANY_PASSES = 1_000_000
_LAST_MESSAGE = 10  # passes in which it arrives

# A task may poll for a thread or child that the loop does not know. So it gets more
# passes while one is at work, but not endlessly many: others may never rest.
_ROUNDS = 10


class Passes:
    """Counts the passes of a loop in which tasks can run, at one instant."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._at: float | None = None
        self.forget()

    def forget(self) -> None:
        """Start counting again: something has come from outside."""
        self._count, self._was_alone = 0, False

    def show_polling(self, now: float, is_at_work: Callable[[], bool]) -> bool:
        """Count another pass.

        Args:
            now: The virtual time of the pass.
            is_at_work: Tells whether a thread or child of the loop is at work.

        Returns:
            Whether there have been so many passes at this instant that a task polls.
        """
        if self._at != now:
            self._at = now
            self.forget()
        self._count += 1
        beyond = self._count % MANY_PASSES
        if beyond == MANY_PASSES // 2:
            self._outside.watch()
        elif beyond == 0:
            self._was_alone = self._is_alone(is_at_work)
        # Asked twice: a thread may have ended just before, with its last message still
        # on its way. The message makes us forget the passes.
        elif beyond == _LAST_MESSAGE and self._was_alone and self._is_alone(is_at_work):
            self._count -= MANY_PASSES // 10  # soon again, if it ignores the report
            return True
        return False

    def _is_alone(self, is_at_work: Callable[[], bool]) -> bool:
        """Whether no task can be polling for a thread or a child."""
        if is_at_work():
            return False
        return self._count >= _ROUNDS * MANY_PASSES or not self._outside.is_at_work()
