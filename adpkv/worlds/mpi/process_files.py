"""The files that one process of a job writes into the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adpkv.config.serving import ObserveConfig
from adpkv.output import EventLog, EventSink, NullEventLog, RunFolder
from adpkv.output.json_lines import JsonLines
from adpkv.output.losses import Losses
from adpkv.output.samples import SampleLog
from adpkv.timeline.writer import RecordFile

__all__ = ["ProcessFiles"]


class ProcessFiles:
    """Opens the files that the experiment wants, and flushes them together. `losses`: what could
    not be written."""

    def __init__(self, folder: RunFolder, observe: ObserveConfig) -> None:
        self.folder, self.losses = folder, Losses()
        self._timeline_bytes = observe.timeline_limit_bytes if observe.timeline else 0
        self._timelines: list[RecordFile] = []
        self._records_events = observe.events
        self._flushes: list[Callable[[], None]] = []
        self._opened: list[tuple[EventLog | JsonLines[Any], Path]] = []

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

    def open_timeline(self, name: str) -> RecordFile | None:
        """Open the timeline records of one program of this process; None without a timeline."""
        if not self._timeline_bytes:
            return None
        path = self.folder.timeline / f"{name}.records"
        file = RecordFile(path, self._timeline_bytes, self.losses)
        self._timelines.append(file)
        return file

    def close_timelines(self) -> None:
        """No more records; a process that never comes here leaves what it wrote too."""
        for file in self._timelines:
            file.close()

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
        self.close_timelines()
        for file in self._timelines:
            file.path.unlink(missing_ok=True)
