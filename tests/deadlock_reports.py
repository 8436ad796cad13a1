"""Reports of deadlocks, and the lines that they must name."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from virtual_runs import virtually

from within.testing import Deadlock

Main = Callable[[], Awaitable[Any]]


def waits(function: Any) -> str:
    """The line of ``function`` with the comment `# waits`, as in the report."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (n for n, line in enumerate(lines) if "# waits" in line)
    return (
        f"{inspect.getsourcefile(function)}:{first + offset} in {function.__qualname__}"
    )


def deadlock(loop: str, main: Main) -> str:
    with pytest.raises(Deadlock) as caught:
        virtually(loop, main)
    return str(caught.value)
