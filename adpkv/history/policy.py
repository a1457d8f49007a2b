"""A historical policy: another record of rules, or another phase in place of one.

Nothing outside this folder knows that policies exist: the core asks its rules, the loop calls its
phases. `replace` puts a function in a method's place on one rank's object; policies that are
combined find what the one before put there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adpkv.core.rules import Rules
from adpkv.core.session import Event, Line, Role, State
from adpkv.executor.phases import Phases

__all__ = ["Policy", "never_quiet", "replace", "with_lines"]


def _same(rules: Rules) -> Rules:
    return rules


def _nothing(phases: Phases) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Policy:
    """`rules` makes another record of one; `install` replaces phases of one rank."""

    about: str
    """What was done, and where the field learned better."""
    rules: Callable[[Rules], Rules] = _same
    install: Callable[[Phases], None] = _nothing


def replace(owner: object, name: str, new: Callable[..., Any]) -> None:
    """Put `new` in the place of a method of this one object."""
    if not hasattr(owner, name):
        raise AttributeError(f"{type(owner).__name__} has no {name} to replace")
    setattr(owner, name, new)


def never_quiet(phases: Phases) -> None:
    """A rank with another phase may do something in any iteration: no world may leave it out."""
    replace(phases, "is_quiet", lambda: False)


def with_lines(rules: Rules, role: Role, lines: dict[tuple[State, Event], Line]) -> Rules:
    """Rules whose table for `role` has other lines in some places."""
    table = {state: dict(events) for state, events in rules.tables[role].items()}
    for (state, event), line in lines.items():
        table[state][event] = line
    return dataclasses.replace(rules, tables={**rules.tables, role: table})
