"""Which bytes go where in a step's two collectives: pure functions of every member's tokens.

Dispatch: each member spreads its tokens evenly over all members' experts, itself included. Combine:
everything goes back. The bytes follow from source, target, step and direction, so a receiver knows
what must have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from adpkv.memory.pattern import mixed

__all__ = ["AREAS", "COMBINE", "DISPATCH", "Chunk", "Moves", "moves", "room", "share_bytes"]

DISPATCH: Final = 0
COMBINE: Final = 1
AREAS: Final = 2
"""Each direction has a buffer of its own to send from: a peer may still read the one while this
rank fills the other."""

WORD: Final = 8


class Chunk(NamedTuple):
    """The bytes between this member and another one: where they are in the buffer, how many, and
    the key of their pattern."""

    member: int
    offset: int
    nbytes: int
    key: int


class Moves(NamedTuple):
    """One collective of one member."""

    send: list[Chunk]
    receive: list[Chunk]
    offsets: list[int]
    """Where each member has, in its own buffer, what it sends to this one."""


def share_bytes(tokens: int, token_bytes: int, members: int) -> int:
    """What a member with so many tokens sends to each member: whole words."""
    return -(-tokens * token_bytes // (members * WORD)) * WORD


def room(most_tokens: int, token_bytes: int, members: int) -> int:
    """The size of a buffer for all that a member can send or get in one collective, also once some
    have failed: shares are whole words, so three of them can be longer than four."""
    return max(n * share_bytes(most_tokens, token_bytes, n) for n in range(1, members + 1))


def moves(direction: int, step: int, own: int, shares: Sequence[int]) -> Moves:
    """The moves of member `own`.

    Args:
        direction: `DISPATCH` or `COMBINE`.
        step: counts the steps, so that old bytes are no right ones.
        shares: what each member sends to each member in the dispatch, in bytes.
    """
    members = range(len(shares))
    # In the dispatch a member sends the same to all and gets what each one sends; then vice versa.
    equal, varied = [shares[own]] * len(shares), list(shares)
    sent, got = (equal, varied) if direction == DISPATCH else (varied, equal)
    before = sum(shares[:own])
    offsets = [own * shares[m] if direction == DISPATCH else before for m in members]

    def key(source: int, target: int) -> int:
        return int(mixed((((step << 1 | direction) << 16) + source << 16) + target))

    send = [Chunk(m, sum(sent[:m]), sent[m], key(own, m)) for m in members]
    receive = [Chunk(m, sum(got[:m]), got[m], key(m, own)) for m in members]
    return Moves(send, receive, offsets)
