"""What is installed here, how each loop is started, and a line of progress."""

from __future__ import annotations

import asyncio
import importlib
import platform
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TypeVar, cast

T = TypeVar("T")

LOOPS = ("asyncio", "uvloop", "trio")
NOT_INSTALLED = "not installed"
DISTRIBUTIONS = ("within", "anyio", "trio", "async-timeout", "quattro", "shellous")


def is_installed(module: str) -> bool:
    return find_spec(module) is not None


def versions() -> dict[str, str]:
    found = {platform.python_implementation(): platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = NOT_INSTALLED
    return found


def load_peers() -> None:
    """Import every peer at once, whatever is going to be measured.

    An imported module has a cost for us: a second loop to tell apart, or anyio's scopes
    to look at. That cost must not depend on what was measured before.
    """
    for module in ("async_timeout", "quattro", "shellous", "trio", "uvloop"):
        if is_installed(module):
            importlib.import_module(module)
    importlib.import_module("anyio._backends._asyncio")
    if "trio" in sys.modules:
        importlib.import_module("anyio._backends._trio")


def run_on(loop: str, function: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function as most programs start that loop."""

    async def main() -> T:
        return await function()

    if loop == "trio":
        return cast("T", importlib.import_module("trio").run(main))
    factory = None
    if loop == "uvloop":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def sleep_of(loop: str) -> Callable[[float], Awaitable[None]]:
    """The loop's own sleep; anyio's would add anyio's scopes to the measurement."""
    if loop != "trio":
        return asyncio.sleep
    return cast(
        "Callable[[float], Awaitable[None]]", importlib.import_module("trio").sleep
    )


def progress(text: str) -> None:
    """Show on a terminal what is measured now; an empty text clears the line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
