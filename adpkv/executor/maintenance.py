"""When instances are taken out of service on purpose and put in again, and what came of it.

Each time is an *entry*, known by its number in `topology.maintenance`. Times of one instance that
overlap or meet are one time that lasts as long as any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from adpkv.core.ids import NEVER
from adpkv.core.topology import Topology
from adpkv.heaps import heapify, heappop

__all__ = ["TOO_LATE", "Maintenance", "MaintenanceTimes"]

TOO_LATE: Final = "the run was over before its time came"
ENDS, STARTS = 0, 1
"""At one instant one is put in before another is taken out: it may be what has to serve."""
NS_PER_S: Final = 1e9


class Maintenance(NamedTuple):
    """An instance is taken out at `from_ns` and put in again at `until_ns` (`NEVER`: not)."""

    instance: int
    from_ns: int
    until_ns: int = NEVER


class _Change(NamedTuple):
    """One thing that is due; an end belongs to no single entry."""

    due_ns: int
    change: int
    instance: int
    entry: int = -1


class MaintenanceTimes:
    """The times that are still to come, and the entries that were missed."""

    def __init__(self, entries: Sequence[Maintenance]) -> None:
        self._entries = entries
        starts = [_Change(e.from_ns, STARTS, e.instance, n) for n, e in enumerate(entries)]
        self._changes = [*_ends(entries), *starts]
        heapify(self._changes)
        self._missed: dict[int, str] = {}

    def next_ns(self) -> int:
        """When the next one begins or ends; `NEVER` if none does."""
        return self._changes[0].due_ns if self._changes else NEVER

    def take(self, now_ns: int) -> tuple[int, int | None] | None:
        """(instance, the entry that begins, or None if its time is over) that is due first; None if
        nothing is due."""
        if self.next_ns() > now_ns:
            return None
        due = heappop(self._changes)
        return due.instance, due.entry if due.change == STARTS else None

    def miss(self, entry: int, why: str) -> None:
        """The instance stays in service at this time."""
        self._missed[entry] = why

    def missed(self, topology: Topology) -> list[dict[str, object]]:
        """The entries that took no instance out, as `summary.json` has them at the end of a run."""
        late = {one.entry: TOO_LATE for one in self._changes if one.change == STARTS}
        return [
            {
                "entry": number,
                "instance": topology.instances[self._entries[number].instance].name,
                "after_s": self._entries[number].from_ns / NS_PER_S,
                "why": why,
            }
            for number, why in sorted({**self._missed, **late}.items())
        ]


def _ends(entries: Sequence[Maintenance]) -> list[_Change]:
    """When instances are put in again: times of one instance that overlap or meet end together."""
    found: list[_Change] = []
    for index, from_ns, until_ns in sorted(entries):
        if found and found[-1].instance == index and from_ns <= found[-1].due_ns:
            found[-1] = _Change(max(found[-1].due_ns, until_ns), ENDS, index)
        else:
            found.append(_Change(until_ns, ENDS, index))
    return found
