"""Mutations of what the end of a block says, and of its limit (T9, T10, T25, T26)."""

from __future__ import annotations

from mutation_type import BACKEND, DEADLINE, ERRORS, STRIKES, TIMEOUT, TRIO, Mutation

ENDS = [
    Mutation(
        "T9: leave the deadline out of the context of other exceptions",
        ERRORS,
        "last.__context__ = inserted",
        "pass",
    ),
    Mutation(
        "T9: follow a circular chain of contexts forever",
        ERRORS,
        "if id(context) in seen:",
        "if False:",
    ),
    Mutation(
        "T9: explain the members of a group but not the group",
        ERRORS,
        "is_certain = explain(member, exceeded, cancelled) or is_certain",
        "explain(member, exceeded, cancelled)",
    ),
    Mutation(
        "T9: explain only what has a cancellation in its chain",
        TIMEOUT,
        "is_certain=left is not exc,",
        "is_certain=False,",
    ),
    Mutation(
        "T9: put the whole group into the context of its rest",
        TIMEOUT,
        "            left.__context__ = context\n",
        "            pass\n",
    ),
    Mutation(
        "T9: leave our cancellation in a group",
        BACKEND,
        "            return rest\n",
        "            return group\n",
    ),
    Mutation(
        "T9: do not look into groups",
        BACKEND,
        "if isinstance(exc, BaseExceptionGroup):  # T9",
        "if False:",
    ),
    Mutation(
        "T9: raise the rest of a group on trio as trio does, without the deadline",
        TRIO,
        "            return error if scope.cancelled_caught else exc\n",
        "            raise\n",
    ),
    Mutation(
        "T10: raise for the wrong block",
        TIMEOUT,
        "DeadlineExceeded(message(self, backend.current_time()), self)",
        "DeadlineExceeded(message(self, backend.current_time()), "
        'getattr(self, "parent", None) or self)',
    ),
    Mutation(
        "T10: leave the deadline out of the message of the cancellation",
        STRIKES,
        "says = reason(target, self.loop.time())",
        'says = Reason("")',
    ),
    Mutation(
        "quiet: raise anyway",
        TIMEOUT,
        "if self._quiet:\n                return True",
        "if False:\n                return True",
    ),
    Mutation(
        "T25: do not tell what the deadline has interrupted",
        TIMEOUT,
        "if (interrupted := interrupted_by(exc, self)) is not None:",
        "if False:",
    ),
    Mutation(
        "T25: tell it to the block but not to its error",
        TIMEOUT,
        "        error.interrupted = self.interrupted\n",
        "",
    ),
    Mutation(
        "T25: do not look behind the exception for what was interrupted",
        ERRORS,
        "pending.append(found.__context__)",
        "pass",
    ),
    Mutation(
        "T25: do not look into a group for what was interrupted",
        ERRORS,
        "pending += members(found)\n",
        "pass\n",
    ),
    Mutation(
        "T25: follow a circular chain of contexts forever",
        ERRORS,
        "if found is not None and id(found) not in seen:",
        "if found is not None:",
    ),
    Mutation(
        "T25: give the command of the block around to a limit on its clean-up",
        ERRORS,
        "return around is not None",
        "return False",
    ),
    Mutation(
        "T26: forget the limit after a restart",
        DEADLINE,
        "current_time() + delay, delay)",
        "current_time() + delay, None)",
    ),
    Mutation(
        "T26: forget the limit after a deadline was set by hand",
        DEADLINE,
        "        if self.delay is not None:\n            self.limit = self.delay\n",
        "",
    ),
    Mutation(
        "T26: forget the limit after a restart that came too late",
        DEADLINE,
        "            self.delay = before\n",
        "",
    ),
    Mutation(
        "T26: name the old limit although the deadline was moved",
        DEADLINE,
        "before, self.delay = self.delay, delay",
        "before = self.delay",
    ),
    Mutation(
        "T26: count from entry again",
        DEADLINE,
        "self._move((backend or current()).current_time() + delay, delay)",
        "self._move(self.when, delay)",
    ),
    Mutation(
        "T26: let a decorator forget the shield",
        TIMEOUT,
        "block._begin(delay, deadline, is_shield,",
        "block._begin(delay, deadline, False,",
    ),
]
