"""A process's small objects in huge pages; only compiled.

The objects of a simulation lie all over some 60 MiB: in pages of 4 KiB, the processor often looks
for where a page is. The compiled build has `huge_pages.c` in place of this module, and on Linux it
takes the objects of a command's process from pages of 2 MiB, where the system has some, and with
fewer instructions than CPython. Plain Python has no other memory than ever.
"""

from __future__ import annotations

__all__ = ["use"]


def use() -> bool:
    """From now on, take this process's small objects from huge pages; whether the system lets us.
    It can be called again."""
    return False
