"""A process of ours is one of anyio's, for code that asks (P17)."""

from __future__ import annotations

import anyio.abc
import pytest

from within import process, server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


async def test_p17_a_process_is_an_instance_of_anyios() -> None:
    async with process("cat") as child:
        assert isinstance(child, anyio.abc.Process)
        assert isinstance(child, anyio.abc.AsyncResource)


async def test_p17_a_server_is_an_instance_of_anyios() -> None:
    async with server("cat") as child:
        assert isinstance(child, anyio.abc.Process)


async def test_p17_a_process_has_every_member_of_anyios() -> None:
    async with process("cat") as child:
        for name in vars(anyio.abc.Process):
            if not name.startswith("_"):
                getattr(child, name)
