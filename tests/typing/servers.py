# pyright: reportUnnecessaryTypeIgnoreComment=true
"""Servers, as a type checker sees them.

This code never runs. Both checkers must report an error on each `type: ignore` line.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Unpack, assert_type

import within


async def a_server_for_a_block(port: int) -> str:
    async with within.server("serve", ready="ready", keep=1000) as s:
        assert_type(s.log, str)
        await s.stdin.send(b"quit")
        await s.write("quit")
        assert_type(s.stdout, None)
        assert_type(s.stderr, None)
    await within.listening(Path("/run/serve.sock"))
    ready = within.listening(port, host="::1")
    async with within.server("serve", str(port), ready=ready, stop=within.Stop()) as s:
        assert_type(await s.wait(), int)
    async with within.server("serve", ready=re.compile("port ([0-9]+)")) as s:
        assert_type(s.match, re.Match[str])
    return s.log


async def a_server_on_its_standard_streams() -> str:
    async with within.server("serve", stdout=within.PIPE, cwd=Path("/")) as s:
        await s.stdin.send(b"request")
        assert_type(await s.stdout.receive(), bytes)
        assert_type(s.stderr, None)
        return await s.readline()


async def healthy() -> None:
    await within.listening(80)


async def fixture() -> AsyncIterator[within.Server]:
    """A fixture, as a wrapper that passes options on would write it."""
    async with within.timeout(10):
        made = await within.server("serve", ready=healthy, stderr=within.STDOUT)
    async with made:
        yield made


def start(
    *command: within.Word, **options: Unpack[within.ProcessOptions]
) -> within.Opening[within.Server]:
    return within.server(*command, stdin=within.DEVNULL, **options)


async def a_server_that_fails() -> int:
    try:
        await start("serve")
    except within.ServerFailed as error:
        return error.returncode
    return 0


async def wrong_arguments_of_a_server() -> None:
    within.server("serve", ready=b"ready")  # type: ignore[call-overload]
    within.server("serve", ready=len)  # type: ignore[arg-type]
    within.server("serve", stdout="logs")  # type: ignore[call-overload]
    within.listening("80")  # type: ignore[call-overload]
    within.listening(Path("/run/serve.sock"), "::1")  # type: ignore[call-overload]
    with within.server("serve"):  # type: ignore[attr-defined]
        pass
