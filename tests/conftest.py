"""The loops, and the clock that a test counts in."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, Phase, settings

from within.testing import backends

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
    phases=[Phase.explicit, Phase.generate],  # what fails need not be small
)
settings.load_profile("within")


def pytest_configure() -> None:
    """Whoever started us with signals ignored (nohup, a shell's &) changes no test:
    what is ignored is inherited by every child.
    """
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP", "SIGTTIN"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            handler = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(number, handler)


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
    """Durations for tests that must hold in real time, on a machine under load.

    Only such order is relied on as no load can turn around: what takes `short`
    ends long before `long` is over, and `never` comes in no test.
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
        """A time after which what was due in `short` has come."""
        await anyio.sleep(2 * self.short)


@pytest.fixture
def ticks(anyio_backend: tuple[str, dict[str, Any]]) -> Ticks:
    return Ticks(virtual=bool({"clock", "loop_factory"} & anyio_backend[1].keys()))


@pytest.fixture
def on_asyncio(anyio_backend_name: str) -> bool:
    return anyio_backend_name == "asyncio"


class Leftovers:
    """No descriptor and no child may be left of what is done inside."""

    def __enter__(self) -> None:
        self.before = os.listdir("/proc/self/fd")

    def __exit__(self, *exc: object) -> None:
        assert os.listdir("/proc/self/fd") == self.before
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


@pytest.fixture
async def no_leftovers(anyio_backend: Any) -> AsyncIterator[None]:
    await anyio.lowlevel.checkpoint()  # the loop has made its own by now
    with Leftovers():
        yield


@pytest.fixture
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of asynchronous tests it is asked inside of the loop, of others outside."""
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("no_leftovers")
        yield
        return
    with Leftovers():
        yield
