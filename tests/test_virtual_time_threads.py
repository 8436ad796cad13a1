"""In virtual time, threads that the loop does not know get time to answer (V8)."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import ctypes
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import anyio
import pytest
from virtual_runs import each_loop, virtually, waker

import within
from within.testing import Deadlock, _outside, virtual_clock
from within.testing._threads import CAN_SEE_THREADS, strangers

Work = Callable[[], object]


class Driver:
    """A thread that takes orders from a queue, as a database driver does."""

    def __init__(self, name: str = "driver") -> None:
        self._orders: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def _run(self) -> None:
        while (work := self._orders.get()) is not None:
            work()

    async def ask(self, work: Work = int) -> None:
        wake, answered = waker(), anyio.Event()

        def order() -> None:
            work()
            wake(answered.set)

        self._orders.put(order)
        await answered.wait()

    def close(self) -> None:
        self._orders.put(None)
        self._thread.join()


SOON = 0.025  # seconds until a thread answers


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may not let a thread answer within a moment."""
    monkeypatch.setattr(_outside, "MOMENT", 100 * _outside.MOMENT)
    monkeypatch.setattr(_outside, "LONGEST", 100 * _outside.LONGEST)


@pytest.fixture
def driver() -> Generator[Driver]:
    with contextlib.closing(Driver()) as made:
        yield made


@each_loop
@pytest.mark.usefixtures("unhurried")
def test_v8_a_thread_that_is_older_than_the_loop_may_answer_in_a_limit(
    loop: str, driver: Driver
) -> None:
    async def main() -> float:
        for _ in range(200):
            with within.timeout(3600):
                await driver.ask()
        return virtual_clock().now

    assert virtually(loop, main) == 0


@each_loop
@pytest.mark.usefixtures("unhurried")
def test_v8_a_thread_that_is_started_by_the_test_may_answer_in_a_limit(
    loop: str,
) -> None:
    async def main() -> float:
        with contextlib.closing(Driver()) as driver, within.timeout(3600):
            await driver.ask()
            await driver.ask(lambda: time.sleep(SOON))
        return virtual_clock().now

    assert virtually(loop, main) == 0


@each_loop
@pytest.mark.parametrize(
    "name",
    [
        "asyncio_1",
        "asyncio_1_mqtt",
        "AnyIO worker thread of mine",
        "Trio thread 1 of mine",
        "within-alarm-clock",
        "my pytest_timeout thread",
    ],
)
@pytest.mark.usefixtures("unhurried")
def test_v8_its_name_may_begin_like_one_of_a_loop(loop: str, name: str) -> None:
    async def main() -> float:
        with contextlib.closing(Driver(name)) as driver, within.timeout(3600):
            await driver.ask(lambda: time.sleep(SOON))
        return virtual_clock().now

    assert virtually(loop, main) == 0


@each_loop
def test_v8_a_thread_that_is_older_than_the_loop_may_answer_without_a_limit(
    loop: str, driver: Driver
) -> None:
    async def main() -> None:
        for pause in (0, SOON, 0):
            await driver.ask(lambda pause=pause: time.sleep(pause))

    virtually(loop, main)


# -- threads that `threading` does not know ---------------------------------------


@each_loop
@pytest.mark.parametrize("has_limit", [False, True])
@pytest.mark.usefixtures("unhurried")
def test_v8_a_thread_that_threading_does_not_know_may_answer(
    loop: str, has_limit: bool
) -> None:
    async def main() -> float:
        wake = waker()
        for _ in range(5):
            answered = anyio.Event()

            def work(answer: Work = answered.set) -> None:
                time.sleep(SOON)
                wake(answer)

            _thread.start_new_thread(work, ())
            with within.timeout(3600 if has_limit else None):
                await answered.wait()
        return virtual_clock().now

    assert virtually(loop, main) == 0


@pytest.mark.skipif(not CAN_SEE_THREADS, reason="needs /proc")
@each_loop
@pytest.mark.usefixtures("unhurried")
def test_v8_a_thread_that_c_code_has_started_may_answer(loop: str) -> None:
    libc = ctypes.CDLL(None)
    here, there = socket.socketpair()

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def work(_: object) -> None:
        time.sleep(SOON)
        here.send(b"x")

    async def main() -> float:
        for _ in range(5):
            thread = ctypes.c_ulong()
            libc.pthread_create(ctypes.byref(thread), None, work, None)
            with within.timeout(3600):
                await anyio.wait_readable(there)
            there.recv(1)
        return virtual_clock().now

    with here, there:
        assert virtually(loop, main) == 0


@pytest.mark.skipif(not CAN_SEE_THREADS, reason="needs /proc")
@each_loop
def test_v8_a_thread_that_has_ended_costs_nothing(loop: str) -> None:
    def logs() -> None:
        threading.current_thread()  # as logging does; 3.11 then keeps an object
        ended.set()

    async def main() -> float:
        for _ in range(100):
            await anyio.sleep(1)
        return time.monotonic()

    ended = threading.Event()
    _thread.start_new_thread(logs, ())
    ended.wait()
    began = time.monotonic()
    assert virtually(loop, main) - began < 50 * _outside.MOMENT


