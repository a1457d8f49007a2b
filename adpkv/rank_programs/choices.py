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
    "FirstOption",
    "Pct",
    "RandomOption",
    "Recorded",
    "Strategy",
    "from_token",
    "strategy_of",
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


class FirstOption:
    """The plain schedule: each rank goes on until it must wait."""

    def pick(self, options: Sequence[int], number: int) -> int:
        """Always the first."""
        return 0


class RandomOption:
    """Each option is as likely as the others."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def pick(self, options: Sequence[int], number: int) -> int:
        """One of them."""
        return int(self._draw() * len(options))


class Pct:
    """Ranks have priorities, which change at `depth - 1` drawn moments (PCT, Burckhardt et al.,
    ASPLOS 2010): finds a bug that takes `depth` ordered events with a known probability."""

    def __init__(self, seed: int, depth: int, length: int = 200) -> None:
        self._random = random.Random(seed)
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


def strategy_of(text: str, seed: int) -> Strategy:
    """The strategy that `--strategy` names: `random`, or `pct:D`."""
    if text == "random":
        return RandomOption(seed)
    word, _, depth = text.partition(":")
    if word == "pct" and depth.isascii() and depth.isdigit() and 1 <= int(depth) <= 100:
        return Pct(seed, int(depth))
    raise UsageError(f"--strategy {text}: there are random and pct:D, with D from 1 to 100")


def to_token(choices: Sequence[int]) -> str:
    """The choices as text that one can paste: short where most of them are 0."""
    kept = list(choices)
    while kept and kept[-1] == 0:
        kept.pop()
    packed = zlib.compress(b"".join(choice.to_bytes(2, "big") for choice in kept), 9)
    return PREFIX + (base64.urlsafe_b64encode(packed).decode().rstrip("=") if kept else "")


def from_token(token: str) -> list[int]:
    """The way back. Raises UsageError for what is no token."""
    wrong = UsageError(f"{token[:40]!r} is no token of a schedule: they begin with {PREFIX}")
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
