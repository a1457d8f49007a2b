"""A field policy: other rules or limits, or a subclass of one part of a rank.

Nothing outside this folder knows that policies exist: the core asks its rules, the loop calls its
phases. Where several policies subclass the same part, their classes become the bases of one class,
and each calls the next by `super()`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from adpkv.core.ownership import Replica
from adpkv.core.router import Router
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Line, Role, State
from adpkv.core.session_limits import TransceiverLimits
from adpkv.executor.phases import Phases
from adpkv.executor.serving import Serving
from adpkv.transport.port import Transport

__all__ = ["NeverQuiet", "Policy", "combined", "with_lines"]

T = TypeVar("T")


def _same(value: T) -> T:
    return value


@dataclass(frozen=True, slots=True)
class Policy:
    """What replaces the contract's parts; None keeps the contract's own."""

    about: str
    """What was done, and where the field learned better."""
    rules: Callable[[Rules], Rules] = _same
    limits: Callable[[TransceiverLimits], TransceiverLimits] = _same
    phases: type[Phases] | None = None
    serving: type[Serving] | None = None
    """For both kinds of servers, or a generation server's alone."""
    replica: type[Replica] | None = None
    transport: Callable[[Transport], Transport] | None = None
    """Put around a rank's transport."""
    route: Router | None = None
    """In place of the experiment's `router.policy`."""


class NeverQuiet(Phases):
    """A rank with a replaced phase may act in any iteration: no world may jump over one."""

    def is_quiet(self) -> bool:
        """Never."""
        return False


def combined(base: type[T], others: Sequence[type | None]) -> type[T]:
    """`base` with the overrides of `others`; of two that override the same method, the later one is
    called first."""
    found = [one for one in dict.fromkeys(reversed(others)) if one is not None]
    # A superclass of another one adds nothing, and Python does not allow it before its subclass.
    own = [one for one in found if not any(one in other.__mro__[1:] for other in found)]
    return type(base.__name__, (*own, base), {}) if own else base


def with_lines(rules: Rules, role: Role, lines: dict[tuple[State, Event], Line]) -> Rules:
    """Rules whose table for `role` has other lines in some places."""
    table = {state: dict(events) for state, events in rules.tables[role].items()}
    for (state, event), line in lines.items():
        table[state][event] = line
    return dataclasses.replace(rules, tables={**rules.tables, role: table})
