"""The file format of a flight recorder, for its writer and its readers.

::

    header     magic, sizes, which process wrote it             written once
    words      positions, counts, start of the run's clock      8 bytes each, each written whole
    names      texts of kinds and sites, 64 bytes each; records hold their numbers
    records    the ring, 64 bytes each

Everything is in the machine's native byte order: a ring is read on the machine that wrote it, or on
one like it. A record ends with its number: `struct` clears the record, then stores field by field,
so the number is there when all else is. And its place in the ring is claimed before it is written,
so a reader can tell that a record was half overwritten (`reader`). The record of a collective is
written as the rank comes to it, and is open as long as its end is 0.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

__all__ = [
    "BYTES",
    "CLOCK",
    "CURRENT",
    "EMPTY_POLLS",
    "END",
    "HEADER",
    "ITERATION",
    "KIND_BITS",
    "MAGIC",
    "MOST_NAMES",
    "NAMES",
    "NAMES_AT",
    "NAME_BYTES",
    "NOTED",
    "OPENED",
    "READY",
    "RECORD",
    "RECORDS_AT",
    "RECORD_BYTES",
    "TEXT_BYTES",
    "VERSION",
    "WALL",
    "WORD_BYTES",
    "What",
    "file_bytes",
]

MAGIC: Final = b"ADPKVRNG"
VERSION: Final = 3
TEXT_BYTES: Final = 64

HEADER: Final = struct.Struct(f"@8s8Iq{TEXT_BYTES}s{TEXT_BYTES}s")
"""magic, version, pid, rank, size, records, bytes of a record, names, bytes of a name, start time
of the process (in the kernel's ticks: a process id alone may be reused), host, experiment."""

RECORD: Final = struct.Struct("@qqqqqqiHHQ")
"""begin_ns, ready_ns, end_ns, sequence, iteration, bytes, group, kind with what, site, number.
`What` it is of stands above the `KIND_BITS` of the kind.

| what | group | sequence | bytes |
|---|---|---|---|
| a collective | its group | its number among the group's collectives | this rank's payload |
| post, expect | the peer's rank | the request | of the transfer |
| poll | -1 | how many transfers ended | that they moved |

`ready_ns` is when this rank had done its own part of a step and only waited for the others; 0 until
then. In other records it is 0, and means `begin_ns`. Times are the machine's monotonic clock, which
all processes of a host share.
"""

OPENED: Final = struct.Struct("@q16xqq8xiIQ")
"""What is written of a collective as a rank comes to it: begin_ns, sequence, iteration, group,
kind and site in one number, number. All else is 0 then."""

RECORD_BYTES: Final = RECORD.size
KIND_BITS: Final = 12

WORD_BYTES: Final = 8
CURRENT, NOTED, EMPTY_POLLS, NAMES, CLOCK, WALL = 32, 33, 34, 35, 36, 37
"""Word numbers: the number of the collective that this rank came to last, and of the last record of
something else, 0 for none; polls that found nothing; names so far; the monotonic clock and the
calendar clock (both in nanoseconds) when the run's clock began."""

READY, END, ITERATION, BYTES = 1, 2, 4, 5
"""Which words of a record are `ready_ns`, `end_ns`, iteration and bytes."""

NAMES_AT: Final = 512
NAME_BYTES: Final = 64
MOST_NAMES: Final = 504
"""Name number 0 stands for no name, or for one that found no place here."""

RECORDS_AT: Final = NAMES_AT + MOST_NAMES * NAME_BYTES


class What(IntEnum):
    """The kind of a record."""

    NOTHING = 0
    COLLECTIVE = 1
    STEP = 2
    WAIT = 3
    PAUSE = 4
    POST = 5
    EXPECT = 6
    POLL = 7


def file_bytes(records: int) -> int:
    """The size of a file with this many records, in bytes."""
    return RECORDS_AT + records * RECORD_BYTES
