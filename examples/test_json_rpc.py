"""Tests of the JSON-RPC client, with servers that misbehave in many ways."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import json_rpc
import pytest
from children import alive
from json_rpc import Client, ServerError, ServerGone, open_client
from json_rpc_demo import SERVER

import within
from within import Stop
from within.testing import backends

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

PATIENCE = 60  # seconds; no test takes that long


@pytest.fixture(params=backends(), ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def nothing_is_left(anyio_backend: Any) -> AsyncIterator[None]:
    await anyio.lowlevel.checkpoint()  # the loop has opened its own descriptors now
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222


async def held(client: Client, *names: str) -> None:
    """Wait until the server holds exactly these requests."""
    while await client.request("held") != list(names):
        pass


# -- requests ------------------------------------------------------------------


async def test_answers_come_in_any_order() -> None:
    answered = []

    async def hold(client: Client, name: str) -> None:
        answered.append(await client.request("hold", name))

    async with open_client(*SERVER) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(hold, client, "a")
        await held(client, "a")
        tasks.start_soon(hold, client, "b")
        await held(client, "a", "b")
        for name in ("b", "a"):
            await client.request("release", name)
            await client.request("held")
    assert answered == ["b", "a"]


async def test_each_of_many_at_once_gets_its_own_answer() -> None:
    right = []

    async def echo(client: Client, number: int) -> None:
        text = f"{number} " * 500
        right.append(await client.request("echo", text) == text)

    async with open_client(*SERVER) as client, anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(echo, client, number)
    assert right == [True] * 300


async def test_notifications_go_both_ways() -> None:
    notified = []

    async def note(method: str, params: Any) -> None:
        notified.append((method, params))

    async with open_client(*SERVER, on_notification=note) as client:
        await client.notify("news", "good")
        await client.notify("news", "bad")
        assert await client.request("heard") == ["good", "bad"]
        await client.request("count_to", 3)
        assert notified == [("count", 1), ("count", 2), ("count", 3)]


async def test_an_error_from_the_server_raises_server_error() -> None:
    async with open_client(*SERVER) as client:
        with pytest.raises(ServerError, match="division by zero") as caught:
            await client.request("divide", [1, 0])
        assert caught.value.args[0]["code"] == -32000
        with pytest.raises(ServerError, match="no method"):
            await client.request("conquer")
        assert await client.request("divide", [1, 2]) == 0.5


async def test_lines_that_are_not_messages_are_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = ["Starting...", "", "[1, 2]", "null", "{" * 3, "[" * 100_000]
    with caplog.at_level(logging.WARNING):
        async with open_client(*SERVER) as client:
            for line in lines:
                await client.request("say", line)
            for odd in ('{"id": [1]}', '{"id": 99}', '{"id": null, "error": {}}'):
                await client.request("say", odd)
            assert await client.request("add", [1, 2]) == 3
    assert len(caplog.records) == len(lines)
    assert "Starting..." in caplog.messages[0]


# -- limits --------------------------------------------------------------------


async def test_a_late_answer_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rpc, "CANCEL", PATIENCE)
    async with open_client(*SERVER) as client:
        await held(client)
        with within.move_on_after(0.1):
            await client.request("hold", "late")
        assert await client.request("cancelled") == [2]
        await client.request("release", "late")
        assert await client.request("add", [1, 2]) == 3


async def test_the_server_is_told_when_a_caller_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_rpc, "CANCEL", PATIENCE)
    async with open_client(*SERVER) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.request, "hold", "in vain")
            await held(client, "in vain")
            tasks.cancel_scope.cancel()
        assert len(await client.request("cancelled")) == 1


async def test_a_request_that_times_out_while_sending_leaves_no_partial_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_rpc, "CANCEL", 0)
    long = "x" * 2**20  # more than a pipe holds
    async with open_client(*SERVER) as client:
        client.server.send_signal(signal.SIGSTOP)
        for _ in range(2):  # the first is being written, the second waits
            with within.move_on_after(0.05):
                await client.request("echo", long)
        client.server.send_signal(signal.SIGCONT)
        assert await client.request("echo", "next") == "next"


async def test_a_slow_notification_handler_slows_the_server_down() -> None:
    heard = []
    go = anyio.Event()

    async def listen(method: str, params: Any) -> None:
        heard.append(len(params))
        await go.wait()

    async with (
        open_client(*SERVER, on_notification=listen) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.request, "flood", 2000)
        while not heard or client.server.log != "no room":
            await anyio.lowlevel.checkpoint()
        assert len(heard) == 1
        go.set()
    assert heard == [1000] * 2000


# -- the end of the server -----------------------------------------------------


async def failing(client: Client, errors: list[str], *request: Any) -> None:
    try:
        await client.request(*request)
    except ServerGone as error:
        errors.append(str(error))


async def test_when_the_server_dies_all_requests_fail_with_its_stderr() -> None:
    errors: list[str] = []
    async with open_client(*SERVER) as client:
        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(failing, client, errors, "hold", name)
            while len(await client.request("held")) < 3:
                pass
            tasks.start_soon(failing, client, errors, "die", "out of paper")
        await failing(client, errors, "add", [1, 2])
        with pytest.raises(ServerGone):
            await client.notify("news", "too late")
    assert len(errors) == 5
    for error in errors:
        assert "status 3" in error
        assert error.endswith("out of paper")


async def test_the_server_dies_while_its_own_child_holds_the_pipes() -> None:
    errors: list[str] = []
    async with open_client(*SERVER) as client:
        helper = await client.request("start_helper")
        await failing(client, errors, "die", "no ink")
        assert alive(helper)
    assert not alive(helper)
    assert errors[0].endswith("no ink")


@pytest.mark.parametrize(
    ("method", "status"), [("hang_up", None), ("go_deaf", -signal.SIGTERM)]
)
async def test_a_server_that_closes_stdout_or_stdin_counts_as_gone(
    method: str, status: int | None
) -> None:
    errors: list[str] = []
    stop = Stop(grace=PATIENCE)
    async with open_client(*SERVER, stop=stop) as client:
        await failing(client, errors, method)
        for _ in range(2):
            await failing(client, errors, "hold", "on")
    assert len(errors) >= 2
    assert all(f"status {status}" in error for error in errors)


async def test_a_deaf_server_that_ignores_sigterm_cannot_hold_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_rpc, "STOP", Stop(grace=0.1))
    errors: list[str] = []
    async with open_client(*SERVER) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(failing, client, errors, "hold", "on")
        await held(client, "on")
        await client.request("go_deaf", True)
        await failing(client, errors, "add", [1, 2])
    assert len(errors) == 2
    assert all("status -9" in error for error in errors)


async def test_a_server_that_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-server"):
        async with open_client("no-such-server"):
            raise AssertionError


# -- the end of the client -----------------------------------------------------


async def test_closing_stdin_stops_the_server() -> None:
    async with open_client(*SERVER, stop=Stop(close_stdin=PATIENCE)) as client:
        helper = await client.request("start_helper")
    assert client.server.returncode == 0
    assert not alive(helper)


async def test_the_last_notifications_still_arrive() -> None:
    async with open_client(*SERVER, stop=Stop(close_stdin=PATIENCE)) as client:
        await client.notify("news", "x" * 2**20)
        await client.notify("exit", 7)
    assert client.server.returncode == 7


async def test_a_server_that_ignores_the_end_of_its_stdin_gets_sigterm() -> None:
    stop = Stop(close_stdin=0.05, grace=PATIENCE)
    async with open_client(*SERVER, stop=stop) as client:
        await client.request("ignore_the_end")
    assert client.server.returncode == -signal.SIGTERM


async def test_an_error_in_the_block_ends_the_server() -> None:
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with open_client(*SERVER) as client:
            await client.request("add", [1, 2])
            raise LookupError("mine")
    assert caught.value.subgroup(LookupError) is not None
    assert client.server.returncode == 0


async def test_an_error_in_a_notification_handler_ends_the_block() -> None:
    async def fail(method: str, params: Any) -> None:
        raise LookupError(params)

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with open_client(*SERVER, on_notification=fail) as client:
            await client.request("count_to", 1)
            await client.request("hold", "forever")
    assert caught.value.subgroup(LookupError) is not None


async def test_a_limit_around_the_block() -> None:
    with pytest.raises(within.DeadlineExceeded, match="'session'"):  # noqa: PT012
        with within.timeout(0.05, name="session"):
            async with open_client(*SERVER) as client:
                await client.request("hold", "forever")


async def test_closing_the_client_fails_the_open_requests() -> None:
    errors: list[str] = []
    async with anyio.create_task_group() as tasks:
        async with open_client(*SERVER) as client:
            tasks.start_soon(failing, client, errors, "hold", "on")
            await held(client, "on")
        await failing(client, errors, "add", [1, 2])
    assert errors == ["the client has been closed"] * 2
