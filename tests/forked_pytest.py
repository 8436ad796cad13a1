"""Runs pytest in a process of its own, without the cost of starting one.

An interpreter that imports pytest, its plugins and both loops takes three times as long
as a small suite itself. So the first call starts a server, which imports all of them,
and forks for each run. Where a process cannot fork, each run starts an interpreter.
"""

from __future__ import annotations

import atexit
import functools
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

import pytest

# The first suite that the server runs. Whatever it imports, no later one imports again.
# pytest has to run it: modules that pytest's plugins consist of are imported in a special
# way, and a later run would warn about others.
FIRST = """\
import anyio, hypothesis, pytest, within.testing
@pytest.mark.virtual_time
async def test_both_loops():
    await anyio.sleep(1)
"""
OPTIONS = [
    f"-pno:{name}" for name in ("cacheprovider", "asyncio", "trio", "xdist", "randomly")
]


# What changes the text that pytest prints, and is set on some machines only.
PRINTING = (
    "BUILD_NUMBER",
    "CI",
    "COLUMNS",
    "FORCE_COLOR",
    "NO_COLOR",
    "PYTEST_THEME",
    "PYTEST_THEME_MODE",
    "PYTHON_COLORS",
)


class Ended(NamedTuple):
    status: int
    text: str  # what it has written to stdout and stderr


def run_pytest(directory: Path, *options: str) -> Ended:
    """Run pytest in ``directory``, with our environment but for `PRINTING`."""
    environment = {k: v for k, v in os.environ.items() if k not in PRINTING}
    if hasattr(os, "fork"):
        return server().run(directory, options, environment)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        check=False,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return Ended(done.returncode, done.stdout)


# -- on our side -------------------------------------------------------------------


class Server:
    """The server, as seen from the tests."""

    def __init__(self) -> None:
        requests, ours = os.pipe()
        answers, theirs = os.pipe()
        # It forks and exits, because many tests look for children of ours. The server
        # ends once nobody holds the other end of its pipe.
        subprocess.run(
            [sys.executable, __file__, str(requests), str(theirs)],
            check=True,
            pass_fds=[requests, theirs],
            start_new_session=True,
        )
        os.close(requests)
        os.close(theirs)
        self._requests, self._answers = os.fdopen(ours, "w"), os.fdopen(answers)
        atexit.register(self._requests.close)
        atexit.register(self._answers.close)
        self._numbers = itertools.count()

    def run(
        self, directory: Path, options: tuple[str, ...], environment: dict[str, str]
    ) -> Ended:
        number = next(self._numbers)
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
            request = [number, str(directory), options, environment, output.name]
            print(json.dumps(request), file=self._requests, flush=True)
            # An answer to an earlier request is one that a test did not wait for.
            while (answer := json.loads(self._answers.readline()))[0] != number:
                pass
            return Ended(answer[1], output.read())


@functools.cache
def server() -> Server:
    return Server()


# -- in the server -----------------------------------------------------------------


def serve(requests: TextIO, answers: TextIO) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "test_first.py").write_text(FIRST)
        sys.path[0] = directory
        assert pytest.main([*OPTIONS, "--quiet", directory]) == 0
    gc.freeze()  # the collector of a fork would copy all of it by looking at it
    for line in iter(requests.readline, ""):
        number, *request = json.loads(line)
        pid = os.fork()
        if not pid:
            requests.close()
            answers.close()
            be_pytest(*request)
        _, status = os.waitpid(pid, 0)
        answer = [number, os.waitstatus_to_exitcode(status)]
        print(json.dumps(answer), file=answers, flush=True)


def be_pytest(
    directory: str, options: list[str], environment: dict[str, str], output: str
) -> NoReturn:
    os.chdir(directory)
    sys.path[0] = directory
    os.environ.clear()
    os.environ.update(environment)
    fd = os.open(output, os.O_WRONLY)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    sys.exit(pytest.main(options))


def main(requests: str, answers: str) -> None:
    if os.fork():
        os._exit(0)
    devnull = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(devnull, fd)
    os.close(devnull)
    serve(os.fdopen(int(requests)), os.fdopen(int(answers), "w"))
    # Nothing waits for us now: coverage.py would write its data while it is combined.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
