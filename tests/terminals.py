"""The screen of a child with a terminal of its own, for the tests that talk to one."""

from __future__ import annotations

from typing import Any

import anyio


class Screen:
    """What the child has shown and no test has looked at yet."""

    def __init__(self, child: Any) -> None:
        self._child = child
        self._shown = b""

    async def sees(self, words: str) -> str:
        """Wait for a line with ``words`` on the screen; return its rest."""
        wanted = words.encode()
        while b"\n" not in self._shown.partition(wanted)[2]:
            self._shown += await self._child.stdout.receive()
        line, _, self._shown = self._shown.partition(wanted)[2].partition(b"\n")
        return line.decode().strip()

    async def prompts(self, words: str) -> str:
        """Wait for ``words``, which may end no line; return what came before."""
        while words.encode() not in self._shown:
            self._shown += await self._child.stdout.receive()
        before, _, self._shown = self._shown.partition(words.encode())
        return before.decode()

    async def types(self, keys: str) -> None:
        await self._child.stdin.send(keys.encode())

    async def rest(self) -> str:
        """All that comes until the end."""
        try:
            while True:
                self._shown += await self._child.stdout.receive()
        except anyio.EndOfStream:
            return self._shown.decode()
