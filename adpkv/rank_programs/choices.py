"""The choices of one schedule: who makes them, how they are kept, and how a token holds them.

Whatever a schedule leaves open (which rank goes on, which message a wildcard takes) is asked of a
`Strategy`, as one of several options. Option 0 is always what a run without preemption does: the
current rank goes on, the first message is taken. So a schedule is a list of small numbers, most of
them 0, and a shorter list is a simpler schedule.
"""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Sequence
from typing import Final, Protocol

from adpkv.errors import UsageError

__all__ = [
    "MOST_CHOICES",
    "Fates",
    "FirstOption",
    "Pct",
    "RandomOption",
    "Recorded",
    "Strategy",
    "from_token",
    "to_token",
]

MOST_CHOICES: Final = 1_000_000
"""Choices in one schedule; a token with more is refused."""

PREFIX: Final = "c1."
"""A token of the first format."""


class Strategy(Protocol):
    """Makes the choices of one schedule; a new one for each."""

    def pick(self, options: Sequence[int], number: int) -> int:
        """The place of the chosen option. `options` are ranks, of which the first is the one that
        would go on by itself; `number` counts the choices of this schedule from 0. Asked only
        where there are two options or more."""
        ...

    def die(self, asked: int, number: int) -> int:
        """Does the rank die at its operation? 0: no; 1: before it comes to it; 2: in it, with its
        part done. `asked` counts these questions, `number` the choices of this schedule."""
        ...


class Fates:
    """At which of its operations a rank dies, drawn: of `asked` questions each is as likely, and in
    one schedule of eight nobody dies. Before one and in one are as likely too."""

    def __init__(self, draw: random.Random, asked: int, kills: int) -> None:
        self._at: dict[int, int] = {}
        for _ in range(kills):
            if asked and draw.randrange(8):
                self._at[draw.randrange(asked)] = 1 + draw.randrange(2)

    def die(self, asked: int, number: int) -> int:
        """As drawn."""
        return self._at.get(asked, 0)


class FirstOption:
    """The plain schedule: each rank goes on until it must wait."""

    def pick(self, options: Sequence[int], number: int) -> int:
        """Always the first."""
        return 0

    def die(self, asked: int, number: int) -> int:
        """Nobody dies."""
        return 0


class RandomOption:
    """Each option is as likely as the others."""

    def __init__(self, seed: int, asked: int = 0, kills: int = 0) -> None:
        drawn = random.Random(seed)
        self._draw = drawn.random
        self.die = Fates(drawn, asked, kills).die

    def pick(self, options: Sequence[int], number: int) -> int:
        """One of them."""
        return int(self._draw() * len(options))


class Pct:
    """Ranks have priorities, which change at `depth - 1` drawn moments (PCT, Burckhardt et al.,
    ASPLOS 2010): finds a bug that takes `depth` ordered events with a known probability."""

    def __init__(
        self, seed: int, depth: int, length: int = 200, asked: int = 0, kills: int = 0
    ) -> None:
        self._random = random.Random(seed)
        self.die = Fates(self._random, asked, kills).die
        self._priority: dict[int, float] = {}
        self._changes = {self._random.randrange(length) for _ in range(depth - 1)}

    def pick(self, options: Sequence[int], number: int) -> int:
        """The rank with the highest priority; at a change, the rank that would go on gets the
        lowest."""
        for rank in options:
            if rank not in self._priority:
                self._priority[rank] = 1.0 + self._random.random()
        if number in self._changes:
            self._priority[options[0]] = min(self._priority.values()) - 1.0
        return max(range(len(options)), key=lambda place: self._priority[options[place]])


class Recorded:
    """The choices of a schedule that was made before; beyond them, the first option."""

    def __init__(self, choices: Sequence[int]) -> None:
        self._choices = choices

    def pick(self, options: Sequence[int], number: int) -> int:
        """What was chosen then. A program that has changed may have fewer options now."""
        chosen = self._choices[number] if number < len(self._choices) else 0
        return chosen if chosen < len(options) else 0

    def die(self, asked: int, number: int) -> int:
        """What was chosen then."""
        return min(self._choices[number], 2) if number < len(self._choices) else 0


def to_token(choices: Sequence[int]) -> str:
    """The choices as text that one can paste: short where most of them are 0."""
    kept = list(choices)
    while kept and kept[-1] == 0:
        kept.pop()
    packed = zlib.compress(b"".join(choice.to_bytes(2, "big") for choice in kept), 9)
    return PREFIX + (base64.urlsafe_b64encode(packed).decode().rstrip("=") if kept else "")


def from_token(token: str) -> list[int]:
    """The way back. Raises UsageError for what is no token."""
    wrong = UsageError(
        f"{token[:40]!r} is no token of a schedule: copy the whole one of a replay line"
    )
    if not token.startswith(PREFIX) or not token.isascii():
        raise wrong
    text = token[len(PREFIX) :]
    if not text:
        return []
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(packed, 2 * MOST_CHOICES)
        whole = unpacker.eof
    except (ValueError, zlib.error):
        raise wrong from None
    if len(found) % 2 or not whole:
        raise wrong
    return [int.from_bytes(found[at : at + 2], "big") for at in range(0, len(found), 2)]
