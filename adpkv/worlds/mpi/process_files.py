"""The files that one process of a job writes into the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adpkv.output import EventLog, EventSink, NullEventLog, RunFolder
from adpkv.output.json_lines import JsonLines
from adpkv.output.losses import Losses
from adpkv.output.samples import SampleLog

__all__ = ["ProcessFiles"]


class ProcessFiles:
    """Opens the files, and flushes them together. `events`: whether the run records events.
    `losses`: what could not be written."""

    def __init__(self, folder: RunFolder, *, events: bool) -> None:
        self.folder, self.losses = folder, Losses()
        self._records_events = events
        self._flushes: list[Callable[[], None]] = []
        self._opened: list[tuple[JsonLines[Any], Path]] = []

    def open_events(self, rank: int) -> EventSink:
        """Open the part of `events.jsonl` that one program of this process (its rank, or the
        coordinator) writes."""
        if not self._records_events:
            return NullEventLog()
        path = self.folder.events_part(rank)
        events = EventLog(path, self.losses)
        self._opened.append((events, path))
        self.add(events.flush)
        return events

    def open_samples(self, rank: int) -> SampleLog | None:
        """Open this rank's part of `ranks.jsonl`; None if the run records no events."""
        if not self._records_events:
            return None
        path = self.folder.samples_part(rank)
        samples = SampleLog(path, self.losses)
        self._opened.append((samples, path))
        self.add(samples.flush)
        return samples

    def add(self, flush: Callable[[], None]) -> None:
        """Flush one more file together with the others; `flush` writes out what it has buffered."""
        self._flushes.append(flush)

    def flush(self) -> None:
        """Write out what is buffered; from any thread."""
        for flush in self._flushes:
            flush()

    def discard(self) -> None:
        """The start was refused: remove these files."""
        for opened, path in self._opened:
            opened.close()
            path.unlink(missing_ok=True)