@pytest.mark.skipif(not CAN_SEE_THREADS, reason="needs /proc")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_v8_a_forked_process_does_not_take_itself_for_another_thread() -> None:
    seen, report = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(report, b"x" * (1 + len(strangers())))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(seen, 100) == b"x"
    os.close(seen)
    os.close(report)


@each_loop
def test_v2_a_thread_that_threading_does_not_know_leaves_a_deadlock(loop: str) -> None:
    def logs() -> None:
        threading.current_thread()

    async def main() -> None:
        _thread.start_new_thread(logs, ())
        await anyio.sleep_forever()

    with pytest.raises(Deadlock):
        virtually(loop, main)


@each_loop
def test_v8_the_clock_moves_after_each_answer(loop: str, driver: Driver) -> None:
    async def main() -> float:
        for _ in range(5):
            with within.timeout(5):
                await driver.ask()
            await anyio.sleep(1)
        return virtual_clock().now

    assert virtually(loop, main) == 5


@each_loop
def test_v8_a_thread_that_never_rests_does_not_stop_the_clock(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_outside, "LONGEST", 2 * _outside.MOMENT)
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            pass

    thread = threading.Thread(target=spin)

    async def main() -> float:
        await anyio.sleep(3600)
        return virtual_clock().now

    thread.start()
    try:
        assert virtually(loop, main) == 3600
    finally:
        over.set()
        thread.join()


@pytest.mark.skipif(not CAN_SEE_THREADS, reason="needs /proc")
@each_loop
def test_v8_a_thread_that_rests_costs_one_moment_only(
    loop: str, driver: Driver
) -> None:
    async def main() -> float:
        for _ in range(100):
            await anyio.sleep(1)
        return time.monotonic()

    virtually(loop, main)  # here it has its moment
    began = time.monotonic()
    assert virtually(loop, main) - began < 50 * _outside.MOMENT


@each_loop
def test_v8_a_server_in_another_thread_may_answer_in_a_limit(loop: str) -> None:
    def serve(listener: socket.socket) -> None:
        for _ in range(20):
            there, _ = listener.accept()
            with there:
                while data := there.recv(100):
                    there.send(data)

    async def main() -> float:
        for _ in range(20):
            with within.timeout(3600):
                async with await anyio.connect_tcp(*address) as stream:
                    await stream.send(b"ping")
                    assert await stream.receive() == b"ping"
        return virtual_clock().now

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        assert virtually(loop, main) == 0
        thread.join()


@each_loop
def test_v8_a_client_in_a_plain_thread_may_ask_a_server_of_the_loop(loop: str) -> None:
    def ask(port: int, answers: list[bytes]) -> None:
        with socket.create_connection(("127.0.0.1", port)) as here:
            for _ in range(20):
                here.send(b"ping")
                answers.append(here.recv(100))

    async def echo(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def main() -> float:
        answers: list[bytes] = []
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        thread = threading.Thread(target=ask, args=[port, answers])
        with anyio.CancelScope() as scope:
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, echo)
                thread.start()
                with within.timeout(3600):
                    while thread.is_alive():
                        await anyio.to_thread.run_sync(thread.join, 0.01)
                scope.cancel()
        assert answers == [b"ping"] * 20
        return virtual_clock().now

    assert virtually(loop, main) == 0


# -- what is raised ------------------------------------------------------------


@each_loop
@pytest.mark.parametrize("kind", ["within", "loop", "group"])
def test_v8_a_timeout_says_that_time_was_virtual(loop: str, kind: str) -> None:
    async def main() -> None:
        if kind == "within":
            with within.timeout(3600):
                await anyio.sleep_forever()
        elif kind == "group":
            async with anyio.create_task_group() as group:
                group.start_soon(_fail_after_an_hour)
        else:
            await _fail_after_an_hour()

    with pytest.raises((TimeoutError, ExceptionGroup)) as caught:
        virtually(loop, main)
    assert caught.value.__notes__ == ["raised in virtual time, at 3600 s"]


async def _fail_after_an_hour() -> None:
    with anyio.fail_after(3600):
        await anyio.sleep_forever()


def test_v8_other_errors_get_no_note() -> None:
    async def main() -> None:
        raise ValueError

    with pytest.raises(ValueError) as caught:
        virtually("asyncio", main)
    assert not hasattr(caught.value, "__notes__")


def test_v8_asyncios_own_timeouts_get_it_too() -> None:
    async def main() -> None:
        async with asyncio.timeout(3600):
            await asyncio.sleep(7200)

    with pytest.raises(TimeoutError) as caught:
        virtually("asyncio", main)
    assert caught.value.__notes__ == ["raised in virtual time, at 3600 s"]
