"""The fixed-width slot that each rank brings to each small collective: a pure codec, no MPI.

One slot is 256 bytes: a header that says where the rank stands, then the payload if it fits. All
collectives of a group have this one width and one communicator, so that ranks which stand in
different ones *see* each other, instead of hanging or unpacking somebody else's payload (contract
5.8; TensorRT-LLM #14560, #16253).

The payload is MessagePack of a known type per kind. What does not fit is announced by its length,
which makes the second round agreed without another message: every rank reads the same lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_origin
from zlib import crc32

import msgspec

from adpkv.errors import AdpkvError, CollectiveMismatchError, Place

__all__ = [
    "HEADER_BYTES",
    "INLINE_BYTES",
    "MAX_PAYLOAD_BYTES",
    "PLACE_BYTES",
    "SLOT_BYTES",
    "Header",
    "PayloadCodec",
    "SlotWriter",
    "disagreement",
    "inline_payload",
    "long_lengths",
    "read_bodies",
    "says_again",
]

_PLACE = struct.Struct("<iIQQIII")
"""group, epoch, sequence, iteration, kind, site, plan digest: what all members must agree on."""

_MOVES, _MOVES_AT = struct.Struct("<QQIII"), 8
"""The place without group and epoch, which never change."""

_HEADER = struct.Struct(_PLACE.format + "B")
"""The place, then the payload's length, or LONG."""

_LENGTH = struct.Struct("<I")
"""The length of a long payload, in the place of the payload."""

PLACE_BYTES: Final = _PLACE.size
HEADER_BYTES: Final = _HEADER.size
SLOT_BYTES: Final = 256
INLINE_BYTES: Final = SLOT_BYTES - HEADER_BYTES
LONG: Final = 255
MAX_PAYLOAD_BYTES: Final = 16 << 20
"""What one rank may say in one collective: some 3 million block hashes."""

_SLOT = struct.Struct(f"{PLACE_BYTES}s{SLOT_BYTES - PLACE_BYTES}s")
"""A slot as its place and its body."""


class Header(msgspec.Struct, frozen=True):
    """Where a rank stands, as its slot says."""

    group: int
    epoch: int
    sequence: int
    iteration: int
    kind: int
    site: int
    digest: int

    @classmethod
    def read(cls, slots: bytes | bytearray, member: int) -> Header:
        """The header of one member's slot."""
        return cls(*_PLACE.unpack_from(slots, member * SLOT_BYTES))

    def told(self) -> str:
        """Where that is, without kind and site: those are numbers here."""
        return (
            f"group {self.group}, epoch {self.epoch}, iteration {self.iteration},"
            f" sequence {self.sequence}, plan {self.digest:08x}"
        )


class SlotWriter:
    """This rank's slot at one call site, written where the slots of all members land: `slots`, from
    `at` on. It is kept from one time to the next, so that only what changed is written. Texts
    travel as their CRC-32, the same in every process."""

    __slots__ = ("_inline", "_kind", "_moves_at", "_site", "at", "place", "slots")

    def __init__(
        self, group: int, epoch: int, kind: str, site: str, slots: bytearray, at: int = 0
    ) -> None:
        self._inline = 0
        self.slots, self.at = slots, at
        self.place = memoryview(slots)[at : at + PLACE_BYTES]
        self._moves_at = at + _MOVES_AT
        self._kind, self._site = crc32(kind.encode()), crc32(site.encode())
        _PLACE.pack_into(slots, at, group, epoch, 0, 0, self._kind, self._site, 0)

    def stand(self, sequence: int, iteration: int, digest: int, site: str = "") -> None:
        """Say where this rank stands now; `site` goes on where the site's name ends."""
        whole = crc32(site.encode(), self._site) if site else self._site
        _MOVES.pack_into(self.slots, self._moves_at, sequence, iteration, self._kind, whole, digest)

    def carry(self, payload: bytes) -> None:
        """Bring a payload from now on, or say how long it is if it is too long for the slot."""
        size = len(payload)
        self.slots[self.at + PLACE_BYTES] = size if size <= INLINE_BYTES else LONG
        if size > INLINE_BYTES:
            payload = _LENGTH.pack(size)
            size = len(payload)
        # The rest of a longer former payload is wiped: who says the same has the same slot.
        width = max(size, self._inline)
        first = self.at + HEADER_BYTES
        self.slots[first : first + width] = payload.ljust(width, b"\0")
        self._inline = size


def says_again(slots: bytearray, at: int, said: Sequence[bytes]) -> bool:
    """Do all members stand where this rank's own slot at `at` does, with the same bodies as last
    time? One comparison: in a quiet group the answer is mostly yes, and nothing has to be taken
    apart. `said` is no bytes, then the bodies: so that the place, joining them, is before each."""
    return slots == slots[at : at + PLACE_BYTES].join(said)


def read_bodies(slots: bytearray, at: int) -> list[bytes] | None:
    """The bodies of all members in order, or None if one stands elsewhere than the own slot."""
    place = slots[at : at + PLACE_BYTES]
    found = [body for stands, body in _SLOT.iter_unpack(slots) if stands == place]
    return found if len(found) * SLOT_BYTES == len(slots) else None


def long_lengths(bodies: Sequence[bytes]) -> list[int] | None:
    """How long the payloads are that come in the second round, 0 for a member that has none
    there; None if no member has."""
    if LONG not in [body[0] for body in bodies]:
        return None
    return [_LENGTH.unpack_from(body, 1)[0] if body[0] == LONG else 0 for body in bodies]


def inline_payload(body: bytes) -> bytes:
    """The payload of a body that holds it."""
    return body[1 : 1 + body[0]]


def disagreement(
    slots: bytes | bytearray, ranks: Sequence[int], places: Sequence[str]
) -> CollectiveMismatchError:
    """The error that names all sides: every member says the same, as all read the same slots.

    `places` is what each member calls its kind and site.
    """
    sides: dict[tuple[Header, str], list[int]] = {}
    stand = []
    for member, rank in enumerate(ranks):
        header = Header.read(slots, member)
        sides.setdefault((header, places[member]), []).append(rank)
        kind, _, site = places[member].partition(" at ")
        stand.append(Place(rank, kind, site, header.iteration))
    told = [
        f"{'rank' if len(found) == 1 else 'ranks'} {', '.join(map(str, found))}:"
        f" {place} ({header.told()})"
        for (header, place), found in sides.items()
    ]
    return CollectiveMismatchError(
        "ranks of one group stand in different collectives:\n  " + "\n  ".join(told),
        stand,
        Header.read(slots, 0).group,
    )


class PayloadCodec:
    """MessagePack of a known type for each kind of collective; nothing is ever unpickled.

    None and the empty tuple, which is most of what ranks say, travel as no bytes at all.
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
            AdpkvError: it is larger than a payload may be.
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
        """The payload back; no bytes are the empty tuple where tuples travel, else None."""
        return self._decode[kind](found) if found else self._nothing[kind]
