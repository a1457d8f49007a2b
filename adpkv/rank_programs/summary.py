"""What a check says at its end, in lines: how many schedules, what was walked, who died where."""

from __future__ import annotations

from adpkv.counting import counted
from adpkv.output.tables import Table, wrapped
from adpkv.rank_programs.checking import Checked
from adpkv.rank_programs.killed import KilledRanks
from adpkv.rank_programs.sites import short
from adpkv.rank_programs.walking import Walked

__all__ = ["CUT_SHORT", "summary"]

MOST_SPOTS = 20
CUT_SHORT = "not all interleavings were walked: there was no time, or too few schedules"


def summary(found: Checked, ranks: int, columns: int | None) -> list[str]:
    """The lines, as wide as the window; None where there is none."""
    end = "no failure" if found.report is None else "the last one failed"
    what = (
        f"{counted(found.schedules, 'schedule')} of {counted(ranks, 'rank')} in"
        f" {found.seconds:.1f} s, {counted(found.operations, 'operation')}"
    )
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
        told = CUT_SHORT
    return (
        f"{told}; {counted(walked.paths, 'path')}, {counted(walked.states, 'state')},"
        f" {counted(walked.cut_off, 'schedule')} cut off at known states,"
        f" {counted(walked.independent, 'order')} without difference,"
        f" {counted(walked.ends, 'different end')}"
    )


def _killed(killed: KilledRanks, columns: int | None) -> list[str]:
    seconds = killed.longest_s
    shown = f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.3g}"
    longest = f"; all had ended {shown} s later at the latest"
    told = f"a rank died in {counted(killed.schedules, 'schedule')}"
    lines = wrapped(told + (longest if seconds >= 0.001 else ""), columns)
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
