"""The server for json_rpc_demo.py: JSON-RPC 2.0 on stdin and stdout, one message per line.

A client may call every public method of ``Server``. Some of them misbehave on request.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from typing import Any, NoReturn

LATER = object()  # returned by a method whose answer will be sent by another one


class Server:
    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._cancelled: list[int] = []
        self._heard: list[Any] = []
        self._number = 0  # the id of the request that is being answered

    def serve(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if "id" not in message:
                self._note(message)
            else:
                self._answer(message["id"], message["method"], message.get("params"))

    def _note(self, message: Any) -> None:
        if message["method"] == "$/cancelRequest":
            self._cancelled.append(message["params"]["id"])
        elif message["method"] == "exit":
            sys.exit(message["params"])
        else:
            self._heard.append(message["params"])

    def _answer(self, number: int, method: str, params: Any) -> None:
        self._number = number
        try:
            if method.startswith("_") or not hasattr(self, method):
                raise LookupError(f"there is no method {method}")
            result = getattr(self, method)(params)
        except Exception as error:  # noqa: BLE001  # any error goes to the client
            failure = {"code": -32000, "message": str(error)}
            self._say({"id": number, "error": failure})
        else:
            if result is not LATER:
                self._say({"id": number, "result": result})

    def _say(self, message: dict[str, Any]) -> None:
        self._write(json.dumps({"jsonrpc": "2.0", **message}))

    def _write(self, line: str) -> None:
        data = line.encode() + b"\n"
        while data:
            data = data[os.write(1, data) :]

    # -- useful methods ----------------------------------------------------

    def add(self, numbers: list[float]) -> float:
        return sum(numbers)

    def divide(self, numbers: list[float]) -> float:
        return numbers[0] / numbers[1]

    def echo(self, params: Any) -> Any:
        return params

    def hold(self, name: str) -> object:
        """Leave the request unanswered until it is released."""
        self._held[name] = self._number
        return LATER

    def release(self, name: str) -> None:
        self._say({"id": self._held.pop(name), "result": name})

    def held(self, params: None) -> list[str]:
        return list(self._held)

    def cancelled(self, params: None) -> list[int]:
        return self._cancelled

    def heard(self, params: None) -> list[Any]:
        return self._heard

    def count_to(self, last: int) -> None:
        for number in range(1, last + 1):
            self._say({"method": "count", "params": number})

    def start_helper(self, params: None) -> int:
        return subprocess.Popen(["sleep", "600"]).pid

    # -- misbehaviour ------------------------------------------------------

    def say(self, line: str) -> None:
        """Write any line, even an invalid message."""
        self._write(line)

    def flood(self, messages: int) -> None:
        """Send notifications, and report on stderr when the pipe is full."""
        reported = False
        for _ in range(messages):
            if not reported and not select.select([], [1], [], 0)[1]:
                os.write(2, b"no room")
                reported = True
            self._say({"method": "flood", "params": "x" * 1000})

    def hang_up(self, params: None) -> object:
        """Close stdout, and keep running."""
        os.dup2(2, 1)
        return LATER

    def go_deaf(self, even_to_sigterm: bool | None) -> None:
        """Close stdin, and keep running until a signal arrives."""
        if even_to_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(0)
        self._say({"id": self._number, "result": None})
        signal.pause()

    def ignore_the_end(self, params: None) -> None:
        """Keep running after the end of stdin, until a signal arrives."""
        self._say({"id": self._number, "result": None})
        for _ in sys.stdin:
            pass
        signal.pause()

    def die(self, last_words: str) -> NoReturn:
        os.write(2, last_words.encode())
        os._exit(3)


if __name__ == "__main__":
    Server().serve()
