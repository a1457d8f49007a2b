"""The fixed-width slot that each rank contributes to each small collective: a pure codec, no MPI.

A slot is 256 bytes: a header that says in which collective the rank is, then the payload if it
fits. All collectives of a group use this one width and one communicator. So ranks that are in
different collectives *see* it, and do not hang or decode another collective's payload (contract
5.8; TensorRT-LLM #14560, #16253).

The payload is MessagePack of a known type per kind. If it does not fit, the slot has its length
instead, and the payload follows in a second round. No extra message is needed to agree on that
round: every rank reads the same lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_origin
from zlib import crc32

import msgspec

from adpkv.errors import AdpkvError, CollectiveMismatchError, Place
from adpkv.flight_recorder.slot_layout import PLACE, SLOT_BYTES, SlotPlace

__all__ = [
    "HEADER_BYTES",
    "INLINE_BYTES",
    "MAX_PAYLOAD_BYTES",
    "PLACE_BYTES",
    "PayloadCodec",
    "SlotWriter",
    "disagreement",
    "inline_payload",
    "is_unchanged",
    "long_lengths",
    "read_bodies",
]

_MOVES, _MOVES_AT = struct.Struct("<QQIII"), 8
"""The place without group and epoch, which never change for a communicator."""

_HEADER = struct.Struct(PLACE.format + "B")
"""The place, then the payload's length or LONG."""

_LENGTH = struct.Struct("<I")
"""The length of a long payload, which the slot holds instead of the payload."""

PLACE_BYTES: Final = PLACE.size
HEADER_BYTES: Final = _HEADER.size
INLINE_BYTES: Final = SLOT_BYTES - HEADER_BYTES
LONG: Final = 255
MAX_PAYLOAD_BYTES: Final = 16 << 20
"""The most that one rank may contribute to one collective: some 3 million block hashes."""

_SLOT = struct.Struct(f"{PLACE_BYTES}s{SLOT_BYTES - PLACE_BYTES}s")
"""A slot as its place and its body."""


class SlotWriter:
    """This rank's slot at one call site. It is reused for each collective of the site, and only
    what changed is written. Kind and site travel as CRC-32, which is the same in every process."""

    __slots__ = ("_inline", "_kind", "_site", "place", "slot")

    def __init__(self, group: int, epoch: int, kind: str, site: str) -> None:
        self._inline = 0
        self.slot = bytearray(SLOT_BYTES)
        self.place = memoryview(self.slot)[:PLACE_BYTES]
        self._kind, self._site = crc32(kind.encode()), crc32(site.encode())
        PLACE.pack_into(self.slot, 0, group, epoch, 0, 0, self._kind, self._site, 0)

    def set_place(self, sequence: int, iteration: int, digest: int, site: str = "") -> None:
        """Set the collective in which this rank is now. `site` extends the name of the call
        site."""
        whole = crc32(site.encode(), self._site) if site else self._site
        _MOVES.pack_into(self.slot, _MOVES_AT, sequence, iteration, self._kind, whole, digest)

    def set_payload(self, payload: bytes) -> None:
        """Set the payload from now on; or only its length, if it does not fit."""
        size = len(payload)
        self.slot[PLACE_BYTES] = size if size <= INLINE_BYTES else LONG
        if size > INLINE_BYTES:
            payload = _LENGTH.pack(size)
            size = len(payload)
        # Zero the rest of a longer former payload: equal payloads must give equal slots.
        width = max(size, self._inline)
        self.slot[HEADER_BYTES : HEADER_BYTES + width] = payload.ljust(width, b"\0")
        self._inline = size


def is_unchanged(slots: bytes, own: bytearray, last_bodies: Sequence[bytes]) -> bool:
    """Are all members in the same collective as this rank's `own` slot, with the same bodies as
    last time? In a quiet group they mostly are, and this one comparison spares decoding.
    `last_bodies` is an empty text, then the bodies of last time, so that joining them with the
    place as separator gives all slots."""
    return slots == own[:PLACE_BYTES].join(last_bodies)


def read_bodies(slots: bytes, own: bytearray) -> list[bytes] | None:
    """The bodies of all members in order; None if one is in another collective than this rank's
    `own` slot says."""
    place = own[:PLACE_BYTES]
    found = [body for stands, body in _SLOT.iter_unpack(slots) if stands == place]
    return found if len(found) * SLOT_BYTES == len(slots) else None


def long_lengths(bodies: Sequence[bytes]) -> list[int] | None:
    """The lengths of the payloads in the second round, 0 for a member that has none there; None if
    there is no second round."""
    if LONG not in [body[0] for body in bodies]:
        return None
    return [_LENGTH.unpack_from(body, 1)[0] if body[0] == LONG else 0 for body in bodies]


def inline_payload(body: bytes) -> bytes:
    """The payload of a body that contains it."""
    return body[1 : 1 + body[0]]


def disagreement(
    slots: bytes | bytearray, ranks: Sequence[int], places: Sequence[str]
) -> CollectiveMismatchError:
    """The error that lists which ranks are in which collective. Members that read the same slots
    raise the same. `places` is what each member calls its kind and site, as far as that is
    known."""
    sides: dict[tuple[SlotPlace, str], list[int]] = {}
    stand, missing = [], []
    group = 0
    for member, rank in enumerate(ranks):
        if not any(slots[member * SLOT_BYTES : (member + 1) * SLOT_BYTES]):
            missing.append(rank)
            stand.append(Place(rank, "", "", 0))
            continue
        at = SlotPlace.read(slots, member)
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
