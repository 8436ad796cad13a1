"""The state of one block: what a backend reads and writes.

``Timeout`` is this state plus everything that a user sees.
"""

from __future__ import annotations

from typing import Any


class Block:
    """The state of a block.

    Only what :class:`within.Timeout` documents is public; the rest is shared between
    ``Timeout`` and the backends, and may change in any release.
    """

    # Every block stores these. They have no default on the class, because CPython
    # stores an attribute faster if the class has none of the same name.
    delay: float | None
    """Seconds from entry to the deadline; ``None`` if a deadline was given instead."""
    when: float
    """The deadline, on the loop's clock. A delay is added to it at entry."""

    # Rarely used fields default to class attributes.
    name: str | None = None
    """What the block is called in messages."""
    is_shield = False
    """Deadlines around the block wait until it has been left (T14)."""
    is_level_triggered = False
    """After the deadline, every await in the block is cancelled (T16)."""
    limit: float | None = None
    """The delay of a block that was rescheduled, for ``restart()`` (T26)."""
    has_expired = False
    """Whether its cancellation has been requested. Never reset."""
    was_cancelled = False
    """It expired through ``cancel()`` and not through its deadline."""
    cancel_scope: Any = None
    """On trio, the block's cancel scope. On asyncio, the anyio scope around it."""

    # -- asyncio only ------------------------------------------------------
    # Kept here and not in an object of its own, which would cost an allocation for
    # each block.
    task: Any
    """The task that is in the block. The block is open while this is set."""
    parent: Block | None
    """The block around this one, from entry on. It may belong to a parent task."""

    # Rarely used fields again.
    entry: list[Any] | None = None
    """The block's place in the alarm's heap."""
    anyio_shield: Any = None
    """The anyio scope that was opened together with a shield."""
    cancelling_at_entry = 0
    """``Task.cancelling()`` when the block was entered."""
    cancelling_before = 0
    """``Task.cancelling()`` just before the block's own cancellation."""
    owes_uncancel = False
    """We called ``Task.cancel()`` for the block and have not taken it back."""
    was_told = False
    """A cancellation for this block is on its way to the task, or has reached it."""
    met_foreign = False
    """When the block was told, a foreign cancellation was on its way or being handled.
    That one wins, even if the body swallows it together with ours (T6)."""
    was_told_from_outside = False
    """A cancellation for a block around this one arrived while this one was open."""
