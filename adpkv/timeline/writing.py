"""`adpkv timeline`: a run's records and events as one trace for Perfetto."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adpkv.core.ids import LAST_NS
from adpkv.errors import UsageError
from adpkv.executor.collectives import WORLD
from adpkv.output import RunFolder
from adpkv.output.story_files import RunFiles, read_section
from adpkv.timeline.matching import GroupCollective, collectives, count_slices
from adpkv.timeline.rank_tracks import RankTracks
from adpkv.timeline.reader import RecordReader, open_records
from adpkv.timeline.request_tracks import RequestTracks
from adpkv.timeline.trace_file import TraceFile
from adpkv.whole_files import whole

__all__ = ["DEFAULT_SLICES", "WHOLE", "Window", "Written", "write_trace"]

DEFAULT_SLICES: Final = 1_000_000
"""A trace of so many slices of ranks is about 100 MB, which Perfetto's page opens in seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a run to show, in nanoseconds since it began."""

    from_ns: int = 0
    to_ns: int = LAST_NS

    def has(self, joint: GroupCollective) -> bool:
        """Whether some of a collective is in it."""
        begin = min(one.begin_ns for one in joint.present)
        end = max(one.end_ns if one.end_ns >= 0 else LAST_NS for one in joint.present)
        return begin <= self.to_ns and end >= self.from_ns


WHOLE: Final = Window()


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    path: Path
    nbytes: int
    slices: int
    ranks: int
    requests: int
    transfers: int
    steps: dict[int, int]
    """By instance."""
    notes: tuple[str, ...]
    """What is not in it, and why."""


def write_trace(
    folder: RunFolder,
    output: Path | None = None,
    window: Window = WHOLE,
    most_slices: int = DEFAULT_SLICES,
) -> Written:
    """Write a run's trace to `output`, or into its folder; whole or not at all.

    Raises:
        UsageError: the run has no timeline, a file cannot be read or written, the package perfetto
            is missing, or nothing at all is in the window.
    """
    section = read_section(folder)
    topology = section.build()
    readers = open_records(folder)
    path = output or folder.path / "timeline.perfetto-trace"
    files = RunFiles(folder, topology)
    sizes = {one.index: one.ranks for one in topology.instances} | {WORLD: topology.ranks}
    try:
        with whole(path) as temporary:
            with temporary.open("wb") as file:
                trace = TraceFile(file)
                ranks = RankTracks(trace, topology)
                notes = _show_ranks(ranks, trace, readers, sizes, window, most_slices)
                requests = RequestTracks(
                    trace,
                    topology,
                    ranks,
                    files.all_records(),
                    replicated=section.replicated,
                    from_ns=window.from_ns,
                    to_ns=window.to_ns,
                )
                for event in files.events(None):
                    if not isinstance(event, int):
                        requests.add(event)
                requests.close()
            if not trace.slices and not requests.shown and window != WHOLE:
                raise UsageError(_nothing_in(window, readers, sizes))
            nbytes = temporary.stat().st_size
    except OSError as error:
        raise UsageError(f"{error.filename or path}: {error.strerror or error}") from error
    return Written(
        path,
        nbytes,
        trace.slices,
        topology.ranks,
        requests.shown,
        requests.transfers.completed,
        ranks.steps,
        (*notes, *files.damage.told()),
    )


def _nothing_in(window: Window, readers: Sequence[RecordReader], sizes: dict[int, int]) -> str:
    """What to say of a window in which there is nothing: where there is something."""
    first_ns, last_ns = LAST_NS, 0
    for joint in collectives(readers, sizes, fold=True):
        for one in joint.present:
            first_ns, last_ns = min(first_ns, one.begin_ns), max(last_ns, one.begin_ns, one.end_ns)
    to = "the end" if window.to_ns == LAST_NS else f"{window.to_ns / 1e9:g} s"
    where = f"nothing of the run is between {window.from_ns / 1e9:g} s and {to}"
    if first_ns > last_ns:
        return f"{where}, nor anywhere else: its records are empty"
    return f"{where}: its ranks were at work from {first_ns / 1e9:.3f} s to {last_ns / 1e9:.3f} s"


def _show_ranks(
    ranks: RankTracks,
    trace: TraceFile,
    readers: Sequence[RecordReader],
    sizes: dict[int, int],
    window: Window,
    most_slices: int,
) -> list[str]:
    """Show the collectives of all ranks; returns what is left out, in sentences."""
    notes = [
        f"{reader.path.name}: {reader.dropped:,} records found no room (observe.timeline_limit)"
        for reader in readers
        if reader.dropped
    ]
    notes += [f"{reader.path.name}: empty, so nothing of it is shown" for reader in readers
              if reader.is_empty]  # fmt: skip
    fold = window == WHOLE and count_slices(readers) > most_slices
    if fold:
        notes.append(
            "steps that the virtual world made as one are shown as one; for each by itself choose"
            " a window with --from and --to, or more slices with --most"
        )
    for joint in collectives(readers, sizes, fold=fold):
        if not window.has(joint):
            continue
        if trace.slices >= most_slices:
            at_s = min(one.begin_ns for one in joint.present) / 1e9
            notes.append(
                f"ranks are shown until {at_s:.3f} s, with {most_slices:,} slices (--most); choose"
                " a window with --from and --to"
            )
            break
        ranks.add(joint)
    ranks.close()
    return notes
