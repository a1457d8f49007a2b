"""What `adpkv timeline` prints."""

from __future__ import annotations

from adpkv.config.units import parse_duration
from adpkv.core.ids import LAST_NS
from adpkv.counting import counted
from adpkv.errors import UsageError
from adpkv.output.tables import wrapped
from adpkv.timeline.writing import Window, Written

__all__ = ["as_values", "lines", "window"]


def window(since: str, until: str | None) -> Window:
    """The window between two times as a person writes them.

    Raises:
        UsageError: one is no duration, or the end is before the beginning.
    """
    found = []
    for option, text in (("--from", since), ("--to", until)):
        try:
            found.append(LAST_NS if text is None else parse_duration(text))
        except ValueError as error:
            raise UsageError(f"{option} {text}: {error}") from error
    if found[1] < found[0]:
        raise UsageError(f"--to {until} is before --from {since}")
    return Window(*found)


def lines(written: Written, width: int | None) -> list[str]:
    """What was written and how to look at it."""
    said = (
        f"{counted(written.slices, 'slice')} of {counted(written.ranks, 'rank')},"
        f" {counted(written.requests, 'request')} and"
        f" {counted(written.transfers, 'completed transfer')}, {written.nbytes / 1e6:.1f} MB"
    )
    how = (
        "open it at https://ui.perfetto.dev: the page comes from there, the trace is read in your"
        " browser and stays on this machine (unless you press Share)"
    )
    notes = [line for note in written.notes for line in wrapped(f"note: {note}", width, hang="  ")]
    return [
        f"timeline: {written.path}",
        *wrapped(said, width, hang="  "),
        *notes,
        *wrapped(how, width, hang="  "),
    ]


def as_values(written: Written) -> dict[str, object]:
    """The same for programs."""
    return {
        "path": str(written.path),
        "bytes": written.nbytes,
        "slices": written.slices,
        "ranks": written.ranks,
        "requests": written.requests,
        "transfers": written.transfers,
        "steps": {str(group): count for group, count in sorted(written.steps.items())},
        "notes": list(written.notes),
    }
