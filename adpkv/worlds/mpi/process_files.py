"""The files that one process of a job writes into the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adpkv.output import EventLog, EventSink, NullEventLog, RunFolder
from adpkv.output.losses import Losses

__all__ = ["ProcessFiles"]


class ProcessFiles:
    """Opens them, and writes out what is still pending in them. `events` is whether the run records
    events; `losses` is what could not be written."""

    def __init__(self, folder: RunFolder, *, events: bool) -> None:
        self.folder, self.losses = folder, Losses()
        self._records_events = events
        self._flushes: list[Callable[[], None]] = []
        self._opened: list[tuple[EventLog, Path]] = []

    def open_events(self, rank: int) -> EventSink:
        """The part of `events.jsonl` that one program of this process writes."""
        if not self._records_events:
            return NullEventLog()
        path = self.folder.events_part(rank)
        events = EventLog(path, self.losses)
        self._opened.append((events, path))
        self.add(events.flush)
        return events

    def add(self, flush: Callable[[], None]) -> None:
        """One more file; `flush` writes out what is pending in it."""
        self._flushes.append(flush)

    def flush(self) -> None:
        """Write out what is pending, from any thread."""
        for flush in self._flushes:
            flush()

    def discard(self) -> None:
        """The start is refused: take the event files away again."""
        for events, path in self._opened:
            events.close()
            path.unlink(missing_ok=True)
