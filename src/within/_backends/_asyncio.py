"""The asyncio backend, for uvloop as well: one alarm a loop, and task.cancel().

Only the modules of this folder named ``_asyncio…`` import asyncio.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from ._asyncio_alarm import Alarm
from ._asyncio_blocks import OpenBlocks
from ._asyncio_pursuit import Pursuit, hear

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType, ModuleType

    from .._timeouts import Timeout

T = TypeVar("T")
Task = asyncio.Task[Any]

# Where it has been imported, there may be scopes of anyio's.
_ANYIO = "anyio._backends._asyncio"

# The block in which a task was started, for T17. Which blocks a task itself has
# open is kept by task (`OpenBlocks`), because two tasks may share a context, and one
# may use several. A block that is left stays in it, for to set a variable is the
# dearest part of a block; who reads it goes on outwards.
_inherited: ContextVar[Timeout | None] = ContextVar("within", default=None)


class AsyncioBackend:
    """What is open on one loop."""

    name = "asyncio"
    cancelled: type[BaseException] = asyncio.CancelledError

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = OpenBlocks()
        # The same dictionaries, nearer at hand: each block looks into them.
        self._young, self._old = self._open.young, self._open.old
        self._alarm = Alarm(loop, self._open.age, self._expire)
        self._pursuits: dict[Task, Pursuit] = {}
        self._cut_off: set[object] = set()  # waiters that we have just cancelled
        self._readers: dict[int, asyncio.Future[None]] = {}
        self._writers: dict[int, asyncio.Future[None]] = {}
        self._anyio: ModuleType | None = None  # what knows of anyio's scopes

    def current_time(self) -> float:
        return self._loop.time()

    def has_virtual_time(self) -> bool:
        return hasattr(self._loop, "virtual_clock")

    @property
    def waits_for_descriptors(self) -> bool:
        """Whether a task is in one of our waits; the virtual loop then waits too."""
        return bool(self._readers or self._writers)

    # -- scopes ------------------------------------------------------------

    def enter(self, timeout: Timeout) -> None:
        # By its module: trio-asyncio replaces it there.
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError(
                f"{timeout!r} was entered outside a task (in a callback of the loop?): "
                "start one with loop.create_task() or asyncio.run()"
            )
        now = self._loop.time()
        if timeout._delay is not None:
            timeout._when = now + timeout._delay
        when = timeout._when
        timeout._task = task
        if requests := task.cancelling():
            # T6: without one that is yet to be heard, in the block
            timeout._cancelling = requests - getattr(task, "_must_cancel", False)
        if (parent := self._young.get(task)) is None and (
            parent := self._old.get(task)
        ) is None:
            parent = _inherited.get()
            while parent is not None and parent._task is None:  # left by now
                parent = parent._parent
        timeout._parent = parent
        self._young[task] = timeout
        _inherited.set(timeout)
        anyio = self._anyio
        if anyio is None and _ANYIO in sys.modules:
            anyio = self._load_anyio()
        if anyio is not None and (scope := anyio.innermost(task)) is not None:
            if timeout._shield:
                scope = timeout._anyio_shield = anyio.shield()  # T14
            timeout._scope = scope
        if when <= now or timeout._expired:
            self._expire([timeout])
        elif when < self._alarm.rings_at:
            self._alarm.set(when)

    def exit(self, timeout: Timeout, exc: BaseException | None) -> bool:
        task: Task = timeout._task
        parent = timeout._parent
        if in_order := self._young.get(task) is timeout:
            if parent is not None and parent._task is task and parent._entry is None:
                self._young[task] = parent
            else:
                del self._young[task]
        else:
            in_order = self._open.close(timeout, task)
            self._alarm.discard(timeout)
        timeout._task = None
        if parent is not None and parent._task is None:
            # Kept, so that tasks started inside still find the blocks around it.
            timeout._parent = _first_open(parent)
        try:
            in_place = asyncio.current_task() is task
        except RuntimeError:  # where no loop runs: in another thread, say
            in_place = False
        if not (in_place and in_order):
            self._left_wrongly(timeout, task, exc, in_order)
            return False
        if timeout._expired or timeout._shield or timeout._scope is not None:
            return self._settle(timeout, task, exc)
        return False

    def reschedule(self, timeout: Timeout, deadline: float) -> bool:
        self._check_loop(timeout)
        if timeout._expired:
            return False
        timeout._delay = None
        timeout._when = deadline
        # T5: a deadline that has passed strikes at the first suspension, for
        # which a timer would ring one pass too late.
        if deadline <= self._loop.time():
            self._expire([timeout])
        else:
            self._alarm.move(timeout)
        return True

    def cancel(self, timeout: Timeout) -> None:
        self._check_loop(timeout)
        if not timeout._expired:
            self._expire([timeout])

    def effective_deadline(self) -> float:
        task = running_task()
        scope = self._open.innermost(task) if task is not None else None
        if scope is None:
            scope = _inherited.get()
        nearest = math.inf
        while scope is not None:
            if scope._task is not None:
                # By the scopes of who asks: a child may be in the shield of its parent.
                if task is not None and self.is_held(scope, task):
                    break
                if scope._expired:
                    return -math.inf
                nearest = min(nearest, scope._when)
                if scope._shield:
                    break
            scope = scope._parent
        if task is not None and (anyio := self._anyio or self._load_anyio()):
            nearest = min(nearest, anyio.current_effective_deadline())
        return nearest

    # -- descriptors -------------------------------------------------------

    async def wait_readable(self, fd: int) -> None:
        loop = self._loop
        await self._wait(fd, self._readers, loop.add_reader, loop.remove_reader)

    async def wait_writable(self, fd: int) -> None:
        loop = self._loop
        await self._wait(fd, self._writers, loop.add_writer, loop.remove_writer)

    def notify_closing(self, fd: int) -> None:
        # Taken off the loop here and not by the woken task: by then the number
        # may belong to another descriptor.
        if (ready := self._readers.pop(fd, None)) is not None:
            self._loop.remove_reader(fd)
            _set_done(ready)
        if (ready := self._writers.pop(fd, None)) is not None:
            self._loop.remove_writer(fd)
            _set_done(ready)

    # -- clean-up ----------------------------------------------------------

    async def finish(self, attempt: Callable[[], Awaitable[T]]) -> T:
        # Our own deadlines and anyio's scopes respect the shield; a bare
        # Task.cancel() cannot be held off (T14), only heard out and repeated.
        from .._timeouts import Timeout

        cancellation: asyncio.CancelledError | None = None
        with Timeout(shield=True):
            while True:
                try:
                    result = await attempt()
                except asyncio.CancelledError as exc:
                    cancellation = exc
                else:
                    break
        if cancellation is not None:
            try:
                raise cancellation
            finally:
                del cancellation  # it holds this frame by its traceback
        return result

    # -- behind the scopes -------------------------------------------------

    def owed(self, task: Task, *, held: bool = False) -> list[Timeout]:
        """The expired blocks whose cancellation can reach ``task`` now, outermost
        first; with ``held`` those as well that a shield of anyio's holds off (T15).
        """
        found: list[Timeout] = []
        for scope in self._open.of(task):
            if scope._expired and (held or not self.is_held(scope, task)):
                found.insert(0, scope)
            if scope._shield:  # T14: holds off what is outside, not itself
                break
        return found

    def _expire(self, timeouts: list[Timeout]) -> None:
        # T7: first all of them, then the tasks, so that a task with two blocks
        # due in one pass is cancelled for the outer one.
        for timeout in timeouts:
            if timeout._task is not None:  # not left, by a collection, since it was due
                timeout._expired = True
                self._alarm.discard(timeout)
        failed: Exception | None = None
        for timeout in timeouts:
            # None where striking another task has run code that left the block.
            if timeout._task is not None:
                try:
                    self._pursue(timeout._task)
                except Exception as error:  # noqa: BLE001  (a waiter's own cancel())
                    failed = error
        if failed is not None:
            raise failed

    def _pursue(self, task: Task) -> None:
        pursuit = self._pursuits.get(task)
        if pursuit is None:
            pursuit = self._pursuits[task] = Pursuit(self, self._loop, task)
        pursuit.step()

    def _settle(self, timeout: Timeout, task: Task, exc: BaseException | None) -> bool:
        """Close a block in which something has happened, or might have."""
        try:
            if timeout._shield:
                self._lower_shield(timeout, task, exc)
        finally:  # T8: also where a scope of anyio's in there was left open
            timeout._scope = None
            caught = timeout._expired and self._is_caught(timeout, task, exc)
        return caught

    def _is_caught(
        self, timeout: Timeout, task: Task, exc: BaseException | None
    ) -> bool:
        """Take back our cancel(); true if the cancellation in flight is ours."""
        if timeout._counted:
            timeout._counted = False
            task.uncancel()
        if not timeout._struck or not isinstance(exc, asyncio.CancelledError):
            return False
        foreign = task.cancelling() > timeout._cancelling  # T6
        if not timeout._shield:
            if not foreign and (outer := self.owed(task)):  # T7
                hear(outer)
                return False
            if self._anyio is not None and self._anyio.claim(task, exc):
                return False
        return not foreign

    def _lower_shield(
        self, timeout: Timeout, task: Task, exc: BaseException | None
    ) -> None:
        try:
            if timeout._anyio_shield is not None:
                scope, timeout._anyio_shield = timeout._anyio_shield, None
                scope.__exit__(None if exc is None else type(exc), exc, None)
        finally:
            if self.owed(task, held=True):  # T14: what has waited strikes now
                self._pursue(task)

    def _left_wrongly(
        self, timeout: Timeout, task: Task, exc: BaseException | None, in_order: bool
    ) -> None:
        # The block is closed all the same: its deadline must not strike a task
        # that believes to have left it.
        if timeout._counted:
            timeout._counted = False
            task.uncancel()
        if timeout._anyio_shield is not None:
            assert self._anyio is not None
            self._anyio.abandon(task, timeout._anyio_shield)
            timeout._anyio_shield = None
        timeout._scope = None
        if self.owed(task, held=True):
            self._pursue(task)
        if isinstance(exc, GeneratorExit):
            return  # a coroutine or generator dropped by its owner: nobody to tell
        if running_task() is not task:
            raise RuntimeError(
                f"{timeout!r} was left in another task than it was entered in "
                f"({task!r}): enter and leave it in the same task (a generator that "
                "yields inside the block does not)"
            ) from exc
        if not in_order:
            raise RuntimeError(
                f"{timeout!r} was left before a block that was entered inside it: "
                "leave blocks in the reverse order of entering them"
            ) from exc

    def is_held(self, timeout: Timeout, task: Task) -> bool:
        """Whether a shielded scope of anyio's holds ``timeout`` off (T15)."""
        anyio = self._anyio or self._load_anyio()
        return anyio is not None and anyio.is_shielded(task, timeout._scope)

    def cut_off(self, waiter: object) -> None:
        """Remember for this pass of the loop that we have cancelled ``waiter``."""
        if not self._cut_off:
            self._loop.call_soon(self._cut_off.clear, context=Context())
        self._cut_off.add(waiter)

    def _load_anyio(self) -> ModuleType | None:
        """Where nobody has imported anyio, there are no scopes to know of."""
        if _ANYIO in sys.modules:
            from . import _asyncio_anyio

            self._anyio = _asyncio_anyio
        return self._anyio

    def _check_loop(self, timeout: Timeout) -> None:
        if asyncio._get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{timeout!r} can be changed only on the loop that it runs on: from "
                "another thread, use loop.call_soon_threadsafe()"
            )

    async def _wait(
        self,
        fd: int,
        waiting: dict[int, asyncio.Future[None]],
        add: Callable[..., Any],
        remove: Callable[[int], Any],
    ) -> None:
        if fd in waiting:
            raise RuntimeError(f"another task is waiting for descriptor {fd} already")
        ready = self._loop.create_future()
        add(fd, _set_done, ready)
        waiting[fd] = ready
        try:
            await ready
        finally:
            if waiting.get(fd) is ready:
                del waiting[fd]
                remove(fd)


def backend_of(loop: asyncio.AbstractEventLoop) -> AsyncioBackend:
    """A backend for a running loop that has none yet."""
    # Kept on the loop itself, because it refers to the loop: a registry beside
    # it, weak or not, would keep closed loops alive (T20).
    backend = AsyncioBackend(loop)
    loop._within_backend = backend  # type: ignore[attr-defined]
    return backend


def backend_of_running_loop() -> AsyncioBackend | None:
    """The backend of the running loop; None where it has none yet."""
    return getattr(asyncio._get_running_loop(), "_within_backend", None)


def running_task() -> Task | None:
    """The current task; None outside of one, and where no loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def current_frame() -> FrameType | None:
    """The frame of the coroutine that the current task runs, if there is one."""
    task = running_task()
    if task is None:
        return None
    return getattr(task.get_coro(), "cr_frame", None)


def _first_open(timeout: Timeout | None) -> Timeout | None:
    while timeout is not None and timeout._task is None:
        timeout = timeout._parent
    return timeout


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
