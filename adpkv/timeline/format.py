"""The format of a file of timeline records, for its writer and its reader.

::

    header     magic, version, how many records found no room             64 bytes
    records    one behind the other: length of the rest (4 bytes), what, the rest
    nothing    zeros up to the end of the file, where the writer was killed

Everything is little-endian. The length of a record is written last. So a reader that comes to
zeros, or to a length that leads beyond the end, has come to the end of what was written. Times are
nanoseconds since the run began. An end of `OPEN` means that the thing had not ended when its writer
ended.

A real rank writes a `JOINED` for each collective that it comes to. The virtual world writes a
`STRETCH` for each stretch of a whole group, as it makes many iterations at once.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

__all__ = [
    "DROPPED_AT",
    "HEADER_BYTES",
    "JOINED",
    "JOINED_ENDS",
    "JOINED_ENDS_AT",
    "LENGTH",
    "MAGIC",
    "MEMBER",
    "MESSAGE",
    "NAME",
    "OPEN",
    "PAUSED",
    "PAUSED_END",
    "PAUSED_END_AT",
    "STRETCH",
    "STRETCH_ENDS",
    "STRETCH_ENDS_AT",
    "VERSION",
    "What",
]

MAGIC: Final = b"ADPKVTML"
VERSION: Final = 1
HEADER_BYTES: Final = 64
DROPPED_AT: Final = 16
"""Where the header counts the records that were dropped, in 8 bytes."""

LENGTH: Final = struct.Struct("<I")

OPEN: Final = -1


class What(IntEnum):
    """The kind of a record."""

    NAME = 1
    JOINED = 2
    STRETCH = 3
    PAUSED = 4
    MESSAGE = 5


NAME: Final = struct.Struct("<BH")
"""what, number; then the text in UTF-8. Other records name things by such a number."""

JOINED: Final = struct.Struct("<BhiIIHIqqqIQIQ")
"""what, group, rank, sequence, iteration, name (`KIND SITE`), bytes of the payload, begin_ns,
ready_ns, end_ns; of a step also the batch: prompt tokens, pairs, sequences, KV tokens.

From `ready_ns` on, the rank did nothing but wait for the others and exchange."""

JOINED_ENDS: Final = struct.Struct("<qq")
JOINED_ENDS_AT: Final = struct.calcsize("<BhiIIHIq")
"""Where a record has `ready_ns` and `end_ns`."""

STRETCH: Final = struct.Struct("<BhIHHqqQqIqI")
"""what, group, iteration, name (the collectives of an iteration, `KIND SITE` each, joined by
commas), how many of them cost time, nanoseconds of each, nanoseconds besides, ticks per nanosecond,
begin_ns, members; end_ns, steps made (0 of waits). Then a `MEMBER` for each."""

STRETCH_ENDS: Final = struct.Struct("<qI")
STRETCH_ENDS_AT: Final = struct.calcsize("<BhIHHqqQqI")

MEMBER: Final = struct.Struct("<5q")
"""rank, base and slope of its steps in ticks, prompt tokens, sequences."""

PAUSED: Final = struct.Struct("<BhiHqq")
"""what, group, rank, name, begin_ns, end_ns: a rank does something alone."""

PAUSED_END: Final = struct.Struct("<q")
PAUSED_END_AT: Final = struct.calcsize("<BhiHq")

MESSAGE: Final = struct.Struct("<BBiiHqq")
"""what, 1 where it was sent and 0 where it was read, owner, to (-2 where it was read), name, its
request, at_ns."""
