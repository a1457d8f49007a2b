"""The fixed-width slot that each rank contributes to each small collective: a pure codec, no MPI.

A slot is 256 bytes: a head that says in which collective the rank is, then a tail with its payload
if that fits. All collectives of a group use this one width and one communicator. So ranks that are
in different collectives *see* it, and do not hang or decode another collective's payload (contract
5.8; TensorRT-LLM #14560, #16253).

The payload is MessagePack of a known type per kind. A head has no payload, but a tag: whether the
rank says something else than the time before at this call site, and how long that is. So only what
has changed is read, and where nothing has, all heads are the same. A changed payload that does not
fit into the tail follows in a second round. No extra message is needed to agree on that round:
every rank reads the same tags.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_origin
from zlib import crc32

import msgspec

from adpkv.errors import AdpkvError, CollectiveMismatchError, Place
from adpkv.flight_recorder.slot_layout import HEAD_BYTES, TAG_BYTES, SlotPlace

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "NEW",
    "HeadReader",
    "PayloadCodec",
    "code",
    "disagreement",
]

NEW: Final = 1
"""The first part of a tag where a payload is new; the second is its length. Zeros if it is what was
said there before."""

MAX_PAYLOAD_BYTES: Final = 16 << 20
"""The most that one rank may contribute to one collective: some 3 million block hashes."""


def code(text: str) -> int:
    """A kind or a site as it is in a slot: a CRC-32, which is the same in every process."""
    return crc32(text.encode())


class HeadReader:
    """Reads the heads of all members of a group, of which there are `size`."""

    def __init__(self, size: int) -> None:
        place = HEAD_BYTES - TAG_BYTES
        self._places = struct.Struct("@" + f"{TAG_BYTES}x{place}s" * size).unpack
        self._tags = struct.Struct("@" + f"II{place}x" * size).unpack

    def are_one(self, heads: bytes) -> bool:
        """Are all members in the same collective? They may say something new in it."""
        places = self._places(heads)
        return places.count(places[0]) == len(places)

    def lengths_of_new(self, heads: bytes) -> dict[int, int]:
        """By member that says something new: how long it is."""
        tags = self._tags(heads)
        lengths = tags[1::2]
        return {member: lengths[member] for member, new in enumerate(tags[::2]) if new}


def disagreement(
    heads: bytes, ranks: Sequence[int], places: Sequence[str]
) -> CollectiveMismatchError:
    """The error that lists which ranks are in which collective. Members that read the same heads
    raise the same. `places` is what each member calls its kind and site, as far as that is
    known."""
    sides: dict[tuple[SlotPlace, str], list[int]] = {}
    stand, missing = [], []
    group = 0
    for member, rank in enumerate(ranks):
        if not any(heads[member * HEAD_BYTES : (member + 1) * HEAD_BYTES]):
            missing.append(rank)
            stand.append(Place(rank, "", "", 0))
            continue
        at = SlotPlace.read(heads, member)
        group = at.group
        sides.setdefault((at, places[member] or "another collective"), []).append(rank)
        kind, _, site = places[member].partition(" at ")
        stand.append(Place(rank, kind, site, at.iteration))
    told = [f"{_ranks(found)}: {place} ({at.describe()})" for (at, place), found in sides.items()]
    told += [f"{_ranks(missing)}: not there yet"] if missing else []
    return CollectiveMismatchError(
        "ranks of one group are in different collectives:\n  " + "\n  ".join(told), stand, group
    )


def _ranks(found: Sequence[int]) -> str:
    return f"{'rank' if len(found) == 1 else 'ranks'} {', '.join(map(str, found))}"


class PayloadCodec:
    """MessagePack of a known type for each kind of collective; nothing is ever unpickled.

    None and the empty tuple, which most payloads are, are encoded as no bytes at all.
    """

    def __init__(self, types: Mapping[str, object]) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: dict[str, Callable[[Any], Any]] = {
            kind: msgspec.msgpack.Decoder(kind_type).decode for kind, kind_type in types.items()
        }
        self._nothing: dict[str, Any] = {
            kind: () if get_origin(kind_type) is tuple else None
            for kind, kind_type in types.items()
        }

    def encode(self, kind: str, payload: Any) -> bytes:
        """The payload's bytes.

        Raises:
            AdpkvError: it is larger than MAX_PAYLOAD_BYTES.
        """
        if payload is None or payload == ():
            return b""
        found = self._encode(payload)
        if len(found) > MAX_PAYLOAD_BYTES:
            raise AdpkvError(
                f"{kind}: a payload of {len(found)} bytes, at most {MAX_PAYLOAD_BYTES} can travel"
            )
        return found

    def decode(self, kind: str, found: bytes) -> Any:
        """The decoded payload; no bytes are the empty tuple where the kind's type is a tuple, else
        None."""
        return self._decode[kind](found) if found else self._nothing[kind]
