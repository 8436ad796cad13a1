"""Keeps a virtual loop apart from every other loop that fixtures hold open.

anyio's plugin knows one loop at a time. While a fixture is open, every test runs on
the loop of that fixture, whatever the test has asked for (V7). So each virtual loop has
a state of its own, which is put in place while the loop runs and taken away again.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anyio import pytest_plugin

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._runs import VirtualTime

# Private variables of anyio's plugin, and their values when no loop is open. A test
# fails loudly if they move.
NO_LOOP = {"_current_runner": None, "_runner_stack": None, "_runner_leases": 0}


@dataclass
class _State:
    """What a thread keeps while a loop is open but not running."""

    plugin: dict[str, Any] = field(default_factory=lambda: dict(NO_LOOP))
    library: str | None = (
        None  # the name by which sniffio, and so anyio, finds the loop
    )
    # anyio runs trio as a guest, which stays the current run between two tests.
    trio: dict[str, Any] = field(default_factory=dict[str, Any])
    hooks: Any = (None, None)  # for asynchronous generators
    wakeup_fd: int = -1  # trio warns if another loop has set it

    @classmethod
    def take(cls) -> _State:
        """Take the state away from the current thread."""
        state = cls(
            {name: getattr(pytest_plugin, name) for name in NO_LOOP},
            _library_variable().get(),
            dict(_trio_context()),
            sys.get_asyncgen_hooks(),
        )
        if _is_main_thread():
            state.wakeup_fd = signal.set_wakeup_fd(-1)
        return state

    def put(self) -> None:
        """Put the state in place."""
        for name, value in self.plugin.items():
            setattr(pytest_plugin, name, value)
        _library_variable().set(self.library)
        context = _trio_context()
        context.clear()
        context.update(self.trio)
        sys.set_asyncgen_hooks(*self.hooks)
        if _is_main_thread():
            signal.set_wakeup_fd(self.wakeup_fd, warn_on_full_buffer=False)


_no_sniffio: ContextVar[str | None] = ContextVar("no sniffio", default=None)


def _library_variable() -> ContextVar[str | None]:
    sniffio: Any = sys.modules.get("sniffio")  # anyio needs it only for trio
    return _no_sniffio if sniffio is None else sniffio.current_async_library_cvar


def _trio_context() -> dict[str, Any]:
    """The attributes of the thread-local object in which trio keeps its current run."""
    core: Any = sys.modules.get("trio._core._run")
    context: Any = getattr(core, "GLOBAL_RUN_CONTEXT", None)
    return {} if context is None else context.__dict__


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class VirtualLoop:
    """One virtual loop, which stays open as long as a fixture needs it."""

    def __init__(self, options: VirtualTime) -> None:
        self.options = options  # kept alive, because `loop_of` finds us by its id
        if "clock" in options:
            options["clock"].when_lost = _end_the_wait
            options["clock"].when_over = _refuse_to_wait
        self._state = _State()
        self._is_in_use = False

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Let anyio's plugin run this loop and no other."""
        if self._is_in_use:
            yield
            return
        outside = _State.take()
        self._state.put()
        self._is_in_use = True
        try:
            yield
        finally:
            self._is_in_use = False
            self._state = _State.take()
            # The plugin keeps a runner that could not be closed, which no test can use.
            if not self._state.plugin["_runner_leases"]:
                self._state.plugin = dict(NO_LOOP)
            outside.put()


def _end_the_wait(deadlock: BaseException) -> None:
    """Raise the error from anyio's plugin, which would wait for a crashed trio forever.

    The plugin waits for calls from trio in a queue, and makes each.
    """

    def fail() -> None:
        raise deadlock

    plugin: Any = pytest_plugin  # private variables; see `NO_LOOP`
    plugin._current_runner._call_queue.put(fail)


def _refuse_to_wait() -> None:
    """Raise an error from anyio's plugin, unless it has closed this trio itself.

    It would wait forever for the task that runs everything.
    """
    plugin: Any = pytest_plugin  # private variables; see `NO_LOOP`
    runner = plugin._current_runner

    def fail() -> None:
        raise RuntimeError(
            "trio has ended, and with it the task that runs the tests and fixtures: a "
            "task group or cancel scope that a fixture leaves open across its yield has "
            "been cancelled, a task of the group has failed, or a signal handler has "
            "raised an exception (let pytest-timeout use timeout_method = thread)"
        )

    if runner._send_stream.statistics().open_send_streams:
        runner._call_queue.put(fail)


_loops: dict[int, VirtualLoop] = {}


def loop_of(options: VirtualTime) -> VirtualLoop:
    """The loop that is started with these options: this very object, not an equal one."""
    return _loops.setdefault(id(options), VirtualLoop(options))
