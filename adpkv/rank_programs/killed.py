"""What came of the ranks that died, over many schedules: where, and whether the others handled it.

A schedule in which a rank died and nothing failed ends in one of three ways: every survivor's
program returned; some ended with the error that their library gave them; or the library ended them
itself, as NCCL and MPI do.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adpkv.rank_programs.evidence import place_of
from adpkv.rank_programs.sites import operation_text, short
from adpkv.rank_programs.variables import line_of
from adpkv.rank_programs.world import World

__all__ = ["KilledRanks", "Spot", "killed_values"]


class Spot(msgspec.Struct):
    """One operation at one line of the program, at which ranks died."""

    operation: str
    file: str
    line: int
    handled: int = 0
    """In so many schedules all survivors returned."""
    ended: int = 0
    """Some ended with their library's error."""
    aborted: int = 0
    """Some were ended by their library."""
    failed: int = 0


class KilledRanks(msgspec.Struct):
    """Those of all schedules so far."""

    schedules: int = 0
    """In so many a rank died."""
    longest_s: float = 0.0
    """Virtual time from a kill until all ranks had ended."""
    spots: dict[tuple[str, str, int], Spot] = {}

    def add(self, world: World) -> None:
        """Count a schedule that is over."""
        if not world.killed:
            return
        self.schedules += 1
        first = world.killed[0]
        after_s = (world.clock_ns - first.clock_ns) / 1e9
        self.longest_s = max(self.longest_s, after_s)
        place = place_of(first.at)
        key = (operation_text(place, numbered=False), place.file, place.line)
        spot = self.spots.setdefault(key, Spot(*key))
        ends = {rank.ended for rank in world.ranks}
        if world.failure is not None:
            spot.failed += 1
        elif "aborted" in ends:
            spot.aborted += 1
        elif "raised" in ends:
            spot.ended += 1
        else:
            spot.handled += 1

    def rows(self) -> list[Spot]:
        """Each place, in the order of the program's lines."""
        return sorted(self.spots.values(), key=lambda spot: (spot.file, spot.line, spot.operation))


def killed_values(killed: KilledRanks) -> dict[str, Any]:
    """For programs."""
    rows = killed.rows()
    return {
        "schedules": killed.schedules,
        "handled": sum(spot.handled for spot in rows),
        "ended_with_the_error": sum(spot.ended for spot in rows),
        "aborted": sum(spot.aborted for spot in rows),
        "failed": sum(spot.failed for spot in rows),
        "longest_s": round(killed.longest_s, 6),
        "places": [
            {
                "operation": spot.operation,
                "file": short(spot.file),
                "line": spot.line,
                "source": line_of(spot.file, spot.line),
                "handled": spot.handled,
                "ended_with_the_error": spot.ended,
                "aborted": spot.aborted,
                "failed": spot.failed,
            }
            for spot in rows
        ],
    }
