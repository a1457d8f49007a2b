"""The memory that the members of a group on one host share for their collectives: what is where.

::

    header      magic, sizes, group, epoch, token, ranks         written once
    broken      not 0: a rank has failed, so do not wait         a line
    across      the last round that came from the other hosts,
                and the last wait that ended there               a line
    published   by member of this host: its last round, and
                the last wait that it ended                      a line each
    told        by member of this host: where it is, as text,
                once it has seen a mismatch                      TOLD_BYTES each
    slots       two sets of the slots of all members             SLOT_BYTES each
    windows     two windows for payloads that do not fit         WINDOW_BYTES each

Round n uses set and window n % 2. A member writes its slot, then stores n in its line. Who has read
n in all lines may read all slots of round n. Nobody stores n + 2 before all have stored n + 1, and
a member stores n + 1 only after it has read round n: so two sets are enough. This takes a processor
that shows stores to others in their order, and does not move a store before an earlier load: x86-64
is such a one. A word of a line is stored and loaded as a whole.

Anyone may read along (`slot_reader`): as long as a member's line says n, its slot in the set of
round n is whole. In rounds of payloads it puts its last slot there.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "ACROSS",
    "BROKEN",
    "LINE_BYTES",
    "PLACE",
    "SLOT_BYTES",
    "TOKEN_BYTES",
    "TOLD_BYTES",
    "WINDOW_BYTES",
    "WOKEN",
    "WORD_BYTES",
    "Layout",
    "SlotPlace",
]

PLACE: Final = struct.Struct("<iIQQIII")
"""How a slot begins: `SlotPlace`."""

SLOT_BYTES: Final = 256

MAGIC: Final = b"ADPKVSEG"
VERSION: Final = 2
TOKEN_BYTES: Final = 16
HEADER: Final = struct.Struct(f"@8s3IiI{TOKEN_BYTES}s")
"""magic, version, members, members of this host, group, epoch, token. Behind it the world ranks of
all members, then which members are on this host, four bytes each."""

NUMBER_BYTES: Final = 4
WORD_BYTES: Final = 8
LINE_BYTES: Final = 128
"""Cache lines have 64 bytes, and processors fetch them in pairs."""

TOLD_BYTES: Final = LINE_BYTES
WINDOW_BYTES: Final = 256 << 10
"""Payloads that do not fit into slots go through a window, this much of them in each round."""

WOKEN: Final = 1
"""How many words behind a line's first one the number of a wait is."""

BROKEN: Final = 0
ACROSS: Final = LINE_BYTES // WORD_BYTES
PUBLISHED: Final = 2 * ACROSS
"""Word numbers, from the first line on."""


class SlotPlace(NamedTuple):
    """What all members must agree on in a collective; kind and site as CRC-32 of their texts, the
    site with what else must be equal there, as a step's batch."""

    group: int
    epoch: int
    sequence: int
    iteration: int
    kind: int
    site: int
    digest: int
    """Of the last agreed plan."""

    @classmethod
    def read(cls, slots: bytes | bytearray, member: int = 0) -> SlotPlace:
        """That of one member's slot."""
        return cls(*PLACE.unpack_from(slots, member * SLOT_BYTES))

    def describe(self) -> str:
        """For people, without kind and site: those are only hashes here."""
        return (
            f"group {self.group}, epoch {self.epoch}, iteration {self.iteration},"
            f" sequence {self.sequence}, plan {self.digest:08x}"
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """Whose memory it is, and where everything is in it. `ranks` are the world ranks of all
    members; `here` are the numbers of those on this host among them."""

    group: int
    epoch: int
    ranks: tuple[int, ...]
    here: tuple[int, ...]

    @property
    def first_line(self) -> int:
        """The offset of the first line, in bytes."""
        head = HEADER.size + NUMBER_BYTES * (len(self.ranks) + len(self.here))
        return -(-head // LINE_BYTES) * LINE_BYTES

    @property
    def first_told(self) -> int:
        """The offset of the first text: where the lines end."""
        return self.first_line + (2 + len(self.here)) * LINE_BYTES

    @property
    def first_slot(self) -> int:
        """The offset of the first set, in bytes."""
        return self.first_told + len(self.here) * TOLD_BYTES

    @property
    def set_bytes(self) -> int:
        """The size of one set."""
        return len(self.ranks) * SLOT_BYTES

    @property
    def first_window(self) -> int:
        """The offset of the first window."""
        return self.first_slot + 2 * self.set_bytes

    @property
    def total_bytes(self) -> int:
        """The size of all of it."""
        return self.first_window + 2 * WINDOW_BYTES

    def published(self, place: int) -> int:
        """The word with the last round of a member of this host; `place` counts these members."""
        return PUBLISHED + place * (LINE_BYTES // WORD_BYTES)

    def told(self, place: int) -> slice:
        """The text of a member of this host."""
        first = self.first_told + place * TOLD_BYTES
        return slice(first, first + TOLD_BYTES)

    def set(self, number: int) -> slice:
        """All slots of the set for a round."""
        first = self.first_slot + (number & 1) * self.set_bytes
        return slice(first, first + self.set_bytes)

    def slot(self, number: int, member: int) -> slice:
        """A member's slot in the set for a round."""
        first = self.set(number).start + member * SLOT_BYTES
        return slice(first, first + SLOT_BYTES)

    def window(self, number: int) -> int:
        """The offset of the window for a round."""
        return self.first_window + (number & 1) * WINDOW_BYTES

    def header(self, token: bytes) -> bytes:
        """What stands at the beginning."""
        head = HEADER.pack(
            MAGIC, VERSION, len(self.ranks), len(self.here), self.group, self.epoch, token
        )
        return head + array("I", [*self.ranks, *self.here]).tobytes()

    @classmethod
    def read(cls, found: bytes) -> Layout | None:
        """The layout of memory that begins with these bytes; None if they are something else."""
        if len(found) < HEADER.size or not found.startswith(MAGIC):
            return None
        _, version, members, here, group, epoch, _ = HEADER.unpack_from(found)
        numbers = array("I", found[HEADER.size :][: NUMBER_BYTES * (members + here)])
        if version != VERSION or len(numbers) != members + here or not here:
            return None
        layout = cls(group, epoch, tuple(numbers[:members]), tuple(numbers[members:]))
        return layout if all(member < members for member in layout.here) else None
