"""One process's mapping of the memory that its group shares on its host (`slot_layout`).

The file stays in the job's directory as long as the job: the deadlock report and `adpkv inspect`
read it there, also when all its ranks were killed. The directory goes with its last rank, or by
those who remove what killed jobs have left (`job_directory`).
"""

from __future__ import annotations

import mmap
import os
import platform
from pathlib import Path
from typing import Final

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import SHARED
from adpkv.flight_recorder.slot_layout import Layout

__all__ = ["Segment", "obstacle"]

ORDERED: Final = ("x86_64", "AMD64")
"""The processors that keep stores in order, as Python calls them."""


class Segment:
    """The mapping. `words` is the same memory; each is stored and loaded as a whole."""

    def __init__(self, layout: Layout, descriptor: int) -> None:
        self.layout = layout
        # All pages now: no page fault during the run.
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        self.memory = mmap.mmap(descriptor, layout.total_bytes, flags)
        self.words = memoryview(self.memory).cast("Q")

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
            header = layout.header(token)
            found.memory[: len(header)] = header
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


def obstacle(folder: Path) -> str:
    """Why this process cannot use shared memory in `folder`; empty if it can."""
    machine = platform.machine()
    if machine not in ORDERED:
        return f"a {machine} processor: shared memory takes one that keeps stores in order"
    if not folder.is_relative_to(SHARED):
        return f"{folder} is not in {SHARED}"
    return ""
