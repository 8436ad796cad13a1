"""What a Stop says: checked when it is made, and done as it says (P4, P25)."""

from __future__ import annotations

import copy
import os
import pickle
import signal
from typing import Any

import pytest
from children import FOREVER, alive, line

import within
from within import Stop, process, run


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"grace": -1}, ValueError, "grace is -1"),
        ({"close_stdin": "1"}, TypeError, "close_stdin is '1': .* datetime.timedelta$"),
        ({"grace": float("nan")}, ValueError, "NaN: give a number of seconds$"),
        ({"signal": "TERM"}, TypeError, "'TERM'"),
        ({"signal": 4000}, ValueError, "4000"),
        ({"signal": True}, TypeError, "True"),
        ({"tree": "forest"}, ValueError, "forest"),
        ({"first": "both"}, ValueError, "both"),
        ({"survivors": "some"}, ValueError, "survivors is 'some'"),
        ({"pause": -1}, ValueError, "pause is -1"),
        ({"linger": None}, TypeError, "linger is None: give math.inf"),
        ({"grace": None}, TypeError, "grace is None: give math.inf"),
    ],
)
def test_stop_checks_itself(options: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Stop(**options)


def test_a_stop_is_a_value() -> None:
    stop = Stop(grace=1, tree="child")
    same = Stop(tree="child", grace=1.0)
    assert stop == same
    assert stop != Stop(grace=2, tree="child")
    assert len({stop, same}) == 1
    assert pickle.loads(pickle.dumps(stop)) == copy.deepcopy(stop) == stop
    assert "grace=1.0" in repr(stop)


def test_a_stop_with_some_values_replaced() -> None:
    stop = Stop(grace=1, tree="child")
    assert stop.__replace__(grace=2, first="child") == Stop(
        grace=2, tree="child", first="child"
    )
    assert stop == Stop(grace=1, tree="child")
    with pytest.raises(ValueError, match="grace is -1"):
        stop.__replace__(grace=-1)
    with pytest.raises(TypeError, match="patience"):
        stop.__replace__(patience=1)
    replace: Any = getattr(copy, "replace", None)
    if replace is not None:  # Python 3.13
        assert replace(stop, grace=2) == Stop(grace=2, tree="child")


def test_stop_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Stop().grace = 3  # type: ignore[misc]


# -- P25: what gets the polite signal first -------------------------------------------------------

# A master that drains its worker; the worker dies at once if it is signalled itself.
MASTER = (
    "trap 'kill -USR1 $w; wait $w; echo drained $?; exit 0' TERM; "
    "sh -c 'trap \"exit 7\" USR1; echo; while :; do sleep 0.01; done' & w=$!; "
    "echo; while :; do sleep 0.01; done"
)


@pytest.mark.anyio
@pytest.mark.parametrize("first", ["child", "tree"])
async def test_p25_the_child_alone_is_asked_first(
    first: Any, nothing_is_left: None
) -> None:
    async with process("sh", "-c", MASTER, stop=Stop(grace=60, first=first)) as child:
        await line(child)  # of the worker, and of the master
        await line(child)
    drained = [found for found in [text async for text in child] if "drained" in found]
    assert drained == ["drained 7\n" if first == "child" else "drained 143\n"]


@pytest.mark.anyio
async def test_p25_what_the_child_leaves_behind_is_killed_at_once(
    nothing_is_left: None,
) -> None:
    """It was never asked, so there is nothing to wait for."""
    script = f"(trap 'echo asked' TERM; echo $$; exec sleep {FOREVER}) & read -r x"
    stop = Stop(grace=60, first="child")
    async with process("sh", "-c", script, stop=stop) as child:
        await line(child)
    assert [found async for found in child] == []
    with within.timeout(60):
        done = await run("sh", "-c", f"sleep {FOREVER} & echo $!", stop=stop)
    assert not alive(int(done.stdout))


@pytest.mark.anyio
async def test_p25_a_stopped_child_is_continued_to_be_asked(
    nothing_is_left: None,
) -> None:
    script = "trap 'exit 5' TERM; echo; kill -STOP $$; while :; do sleep 0.01; done"
    stop = Stop(grace=60, first="child")
    async with process("sh", "-c", script, stop=stop) as child:
        await line(child)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert child.returncode == 5


@pytest.mark.anyio
async def test_p25_a_stubborn_child_is_killed_with_all(nothing_is_left: None) -> None:
    script = f"trap '' TERM; sleep {FOREVER} & echo $!; wait"
    stop = Stop(grace=0.05, first="child")
    async with process("sh", "-c", script, stop=stop) as child:
        pid = int(await line(child))
    assert child.returncode == -signal.SIGKILL
    assert not alive(pid)
