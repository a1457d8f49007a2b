"""What the ranks of a job tell each other about their transports as they start, and what must be
the same on all of them.

A library that writes into a peer's memory needs the peer's address and the keys of its memory. All
ranks exchange that at once, before anything runs (`worlds.mpi.cards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

__all__ = ["Card", "NeedsCards", "difference"]


class Card(msgspec.Struct, frozen=True, gc=False):
    """One rank's transport, as the other ranks know it.

    Args:
        transport: its name.
        alike: names and values that must be the same on all ranks, such as the library's version.
        host: the host that it runs on.
        address: what a peer needs to reach it, in the library's own format; empty if nothing.
    """

    transport: str
    alike: tuple[tuple[str, str], ...] = ()
    host: str = ""
    address: bytes = b""


@runtime_checkable
class NeedsCards(Protocol):
    """What a transport has besides its port if it needs to know its peers' addresses."""

    def card(self) -> Card:
        """This rank's card; called once."""
        ...

    def take_cards(self, cards: Sequence[Card]) -> None:
        """The cards of all ranks, by rank. Called once, before the first transfer. It connects
        nobody yet: a peer is connected when it is first used."""
        ...


def difference(cards: Sequence[Card]) -> str:
    """The first thing that should be alike on all ranks and is not, as a sentence; empty if there
    is none. It is the same on all ranks."""
    first = cards[0]
    for rank, card in enumerate(cards):
        if card.transport != first.transport:
            return (
                f"transceiver.transport: rank 0 has {first.transport}, rank {rank} has"
                f" {card.transport}: all ranks of a job need the same"
            )
        for (name, value), (_, other) in zip(first.alike, card.alike, strict=True):
            if value != other:
                return (
                    f"transceiver.transport: {first.transport}: rank 0{_on(first)} has {name}"
                    f" {value}, rank {rank}{_on(card)} has {other}: all ranks of a job need the"
                    " same"
                )
    return ""


def _on(card: Card) -> str:
    return f" on {card.host}" if card.host else ""
