"""Tests of the harness, with commands that misbehave."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import shell_harness
from children import alive
from shell_harness import Limits, Report, leftovers, run, run_all

import within
from within.testing import backends

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

AMPLE = Limits()
FOREVER = "sleep 600"


@pytest.fixture(params=backends(), ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def nothing_is_left(
    anyio_backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    homes = str(tmp_path / "homes")
    os.mkdir(homes)
    monkeypatch.setattr("tempfile.tempdir", homes)
    await anyio.lowlevel.checkpoint()  # the loop has opened its own descriptors now
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222
    assert os.listdir(homes) == []
    assert leftovers() == []


async def run_too_long(command: str) -> Report:
    """Run a command into its limit, after it has had enough time to print."""
    for wall in (0.1, 1, 10):
        report = await run(command, Limits(wall=wall, grace=0.05))
        assert report.why == "timed out"
        assert report.wall >= wall
        if report.stdout:
            break
    return report


def numbers(report: Report) -> list[int]:
    found = [int(word) for word in report.stdout.split()]
    assert found
    return found


# -- reports -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "ended"),
    [
        ("true", "exited, 0"),
        ("exit 3", "exited, 3"),
        ("kill -SEGV $$", "exited, SIGSEGV"),
        ("kill -40 $$", "exited, signal 40"),
        ("no-such-command", "exited, 127"),
        ("syntax error (", "exited, 2"),
    ],
)
async def test_the_report_says_how_the_command_ended(command: str, ended: str) -> None:
    report = await run(command, AMPLE)
    assert (report.command, report.ended) == (command, ended)


async def test_both_streams_and_invalid_utf_8_are_reported() -> None:
    report = await run(r"printf 'caf\351'; echo oh >&2", AMPLE)
    assert (report.stdout, report.stderr) == ("caf\N{REPLACEMENT CHARACTER}", "oh\n")


async def test_cpu_time_and_memory_are_reported() -> None:
    report = await run("i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done", AMPLE)
    assert report.cpu is not None
    assert report.memory is not None
    assert 0 < report.cpu <= report.wall
    assert 2**20 < report.memory < 2**32


async def test_a_command_that_takes_too_long() -> None:
    report = await run_too_long(f"echo hard >&2; echo working; {FOREVER}")
    assert (report.stdout, report.stderr) == ("working\n", "hard\n")


async def test_a_command_that_writes_too_much() -> None:
    report = await run("yes", Limits(output=1001, grace=60))
    assert report.ended == "too much output, SIGTERM"
    assert report.stdout == "y\n" * 500 + "y"
    report = await run("yes >&2", Limits(output=1000, grace=60))
    assert report.stderr == "y\n" * 500


# -- surroundings --------------------------------------------------------------


async def test_a_command_does_not_see_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "0451")
    report = await run("env; pwd", AMPLE)
    assert "0451" not in report.stdout
    home = report.stdout.splitlines()[-1]
    assert f"HOME={home}\n" in report.stdout
    assert home != os.getcwd()


async def test_a_command_has_a_session_of_its_own_and_an_empty_stdin() -> None:
    report = await run("cat; cut -d ' ' -f 6 /proc/$$/stat; echo $$", AMPLE)
    session, itself = numbers(report)
    assert session == itself


async def test_memory_and_cpu_are_limited() -> None:
    limits = Limits(memory=2**28, cpu=7)
    report = await run("ulimit -v; ulimit -S -t; ulimit -H -t; ulimit -c", limits)
    assert numbers(report) == [2**18, 7, 8, 0]
    report = await run("dd if=/dev/zero of=/dev/null bs=1000M count=1", limits)
    assert report.ended == "exited, 1"
    assert "memory" in report.stderr


# -- leftovers -----------------------------------------------------------------


async def test_a_background_process_that_holds_the_pipes_delays_nothing() -> None:
    report = await run(f"{FOREVER} & echo $!", AMPLE)
    assert report.ended == "exited, 0"
    assert not alive(*numbers(report))


# It forks twice, starts a session, ignores SIGTERM and has a child.
DAEMON = f"""
mkfifo told
daemon='trap "" TERM; {FOREVER} & echo $$ $! > told; wait'
(setsid sh -c "$daemon" &)
cat told
"""


async def test_a_daemon_is_ended_too() -> None:
    report = await run(DAEMON, Limits(grace=0.05))
    assert report.ended == "exited, 0"
    daemon, child = numbers(report)
    assert not alive(daemon)
    assert not alive(child)


async def test_a_command_that_ignores_sigterm_is_killed() -> None:
    script = f"trap '' TERM; echo $$; while :; do {FOREVER}; done"
    report = await run_too_long(script)
    assert not alive(*numbers(report))


async def test_files_without_permissions_are_removed() -> None:
    report = await run("mkdir -p a/b; touch a/b/c; chmod 0 a/b a; ls -a", AMPLE)
    assert "a" in report.stdout.split()


# -- run_all -------------------------------------------------------------------


async def test_reports_are_in_the_order_of_the_commands() -> None:
    reports = await run_all(["echo a; exit 1", "echo b"] * 4, AMPLE, at_once=3)
    assert [report.stdout for report in reports] == ["a\n", "b\n"] * 4
    assert [report.status for report in reports] == [1, 0] * 4


async def test_no_more_than_at_once_commands_run_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running: set[str] = set()
    together = []

    async def run(command: str, limits: Limits) -> str:
        running.add(command)
        together.append(len(running))
        await anyio.sleep(0.001)
        running.remove(command)
        return command

    monkeypatch.setattr(shell_harness, "run", run)
    await run_all("abcdefgh", AMPLE, at_once=3)
    assert len(together) == 8
    assert max(together) == 3


async def test_cancelling_run_all_leaves_nothing_behind(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    reader = os.open(started, os.O_RDONLY | os.O_NONBLOCK)
    script = f"(setsid {FOREVER} &) ; echo > {started}; {FOREVER}"
    limits = Limits(grace=0.05)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(run_all, [script] * 3, limits, at_once=2))
        await anyio.wait_readable(reader)
        tasks.cancel_scope.cancel()
    os.close(reader)


async def test_leftovers_finds_running_commands() -> None:
    home = f"/nowhere/{shell_harness.PREFIX}test"
    async with within.process("sleep", "600", env={"HOME": home}) as child:
        with within.timeout(30):  # the kernel shows the environment a moment after exec
            while not (found := leftovers()):  # noqa: ASYNC110  # no event tells
                await anyio.sleep(0.001)
        assert found == ["sleep 600 "]
    assert child.returncode is not None
