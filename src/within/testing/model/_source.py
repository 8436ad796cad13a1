"""A program as source code: the code that is shown, and the code that runs.

Both come from one text. The code that runs has an extra call after each line.
"""

from __future__ import annotations

import ast
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._statements import (
    Ask,
    Await,
    Block,
    Body,
    Call,
    Cancel,
    CancelGroup,
    CancelScope,
    CancelTask,
    Catch,
    Fail,
    Finally,
    Get,
    Group,
    Put,
    Reschedule,
    Scope,
    Set,
    Sleep,
    Statement,
    Swallow,
    TaskGroup,
    Wait,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Generator

IMPORTS = """\
import math
from contextlib import suppress

import anyio

import within

"""


class Writer:
    """Writes the source of one program, and the line of each statement into it."""

    def __init__(self, body: Body, shared: tuple[Body, ...], level: bool) -> None:
        self._level = level
        self.shared = shared
        self.lines = [*IMPORTS.splitlines()]
        # In the order of the source code.
        self._all = [s for one in (*shared, body) for s in walk(one)]
        self.blocks = [s for s in self._all if isinstance(s, Block)]
        self.scopes = [s for s in self._all if isinstance(s, Scope)]
        self.groups = [s for s in self._all if isinstance(s, Group | TaskGroup)]
        # Blocks and scopes that a statement outside them refers to. These are made
        # at the beginning of the program.
        self.early: set[int] = set()
        for one in (*shared, body):
            self._find_early(one, ())
        self.tasks: dict[int, list[str]] = {}  # by the id of their group
        self._tasks = len(shared)
        self._task = "main"  # in whose code we are
        self._depth = 0
        self._write_main(body)

    # -- references between statements --------------------------------------------------

    def target(self, statement: Statement) -> Block | Scope | None:
        """The block or scope that a statement refers to."""
        match statement:
            case Reschedule(number) | Cancel(number) if self.blocks:
                return self.blocks[number % len(self.blocks)]
            case CancelScope(number) if self.scopes:
                return self.scopes[number % len(self.scopes)]
            case _:
                return None

    def _find_early(self, body: Body, inside: tuple[Statement, ...]) -> None:
        for statement in body:
            target = self.target(statement)
            if target is not None and not any(target is one for one in inside):
                self.early.add(id(target))
            for inner in statement.bodies():
                self._find_early(inner, (*inside, statement))
            if isinstance(statement, Group | TaskGroup):
                for child in statement.children:
                    self._find_early(child, ())

    def awaited(self, statement: Await, task: str) -> tuple[int, ...]:
        """The shared tasks that the task of this name awaits by ``statement``."""
        numbers = (n % len(self.shared) for n in statement.tasks if self.shared)
        found = [n for n in dict.fromkeys(numbers) if f"task_{n}" != task]
        return tuple(found[:1] if statement.way in ("await", "shield") else found)

    def name(self, statement: Statement) -> str:
        for kind, known in (
            ("block", self.blocks),
            ("scope", self.scopes),
            ("group", self.groups),
        ):
            for number, one in enumerate(known):
                if one is statement:
                    return f"{kind}_{number}"
        raise LookupError(statement)

    # -- writing -------------------------------------------------------------

    def _line(self, text: str, statement: Statement | None = None) -> None:
        self.lines.append("    " * self._depth + text)
        if statement is not None:
            object.__setattr__(statement, "line", len(self.lines))

    @contextmanager
    def _indented(
        self, text: str, statement: Statement | None = None
    ) -> Generator[None]:
        self._line(text, statement)
        self._depth += 1
        yield
        self._depth -= 1

    def _write_main(self, body: Body) -> None:
        events = sorted({s.event for s in self._all if isinstance(s, Wait | Set)})
        queues = sorted({s.queue for s in self._all if isinstance(s, Put | Get)})
        native = any(isinstance(s, CancelTask | TaskGroup) for s in self._all)
        self._line("")
        if native or self.shared:
            self.lines.insert(0, "import asyncio")
        with self._indented("async def main():"):
            if any(isinstance(s, CancelTask) for s in self._all):
                self._line("main_task = asyncio.current_task()")
            for number in events:
                self._line(f"event_{number} = anyio.Event()")
            made: list[Block | Scope] = [*self.blocks, *self.scopes]
            for one in made:
                if id(one) in self.early:
                    self._line(f"{self.name(one)} = {self._make(one)}")
            depth = self._depth
            for number in queues:
                self._line(
                    f"put_{number}, get_{number} = "
                    "anyio.create_memory_object_stream(math.inf)"
                )
                self._line(f"with put_{number}, get_{number}:")
                self._depth += 1
            for number, inside in enumerate(self.shared):
                self._task = f"task_{number}"
                with self._indented(f"async def task_{number}():"):
                    # All have started before one of them can cancel another.
                    self._line("await asyncio.sleep(0)")
                    self._write(inside, ())
            for number in range(len(self.shared)):
                self._line(f"shared_{number} = asyncio.create_task(task_{number}())")
            self._task = "main"
            self._write(body, ())
            self._depth = depth

    def _write(self, body: Body, groups: tuple[Group, ...]) -> None:
        if not body:
            self._line("pass")
        for statement in body:
            self._write_one(statement, groups)

    def _write_one(self, statement: Statement, groups: tuple[Group, ...]) -> None:
        match statement:
            case Sleep(seconds):
                self._line(f"await anyio.sleep({_number(seconds)})", statement)
            case Wait(event):
                self._line(f"await event_{event}.wait()", statement)
            case Set(event):
                self._line(f"event_{event}.set()", statement)
            case Put(queue):
                number = len(self.lines) + 1
                self._line(f"put_{queue}.send_nowait({number})", statement)
            case Get(queue):
                self._line(f"await get_{queue}.receive()", statement)
            case Fail():
                self._line("raise ValueError", statement)
            case Ask():
                self._line("print(within.current_effective_deadline())", statement)
            case Call(function):
                self._line(f"await {function.__name__}()", statement)
            case Reschedule(_, delay):
                if (target := self.target(statement)) is None:
                    self._line("pass")
                    return
                when = "None" if delay is None else _later(delay)
                with self._indented("with suppress(RuntimeError):"):
                    self._line(f"{self.name(target)}.reschedule({when})", statement)
            case Cancel() | CancelScope():
                if (target := self.target(statement)) is None:
                    self._line("pass")
                    return
                self._line(f"{self.name(target)}.cancel()", statement)
            case CancelTask():
                self._line("main_task.cancel()", statement)
            case Await(_, way):
                names = [f"shared_{n}" for n in self.awaited(statement, self._task)]
                self._line(_awaiting(way, names), statement)
            case CancelGroup(outwards):
                if not groups:
                    self._line("pass")
                    return
                group = groups[-1 - outwards % len(groups)]
                self._line(f"{self.name(group)}.cancel_scope.cancel()", statement)
            case _:
                self._write_nested(statement, groups)

    def _write_nested(self, statement: Statement, groups: tuple[Group, ...]) -> None:
        match statement:
            case Block(body=body) | Scope(body=body):
                name, word = self.name(statement), "async with"
                if isinstance(statement, Scope):
                    word = "with"
                made = name if id(statement) in self.early else ""
                made = made or f"{self._make(statement)} as {name}"
                with self._indented(f"{word} {made}:", statement):
                    self._write(body, groups)
            case Group(children, body) | TaskGroup(children, body):
                self._write_group(statement, children, body, groups)
            case Finally(body, cleanup):
                with self._indented("try:", statement):
                    self._write(body, groups)
                with self._indented("finally:"):
                    self._write(cleanup, groups)
            case Swallow(body):
                with self._indented("try:"):
                    self._write(body, groups)
                with self._indented("except anyio.get_cancelled_exc_class():"):
                    self._line('print("swallowed")', statement)
            case Catch(body):
                with self._indented("try:"):
                    self._write(body, groups)
                with self._indented("except within.DeadlineExceeded as error:"):
                    self._line('print("caught", error.scope.name)', statement)
            case _:
                raise TypeError(f"{statement!r} is not a statement")

    def _write_group(
        self,
        group: Group | TaskGroup,
        children: tuple[Body, ...],
        body: Body,
        groups: tuple[Group, ...],
    ) -> None:
        name, is_native = self.name(group), isinstance(group, TaskGroup)
        inside = groups if isinstance(group, TaskGroup) else (*groups, group)
        made = "asyncio.TaskGroup" if is_native else "anyio.create_task_group"
        tasks = self.tasks[id(group)] = []
        for child in children:
            tasks.append(f"task_{self._tasks}")
            self._tasks += 1
            outside, self._task = self._task, tasks[-1]
            with self._indented(f"async def {tasks[-1]}():"):
                self._write(child, inside)
            self._task = outside
        with self._indented(f"async with {made}() as {name}:", group):
            for task in tasks:
                start = f"create_task({task}())" if is_native else f"start_soon({task})"
                self._line(f"{name}.{start}")
            if is_native:  # a task that is cancelled before it starts never runs
                self._line("await asyncio.sleep(0)")
            self._write(body, inside)

    def _make(self, one: Block | Scope) -> str:
        delay = "None" if one.delay is None else _number(one.delay)
        options = ["shield=True"] if one.shield else []
        if isinstance(one, Scope):
            if one.delay is None:
                return f"anyio.CancelScope({', '.join(options)})"
            return f"anyio.move_on_after({', '.join([delay, *options])})"
        if self._level:
            options.append("level=True")
        options.append(f'name="{self.name(one)}"')
        way = "move_on_after" if one.quiet else "timeout"
        return f"within.{way}({', '.join([delay, *options])})"


def _awaiting(way: str, names: list[str]) -> str:
    if not names:
        return "pass"
    match way:
        case "await":
            return f"await {names[0]}"
        case "shield":
            return f"await asyncio.shield({names[0]})"
        case "wait":
            return f"await asyncio.wait([{', '.join(names)}])"
        case _:
            return f"await asyncio.gather({', '.join(names)})"


def _later(delay: float) -> str:
    sign, size = ("-", -delay) if delay < 0 else ("+", delay)
    return f"within.current_time() {sign} {_number(size)}"


def _number(value: float) -> str:
    """The shortest text that stands for exactly this number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


# -- recording what happens ----------------------------------------------------------------


class _Recording(ast.NodeTransformer):
    """Adds ``_at(line, …)`` after a line, and ``_left(line, …)`` around a block."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        self.generic_visit(node)
        inside = ast.parse(f"with _task({node.name!r}):\n    pass").body[0]
        assert isinstance(inside, ast.With)
        inside.body, node.body = node.body, [inside]
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        text = ast.unparse(node)
        if (
            "start_soon" in text
            or ".create_task" in text
            or text == "await asyncio.sleep(0)"
        ):
            return node
        call = ast.parse(f"_at({node.lineno})").body[0]
        assert isinstance(call, ast.Expr)
        assert isinstance(call.value, ast.Call)
        call.value.args.append(node.value)
        return call

    def visit_Assign(self, node: ast.Assign) -> Any:
        if ast.unparse(node.value).startswith("asyncio.create_task("):
            return [
                node,
                *ast.parse(f"_shared.append({ast.unparse(node.targets[0])})").body,
            ]
        return node

    def visit_With(self, node: ast.With | ast.AsyncWith) -> Any:
        self.generic_visit(node)
        item = node.items[0]
        name = item.optional_vars or item.context_expr
        if len(node.items) > 1 or not isinstance(name, ast.Name):
            return node  # `suppress()`, or the queues
        text = f"with _left({node.lineno}, lambda: {name.id}):\n    pass"
        around = ast.parse(text).body[0]
        assert isinstance(around, ast.With)
        around.body = [node]
        return around

    visit_AsyncWith = visit_With  # noqa: N815


def recording(source: str) -> ast.Module:
    """The source with calls that record what happens, ready to compile."""
    tree = ast.parse(source)
    _Recording().visit(tree)
    return ast.fix_missing_locations(tree)
