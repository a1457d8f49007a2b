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
    "BODY_BYTES",
    "INLINE_BYTES",
    "MAX_PAYLOAD_BYTES",
    "PLACE_BYTES",
    "PayloadCodec",
    "code",
    "disagreement",
    "inline_payload",
    "long_lengths",
    "read_bodies",
    "slot_body",
]

_LENGTH = struct.Struct("<I")
"""The length of a long payload, which the slot holds instead of the payload."""

PLACE_BYTES: Final = PLACE.size
BODY_BYTES: Final = SLOT_BYTES - PLACE_BYTES
INLINE_BYTES: Final = BODY_BYTES - 1
"""A body begins with the length of its payload, or with LONG."""

LONG: Final = 255
MAX_PAYLOAD_BYTES: Final = 16 << 20
"""The most that one rank may contribute to one collective: some 3 million block hashes."""


def code(text: str) -> int:
    """A kind or a site as it is in a slot: a CRC-32, which is the same in every process."""
    return crc32(text.encode())


def slot_body(payload: bytes) -> bytes:
    """What follows the place in a slot: the payload, or its length if it does not fit. Equal
    payloads have equal bodies."""
    size = len(payload)
    body = bytes([size]) + payload if size <= INLINE_BYTES else bytes([LONG]) + _LENGTH.pack(size)
    return body.ljust(BODY_BYTES, b"\0")


def read_bodies(slots: bytes, place: bytes) -> list[bytes] | None:
    """The bodies of all members in order; None if one is in another collective than `place`
    says."""
    found = [slots[at - BODY_BYTES : at] for at in range(SLOT_BYTES, len(slots) + 1, SLOT_BYTES)]
    return found if place.join([b"", *found]) == slots else None


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
