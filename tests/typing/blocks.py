# pyright: reportUnnecessaryTypeIgnoreComment=true
"""Time limits, `running` and `opening`, as a type checker sees them.

This code never runs. Both checkers must report an error on each `type: ignore` line.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any, assert_type

import within

# -- creating a block, and its attributes --------------------------------------


def every_way_to_create_a_block() -> None:
    limits: list[within.Timeout] = [
        within.timeout(5),
        within.timeout(0.5, shield=True, level=True, name="connect"),
        within.timeout(timedelta(minutes=1)),
        within.timeout(None),
        within.timeout_at(within.current_time() + 5, name="request"),
        within.move_on_after(5, name="nap"),
        within.move_on_at(None, shield=True),
        within.shield(),
        within.shield(5),
        within.Timeout(),
        within.Timeout(5, quiet=True, shield=True, level=True, name="all"),
        within.Timeout(deadline=within.current_effective_deadline()),
    ]
    for limit in limits:
        assert_type(limit.deadline, float | None)
        assert_type(limit.remaining(), float)
        assert_type(limit.delay, float | None)
        assert_type(limit.expired, bool)
        assert_type(limit.cancelled_caught, bool)
        assert_type(limit.name, str | None)
        assert_type(limit.reschedule(within.current_time() + 60), None)
        assert_type(limit.reschedule(None), None)
        assert_type(limit.restart(), None)
        assert_type(limit.cancel(), None)
        assert_type(limit.interrupted, within.Completed[Any] | None)
        limit.deadline = None
        limit.deadline = timedelta(seconds=5)


def wrong_arguments() -> None:
    within.timeout("5")  # type: ignore[arg-type]
    within.timeout()  # type: ignore[call-arg]
    within.timeout(5, "name")  # type: ignore[call-arg, arg-type]
    within.timeout(5, quiet=True)  # type: ignore[call-arg]
    within.shield(grace="long")  # type: ignore[arg-type]
    limit = within.timeout(5)
    limit.expired = True  # type: ignore[misc]
    limit.deadline = "soon"  # type: ignore[assignment]


def the_clock() -> None:
    assert_type(within.current_time(), float)
    assert_type(within.current_effective_deadline(), float)


# -- the code after a block ----------------------------------------------------


async def both_forms() -> None:
    with within.timeout(5) as limit:
        assert_type(limit, within.Timeout)
    async with within.timeout(5) as limit:
        assert_type(limit, within.Timeout)
    with within.move_on_after(5) as nap:
        assert_type(nap.cancelled_caught, bool)
    async with within.shield(5) as grace:
        assert_type(grace.remaining(), float)


async def no_code_runs_after_a_return_in_a_timeout() -> int:
    with within.timeout(5):
        return 1


async def nor_in_the_other_form() -> int:
    async with within.timeout_at(5):
        return 1


# A quiet block may end before its return. The checkers must report the missing value.


async def after_move_on() -> int:  # type: ignore[return]
    with within.move_on_after(5):
        return 1


async def after_move_on_at() -> int:  # type: ignore[return]
    async with within.move_on_at(5):
        return 1


async def after_a_shield() -> int:  # type: ignore[return]
    with within.shield(5):
        return 1


async def after_move_on_with_a_second_return() -> str | None:
    with within.move_on_after(5):
        return "in time"
    return None


# -- as a decorator ------------------------------------------------------------


@within.timeout(5)
async def decorated(url: str, *, retries: int = 3) -> bytes:
    return b""


@within.move_on_after(5, name="fetch")
async def quietly_decorated(url: str) -> None: ...


async def decorated_functions_keep_their_types() -> None:
    assert_type(await decorated("url", retries=1), bytes)
    assert_type(await quietly_decorated("url"), None)
    await decorated(5)  # type: ignore[arg-type]
    await decorated("url", tries=1)  # type: ignore[call-arg]


def only_coroutine_functions_have_limits() -> None:
    def plain() -> bytes:
        return b""

    within.timeout(5)(plain)  # type: ignore[arg-type]


# -- in an except clause -------------------------------------------------------


async def which_limit_was_it(connection: socket.socket) -> str:
    with within.timeout(30, name="request") as request:
        try:
            async with within.timeout(5, name="connect"):
                connection.connect(("localhost", 80))
        except within.DeadlineExceeded as error:
            assert_type(error, within.DeadlineExceeded)
            assert_type(error.scope, within.Timeout)
            assert_type(error.scope is request, bool)
            assert_type(error.interrupted, within.Completed[Any] | None)
            return error.scope.name or str(error)
        except TimeoutError as error:
            error.scope  # type: ignore[attr-defined]  # noqa: B018
            return "the socket's own"
    return "connected"


def it_is_a_timeout_error(error: within.DeadlineExceeded) -> None:
    plain: TimeoutError = error
    assert plain is error


# -- opening and running -------------------------------------------------------


class Door:
    async def aclose(self) -> None: ...


@within.opening
async def door(colour: str, *, wide: bool = False) -> Door:
    return Door()


async def opened() -> None:
    mine = await door("red", wide=True)
    assert_type(mine, Door)
    await mine.aclose()
    async with door("red") as ours:
        assert_type(ours, Door)
    door(wide=True)  # type: ignore[call-arg]
    door(5)  # type: ignore[arg-type]
    with door("red"):  # type: ignore[attr-defined]
        pass


class House:
    @within.opening
    async def door(self, number: int) -> Door:
        return Door()


def only_coroutine_functions_can_be_decorated() -> None:
    def plain() -> Door:
        return Door()

    within.opening(plain)  # type: ignore[arg-type]


async def running() -> None:
    state: dict[str, bool] = {}
    with within.running(state) as same:
        assert_type(same, dict[str, bool])
    async with within.running(state, "busy") as same:
        assert_type(same, dict[str, bool])
    within.running([])  # type: ignore[type-var]


# -- as a value ----------------------------------------------------------------


def a_policy(make: Callable[[float], within.Timeout]) -> within.Timeout:
    return make(5)


policies = [a_policy(within.timeout), a_policy(within.move_on_after)]
