"""The memory that the members of a group on one host share: its layout, how it is made and opened.

::

    header      magic, sizes, group, epoch, token              written once, checked by who opens it
    broken      not 0: a rank has failed, so do not wait         a line of its own
    across      the last round that came from the other hosts    a line of its own
    published   by member of this host: its last round           a line each
    slots       two sets of the slots of all members             256 bytes each
    windows     two windows for payloads that do not fit         WINDOW_BYTES each

Round n uses set and window n % 2. A member writes its slot, then stores n in its line. Who has read
n in all lines may read all slots of round n. Nobody stores n + 2 before all have stored n + 1, and
a member stores n + 1 only after it has read round n: so two sets are enough. This takes a processor
that shows stores to others in their order, and does not move a store before an earlier load: x86-64
is such a one. A word of a line is stored and loaded as a whole.

The file has a name only until all members have opened it. After that nothing is left behind,
however the processes end; before it, the file is in the job's directory, which `sweep` removes.
"""

from __future__ import annotations

import mmap
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import SHARED
from adpkv.worlds.mpi.slots import SLOT_BYTES

__all__ = [
    "ACROSS",
    "BROKEN",
    "LINE_BYTES",
    "TOKEN_BYTES",
    "WINDOW_BYTES",
    "WORD_BYTES",
    "Layout",
    "Segment",
    "obstacle",
    "segment_path",
]

MAGIC: Final = b"ADPKVSEG"
VERSION: Final = 1
TOKEN_BYTES: Final = 16
HEADER: Final = struct.Struct(f"@8s3IiI{TOKEN_BYTES}s")
"""magic, version, members, members of this host, group, epoch, token."""

ORDERED: Final = ("x86_64", "AMD64")
"""The processors that keep stores in order, as Python calls them."""

WORD_BYTES: Final = 8
LINE_BYTES: Final = 128
"""Cache lines have 64 bytes, and processors fetch them in pairs."""

WINDOW_BYTES: Final = 256 << 10
"""Payloads that do not fit into slots go through a window, this much of them in each round."""

BROKEN: Final = LINE_BYTES // WORD_BYTES
ACROSS: Final = 2 * BROKEN
PUBLISHED: Final = 3 * BROKEN
"""Word numbers."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Whose segment it is, and where everything is in it. `members` are all of the group, `here`
    those of this host."""

    group: int
    epoch: int
    members: int
    here: int

    @property
    def first_slot(self) -> int:
        """The offset of the first set, in bytes."""
        return (3 + self.here) * LINE_BYTES

    @property
    def set_bytes(self) -> int:
        """The size of one set."""
        return self.members * SLOT_BYTES

    @property
    def first_window(self) -> int:
        """The offset of the first window."""
        return self.first_slot + 2 * self.set_bytes

    @property
    def total_bytes(self) -> int:
        """The size of the segment."""
        return self.first_window + 2 * WINDOW_BYTES

    def published(self, place: int) -> int:
        """The word with the last round of a member of this host; `place` counts these members."""
        return PUBLISHED + place * (LINE_BYTES // WORD_BYTES)

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
        return HEADER.pack(
            MAGIC, VERSION, self.members, self.here, self.group, self.epoch, token
        )  # fmt: skip


class Segment:
    """One process's mapping of it."""

    def __init__(self, layout: Layout, descriptor: int) -> None:
        self.layout = layout
        # All pages now: no page fault during the run.
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        self.memory = mmap.mmap(descriptor, layout.total_bytes, flags)
        self.words = memoryview(self.memory)[: layout.first_slot].cast("Q")

    @classmethod
    def create(cls, path: Path, layout: Layout, token: bytes) -> Segment:
        """Create the file, with all its memory reserved.

        Raises:
            OSError: there is no room for it, or it is there already.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Without room, a later write would raise SIGBUS in the middle of a run.
            os.posix_fallocate(descriptor, 0, layout.total_bytes)
            found = cls(layout, descriptor)
            found.memory[: HEADER.size] = layout.header(token)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        return found

    @classmethod
    def open(cls, path: Path, layout: Layout, token: bytes) -> Segment:
        """Open the file that another member has created.

        Raises:
            OSError: it cannot be opened.
            UsageError: it is not this one.
        """
        descriptor = os.open(path, os.O_RDWR)
        try:
            size = os.fstat(descriptor).st_size
            expected = layout.header(token)
            if size != layout.total_bytes or os.pread(descriptor, len(expected), 0) != expected:
                raise UsageError(f"{path}: not the shared memory of this group")
            return cls(layout, descriptor)
        finally:
            os.close(descriptor)


def segment_path(folder: Path, token: bytes) -> Path:
    """The file of a segment in the job's directory."""
    return folder / f"slots-{token.hex()}"


def obstacle(folder: Path) -> str:
    """Why this process cannot use shared memory in `folder`; empty if it can."""
    machine = platform.machine()
    if machine not in ORDERED:
        return f"a {machine} processor: shared memory takes one that keeps stores in order"
    if not folder.is_relative_to(SHARED):
        return f"{folder} is not in {SHARED}"
    return ""
