"""Reads what the members of a group have contributed to their collectives, from any process, while
they run, hang or have ended.

A member's last slot says in which collective it is, and the digest of its plan: what the others
have of it, whatever its process does now. The slots of members of other hosts are here too, as of
the last collective that was complete.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from adpkv.executor.collectives import WORLD
from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.job_directory import slot_paths
from adpkv.flight_recorder.reader import Record, Snapshot
from adpkv.flight_recorder.slot_layout import ROUND, Layout, SlotPlace

__all__ = ["LastSlot", "SlotTexts", "is_untold", "last_slots", "of_other_hosts"]

MOST_TRIES: Final = 100
"""Attempts to read a head whole. Its member writes it in less than a microsecond."""


class LastSlot(NamedTuple):
    """The last slot of one member of one group. `here`: the member is on this host."""

    rank: int
    here: bool
    place: SlotPlace


def is_untold(current: Record, slot: SlotPlace | None) -> bool:
    """Has a rank come to a collective, as its ring says, and has not contributed to it yet? False
    where its slots are not in shared memory. `slot` is its last one in this group, read after the
    ring."""
    if current.end_ns or not current.ready_ns or current.what not in (What.COLLECTIVE, What.STEP):
        return False
    return slot is not None and slot.sequence < current.sequence


def last_slots(folder: Path) -> list[LastSlot]:
    """All that can be read in a job's directory, of each group the newest epoch. Members that have
    not contributed anything yet are left out."""
    newest: dict[int, tuple[Layout, mmap.mmap]] = {}
    for path in slot_paths(folder):
        with suppress(OSError, ValueError):  # it may vanish at any moment
            found = _opened(path)
            if found is not None:
                layout = found[0]
                if layout.group not in newest or layout.epoch > newest[layout.group][0].epoch:
                    newest[layout.group] = found
    return [slot for _, found in sorted(newest.items()) for slot in _slots(*found)]


def of_other_hosts(slots: Iterable[LastSlot]) -> dict[int, SlotPlace]:
    """By rank: what ranks of other hosts have contributed last. Of the group of the whole job, if
    they have contributed to it: it is used at the end only."""
    found: dict[int, SlotPlace] = {}
    for slot in slots:
        if not slot.here and (slot.rank not in found or slot.place.group == WORLD):
            found[slot.rank] = slot.place
    return dict(sorted(found.items()))


def _opened(path: Path) -> tuple[Layout, mmap.mmap] | None:
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    layout = Layout.read(mapped[:])
    return (layout, mapped) if layout and len(mapped) == layout.total_bytes else None


def _slots(layout: Layout, mapped: mmap.mmap) -> Iterable[LastSlot]:
    words = memoryview(mapped).cast("Q")
    for member, rank in enumerate(layout.ranks):
        here = member in layout.here
        # Heads from other hosts are received in no order of their bytes; their line tells.
        told = [layout.round(n, member) for n in (0, 1)] if here else [layout.across + ROUND]
        for _ in range(MOST_TRIES):
            number = max(words[at] for at in told)
            head = mapped[layout.head(number, member)]
            if number and number == max(words[at] for at in told):
                yield LastSlot(rank, here, SlotPlace.read(head))
                break


class SlotTexts:
    """The texts of kinds and sites, which slots have as CRC-32 only, from the rings of a host."""

    def __init__(self, seen: Sequence[Snapshot]) -> None:
        self._names = {crc32(name.encode()): name for one in seen for name in one.names}
        self._sites = {
            (record.group, record.sequence, record.kind): record.site
            for one in seen
            for record in (*one.records, one.current)
            if record is not None
        }

    def of(self, place: SlotPlace) -> tuple[str, str]:
        """Kind and site; empty where no ring has the text. Where the CRC is of a site with more, as
        a step's batch, it is the site of those who were in the same collective."""
        kind = self._names.get(place.kind, "")
        elsewhere = self._sites.get((place.group, place.sequence, kind), "")
        return kind, self._names.get(place.site, elsewhere)
