"""The loops that tests run on, and the time scale of each."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, Phase, settings

from within.testing import backends

if TYPE_CHECKING:
    from timeout_runs import Run

SECOND_LOOP = "uvloop" if find_spec("uvloop") else "selector"

# What a system cannot run: modules that need what only POSIX has, or uvloop, or a package
# that ./dev windows does not install.
collect_ignore: list[str] = []
if sys.platform == "win32":
    from windows.not_here import NOT_HERE

    collect_ignore.extend(NOT_HERE)

settings.register_profile(
    "within",
    deadline=None,  # the machine may be busy; nothing here is timed
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "long", parent=settings.get_profile("within"), max_examples=20_000
)
settings.register_profile(
    "mutate",
    parent=settings.get_profile("within"),
    max_examples=200,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # do not shrink failures
)
settings.load_profile("within")


def pytest_configure() -> None:
    """Take back what every child of a test would inherit from where pytest was started.

    nohup and a shell's ``&`` ignore some signals. bash warns on stderr about a locale
    that is not installed, which is common after a login by ssh.
    """
    os.environ["LC_ALL"] = "C"
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP", "SIGTTIN"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            handler = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(number, handler)


def pytest_collection_finish() -> None:
    """Hide from the garbage collector what lasts as long as the suite does.

    A full collection would look at half a million objects, and many tests ask for one.
    """
    hide_from_the_collector()


def hide_from_the_collector() -> None:
    """Take all that exists now out of every later collection."""
    gc.collect()
    if sys.implementation.name == "cpython":  # PyPy has no gc.freeze()
        gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def asyncio_is_unchanged() -> Iterator[None]:
    """A test that needs trio-asyncio starts a process of its own for it.

    Importing trio-asyncio replaces parts of asyncio, for every test that follows.
    """
    yield
    assert "trio_asyncio" not in sys.modules


@pytest.fixture(autouse=True, scope="session")
def libuv_has_its_pipe() -> None:
    """The first loop of uvloop in a process opens a pipe that stays open."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


def loop_name(param: tuple[str, dict[str, Any]]) -> str:
    name, options = param
    if options.get("use_uvloop"):
        return "uvloop"
    return f"{name}-virtual" if options else name


@pytest.fixture(params=backends(), ids=loop_name)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@dataclass(frozen=True)
class Ticks:
    """Durations for tests that also run in real time, on a busy machine.

    `short` and `long` are so far apart that no load can change their order, and no
    test lasts until `never`.
    """

    virtual: bool

    @property
    def short(self) -> float:
        return 1.0 if self.virtual else 0.005

    @property
    def long(self) -> float:
        return 1000.0 if self.virtual else 30.0

    never = 1e6

    async def pass_by(self) -> None:
        """Wait until everything that was due in `short` has happened."""
        await anyio.sleep(2 * self.short)


@pytest.fixture
def ticks(anyio_backend: tuple[str, dict[str, Any]]) -> Ticks:
    return Ticks(virtual=bool({"clock", "loop_factory"} & anyio_backend[1].keys()))


@pytest.fixture(params=["asyncio", SECOND_LOOP, "virtual"])
def run_asyncio(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on both loops for asyncio, and on asyncio in virtual time."""
    from timeout_runs import ASYNCIO_LOOPS

    def run_asyncio(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=ASYNCIO_LOOPS[request.param]) as runner:
            return runner.run(main)

    return run_asyncio


@pytest.fixture
def on_asyncio(anyio_backend_name: str) -> bool:
    return anyio_backend_name == "asyncio"


class Leftovers:
    """The block inside leaves no descriptor open and no child running."""

    def __enter__(self) -> None:
        self.before = set(os.listdir("/proc/self/fd"))

    def __exit__(self, *exc: object) -> None:
        # Garbage of an earlier test may be collected in here, so there may be fewer.
        assert set(os.listdir("/proc/self/fd")) <= self.before
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


@pytest.fixture
async def no_leftovers(anyio_backend: Any) -> AsyncIterator[None]:
    await anyio.lowlevel.checkpoint()  # the loop opens its own descriptors first
    with Leftovers():
        yield


@pytest.fixture
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Checks inside the loop for an asynchronous test, and outside for others."""
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("no_leftovers")
        yield
        return
    with Leftovers():
        yield


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe that gets a line whenever we go on to wait for the rest of an output (P6).

    What a child has left behind reads it, and so writes only while we wait for that.
    """
    from within._processes._rest import Rest

    left = Rest.left
    reading, writing = os.pipe()

    def left_and_told(self: Rest) -> float:
        if seconds := left(self):
            os.write(writing, b"go on\n")
        return seconds

    monkeypatch.setattr(Rest, "left", left_and_told)
    yield reading
    os.close(reading)
    os.close(writing)


@pytest.fixture
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test after which Python or asyncio complains about a leftover.

    They complain about what was never awaited, never retrieved or not closed.
    """
    yield
    gc.collect()  # warnings are errors in this suite; asyncio logs what it finds
    assert [x.getMessage() for x in caplog.records if x.levelno > logging.DEBUG] == []
