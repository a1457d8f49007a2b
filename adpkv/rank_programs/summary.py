"""What a check says at its end, in lines: how many schedules, what was walked, who died where."""

from __future__ import annotations

from adpkv.output.tables import Table, wrapped
from adpkv.rank_programs.checking import Checked
from adpkv.rank_programs.classify import short
from adpkv.rank_programs.killed import KilledRanks
from adpkv.rank_programs.walking import Walked

__all__ = ["summary"]

MOST_SPOTS = 20


def summary(found: Checked, ranks: int, columns: int | None) -> list[str]:
    """The lines, as wide as the window; None where there is none."""
    number = _count(found.schedules, "schedule")
    end = "no failure" if found.report is None else "the last one failed"
    what = f"{number} of {ranks} ranks in {found.seconds:.1f} s, {found.operations:,} operations"
    lines = wrapped(f"adpkv: {what} in the first: {end}", columns)
    if found.walked is not None:
        lines += wrapped(_walked(found.walked, failed=found.report is not None), columns)
    if found.killed.schedules:
        lines += _killed(found.killed, columns)
    return lines


def _walked(walked: Walked, *, failed: bool) -> str:
    told = (
        "all interleavings were walked" if walked.complete else "not all interleavings were walked"
    )
    if not walked.complete and not failed:
        told += ": there was no time, or too few schedules"
    return (
        f"{told}; {_count(walked.paths, 'path')}, {_count(walked.states, 'state')},"
        f" {_count(walked.cut_off, 'schedule')} cut off at known states,"
        f" {_count(walked.independent, 'order')} without difference,"
        f" {_count(walked.ends, 'different end')}"
    )


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def _killed(killed: KilledRanks, columns: int | None) -> list[str]:
    longest = f"; all had ended {killed.longest_s:.3g} s later at the latest"
    told = f"a rank died in {_count(killed.schedules, 'schedule')}"
    lines = wrapped(told + (longest if killed.longest_s >= 0.001 else ""), columns)
    head = ["killed at", "place", "handled", "ended with the error", "aborted", "failed"]
    rows = []
    spots = killed.rows()
    for spot in spots[:MOST_SPOTS]:
        place = f"{short(spot.file)}:{spot.line}"
        counts = [spot.handled, spot.ended, spot.aborted, spot.failed]
        rows.append([spot.operation, place, *(f"{n:,}" if n else "" for n in counts)])
    lines += Table(head, rows, (2, 3, 4, 5), indent="  ").text(columns)
    if len(spots) > MOST_SPOTS:
        lines.append(f"  and {len(spots) - MOST_SPOTS} more in --json")
    return lines
