"""R1, R2: the two small helpers, ``running`` and ``opening``."""

from __future__ import annotations

import gc
from typing import Any, Self

import pytest
from hypothesis import given, strategies as st

import within

pytestmark = pytest.mark.anyio

KEYS = st.text("abc")  # the table of all characters takes a second to build


@given(item=st.dictionaries(KEYS, st.integers()), key=KEYS, fail=st.booleans())
def test_r1_the_item_is_true_inside_and_false_however_the_block_ends(
    item: dict[Any, Any], key: str, fail: bool
) -> None:
    rest = {k: v for k, v in item.items() if k != key}
    try:
        with within.running(item, key) as given_back:
            assert given_back is item
            assert item[key] is True
            if fail:
                raise KeyError(key)
    except KeyError:
        assert fail
    assert item == rest | {key: False}


async def test_r1_a_block_works_in_both_forms_and_more_than_once() -> None:
    state: dict[str, bool] = {}
    block = within.running(state)
    for _ in range(2):
        async with block:
            assert state == {"running": True}
        assert state == {"running": False}


class Resource:
    def __init__(self) -> None:
        self.closed = 0


class Sync(Resource):
    def close(self) -> None:
        self.closed += 1


class Async(Resource):
    async def aclose(self) -> None:
        self.closed += 1


class AsyncClose(Resource):
    async def close(self) -> None:
        self.closed += 1


class WithBlock(Async):
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


@within.opening
async def door(kind: type[Resource], *, fail: bool = False) -> Resource:
    """Opens a door."""
    if fail:
        raise OSError("jammed")
    return kind()


@pytest.mark.parametrize("kind", [Sync, Async, AsyncClose, WithBlock])
async def test_r2_the_block_closes_the_resource(kind: type[Resource]) -> None:
    async with door(kind) as resource:
        assert isinstance(resource, kind)
        assert resource.closed == 0
    assert resource.closed == 1
    with pytest.raises(KeyError):
        async with door(kind) as resource:
            raise KeyError
    assert resource.closed == 1


async def test_r2_an_awaited_resource_stays_open() -> None:
    resource = await door(Sync)
    assert resource.closed == 0


async def test_r2_an_error_while_opening_is_raised_in_both_forms() -> None:
    with pytest.raises(OSError, match="jammed"):
        await door(Sync, fail=True)
    with pytest.raises(OSError, match="jammed"):
        async with door(Sync, fail=True):
            pytest.fail("it was opened")


async def test_r2_a_resource_that_cannot_be_entered_is_closed() -> None:
    made: list[Resource] = []

    class Jammed(Async):
        async def __aenter__(self) -> Self:
            made.append(self)
            raise KeyError

        async def __aexit__(self, *exc: object) -> None:
            pytest.fail("it was not entered")

    with pytest.raises(KeyError):
        async with door(Jammed):
            pytest.fail("it was entered")
    assert made[0].closed == 1


async def test_r2_p1_opening_twice_is_an_error() -> None:
    opening = door(Sync)
    assert repr(opening) == "<door(...) not opened yet>"
    await opening
    assert repr(opening) == "<door(...) opened>"
    with pytest.raises(
        RuntimeError, match=r"already been awaited or entered: call door"
    ):
        await opening
    with pytest.raises(RuntimeError, match="already been awaited or entered"):
        async with opening:
            pass


async def test_r2_p1_a_call_that_is_never_awaited_warns() -> None:
    with pytest.warns(RuntimeWarning, match="'door' was never awaited"):
        door(Sync)
        gc.collect()


def test_r2_the_decorated_function_keeps_its_name_and_docstring() -> None:
    assert door.__name__ == "door"
    assert door.__doc__ == "Opens a door."
