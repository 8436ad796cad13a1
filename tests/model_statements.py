"""Short ways to write blocks and scopes of programs."""

from __future__ import annotations

from within.testing.model import Block, Scope, Statement


def block(delay: float | None, *body: Statement, **options: bool) -> Block:
    return Block(delay, options.get("quiet", True), options.get("shield", False), body)


def scope(delay: float | None, *body: Statement, shield: bool = False) -> Scope:
    return Scope(delay, shield, body)
