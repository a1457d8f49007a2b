"""Messages and receives of a schedule, whichever library they are of: for what is said about them.

Each library matches its own; here they are the same plain values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from adpkv.rank_programs.operations import Arrival

__all__ = ["Letter", "Mailbox", "Sought", "letters_of", "sought_of"]


class Letter(NamedTuple):
    """A message, between ranks of the whole job."""

    sender: int
    receiver: int
    tag: int
    group: int
    """The number of the group in which it was sent."""
    arrival: Arrival
    """The sender's call."""


class Sought(NamedTuple):
    """A receive, or a probe."""

    receiver: int
    sender: int | None
    """None for any."""
    tag: int | None
    group: int
    arrival: Arrival

    def takes(self, letter: Letter) -> bool:
        """Would it take this message?"""
        return (
            (self.receiver, self.group) == (letter.receiver, letter.group)
            and self.sender in (None, letter.sender)
            and self.tag in (None, letter.tag)
        )


class Mailbox(Protocol):
    """What a library keeps of a schedule."""

    def letters(self) -> Iterable[Letter]:
        """What nobody has received, in the order in which it was sent."""
        ...

    def sought(self) -> Iterable[Sought]:
        """The receives that have nothing yet."""
        ...


def letters_of(mailboxes: Iterable[Mailbox]) -> list[Letter]:
    """What nobody has received, in all of them."""
    return [letter for box in mailboxes for letter in box.letters()]


def sought_of(mailboxes: Iterable[Mailbox]) -> list[Sought]:
    """The receives that have nothing yet, in all of them."""
    return [sought for box in mailboxes for sought in box.sought()]
