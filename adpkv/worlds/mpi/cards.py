"""Gives every rank the cards of all transports (`transport.cards`), and checks that they fit.

One all-gather over the communicator of the data, as all ranks create their ports: it loses nothing,
while messages of the mailbox may be lost or late on purpose.
"""

from __future__ import annotations

from array import array

import msgspec
from mpi4py import MPI

from adpkv.transport.cards import Card, difference
from adpkv.worlds.mpi.agreement import AgreedError

__all__ = ["exchange"]


def exchange(communicator: MPI.Intracomm, card: Card) -> list[Card]:
    """Every rank's card, by rank. Every rank must call it.

    Raises:
        AgreedError: the transports of two ranks do not fit; all ranks get the same text.
        MPI.Exception: a rank has failed.
    """
    own = msgspec.msgpack.encode(card)
    sizes = array("Q", [0] * communicator.size)
    communicator.Allgather([array("Q", [len(own)]), 8, MPI.BYTE], [sizes, 8, MPI.BYTE])
    landing = bytearray(sum(sizes))
    communicator.Allgatherv([own, len(own), MPI.BYTE], [landing, list(sizes), None, MPI.BYTE])
    cards, at = [], 0
    try:
        for size in sizes:
            cards.append(msgspec.msgpack.decode(landing[at : at + size], type=Card))
            at += size
    except msgspec.DecodeError:
        # Seen with Open MPI 5.0.11: a rank died in the gather, which nevertheless ended well here.
        raise MPI.Exception(MPI.ERR_PROC_FAILED) from None
    problem = difference(cards)
    if problem:
        raise AgreedError(problem)
    return cards
