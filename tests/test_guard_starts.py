"""What becomes of a child with die_with_parent if its guard cannot be started (P19)."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import FINDS_MEMBERS
from test_guard import STOP, guards, until_dead

from within import run
from within._processes._posix import _guard
from within._processes._posix._guard import guard

pytestmark = pytest.mark.skipif(
    not FINDS_MEMBERS, reason="the guard needs pidfds and /proc"
)


@pytest.fixture
def no_guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of an earlier test, and none for the next."""
    monkeypatch.delitem(sys.modules, "multiprocessing.spawn", raising=False)
    guard.forked()
    yield
    guard.forked()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("interpreter", "said"),
    [
        ("exit 0", "it ended at once"),
        ("echo Fatal Python error >&2; exit 1", "Fatal Python error"),
        ("kill -STOP $$", "nothing was heard from it within 0.5 s"),
        ("exec /no/such/python", "not found"),
    ],
)
async def test_p19_a_guard_that_does_not_start_is_an_error_before_the_child_runs(
    interpreter: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    no_guard: None,
    nothing_is_left: None,
) -> None:
    broken = script(tmp_path / "python", interpreter)
    monkeypatch.setattr(sys, "executable", broken)
    monkeypatch.setattr(_guard, "_START", 0.5)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=f"{broken}.*did not run it.*{said}"):
            await run("touch", tmp_path / "ran", stop=STOP)
    assert not (tmp_path / "ran").exists()
    until_dead(guards(at_least=0))


@pytest.mark.anyio
async def test_p19_a_guard_without_its_code_is_an_error(
    monkeypatch: pytest.MonkeyPatch, no_guard: None
) -> None:
    """In an archive, as within a frozen application, no interpreter finds it."""
    monkeypatch.setattr(_guard, "__file__", "/no/within/_processes/_posix/_guard.py")
    with pytest.raises(RuntimeError, match=r"ModuleNotFoundError: .*_processes"):
        await run("true", stop=STOP)


@pytest.mark.anyio
async def test_p19_a_frozen_application_is_not_run_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_guard: None
) -> None:
    application = script(tmp_path / "app", f"touch {tmp_path}/again")
    monkeypatch.setattr(sys, "executable", application)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(RuntimeError, match="this is a frozen application"):
        await run("true", stop=STOP)
    assert not (tmp_path / "again").exists()


@pytest.mark.anyio
async def test_p19_a_program_that_embeds_python_says_which_one(
    monkeypatch: pytest.MonkeyPatch, no_guard: None
) -> None:
    python = sys.executable
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(RuntimeError, match="is not set: name one"):
        await run("true", stop=STOP)
    multiprocessing.set_executable(python)
    assert (await run("echo", "hi", stop=STOP)).stdout == b"hi\n"
    multiprocessing.set_executable(python)  # as it is elsewhere
