"""`events.jsonl`: what happened, one JSON object a line, cheap enough to be always on.

Where an event happens its line is put together (`event_buffer`); lines are written in batches. The
detail's keys stand beside the fixed ones, so that a line can be read by eye and filtered by `jq`
without descending. The frequent lines are structures (`core.event_lines`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec

from adpkv.core.event_lines import EventLine
from adpkv.core.values import Violation
from adpkv.counting import counted
from adpkv.output.event_buffer import EventBuffer, EventRecorder
from adpkv.output.folder import RunFolder
from adpkv.output.losses import LineFile, Losses
from adpkv.whole_files import whole

__all__ = ["EventLog", "EventSink", "NullEventLog", "RankRecorder", "merge_parts"]

BATCH_EVENTS: Final = 512
"""Events kept in memory before they are written: some 200 kB, which a processor's cache holds."""

MOST_VIOLATIONS: Final = 100
"""Violations that one rank reports whole: after so many the rest say nothing new."""


class EventSink(Protocol):
    """Where events go. One writer per process."""

    def write(
        self, at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]
    ) -> None:
        """Note one event; `request_id` is -1 where no request is concerned."""
        ...

    def add(self, line: EventLine) -> None:
        """The same, of an event whose line is there already."""
        ...

    def flush(self) -> None:
        """Write what is pending now."""
        ...

    def close(self) -> None:
        """Write what is pending, the last time."""
        ...


class NullEventLog:
    """Used where the experiment wants no events (`observe.events: false`)."""

    def write(
        self, at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]
    ) -> None:
        """Forget it."""

    def add(self, line: EventLine) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Nothing is pending."""

    def close(self) -> None:
        """Nothing is pending."""


class EventLog(EventBuffer):
    """Writes events to a file in the order in which they are noted."""

    def __init__(self, path: Path, losses: Losses | None = None) -> None:
        self._file = LineFile(path, losses)
        super().__init__(self._file.write, BATCH_EVENTS)

    def close(self) -> None:
        """Write what is kept and close the file; closing twice is closing once."""
        try:
            self.flush()
        finally:
            self._file.close()


class RankRecorder(EventRecorder):
    """One rank's `executor.ports.Recorder`: stamps events with its clock, keeps violations."""

    __slots__ = ("_more", "_violations")

    def __init__(self, log: EventSink, rank: int, clock: Callable[[], int]) -> None:
        super().__init__(log, rank, clock)
        self._violations: list[Violation] = []
        self._more = 0

    def violation(self, violation: Violation) -> None:
        """An oracle found a violation: note an event, and a line of the rank's report."""
        self._write(
            violation.at_ns,
            violation.rank,
            "violation",
            -1,
            {
                "violation": violation.kind,
                "detail": violation.detail,
                "requests": violation.requests,
            },
        )
        if len(self._violations) < MOST_VIOLATIONS:
            self._violations.append(violation)
        else:
            self._more += 1

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The first `MOST_VIOLATIONS`, then one that counts the rest."""
        if not self._more:
            return tuple(self._violations)
        last = self._violations[-1]
        said = f"{counted(self._more, 'more violation')} of this rank not listed"
        return (*self._violations, Violation("more", self._rank, last.at_ns, said))


class _Stamp(msgspec.Struct, frozen=True, gc=False):
    """The part of a line that decides its place."""

    at_ns: int
    rank: int


def merge_parts(folder: RunFolder, losses: Losses) -> None:
    """Make `events.jsonl` of every rank's part, by time, then rank, then place in the part.

    Streams: memory does not grow with the parts. The parts are removed when the whole is there. A
    line that its writer did not finish, because it was killed, is left out. If the whole cannot be
    written, the parts stay.
    """
    parts = folder.events_parts()
    try:
        with whole(folder.events) as temporary, temporary.open("wb") as out:
            files = [part.open("rb") for part in parts]
            try:
                for _, line in heapq.merge(*map(_stamped, files), key=lambda pair: pair[0]):
                    out.write(line)
            finally:
                for file in files:
                    file.close()
        for part in parts:
            part.unlink()
    except OSError as error:
        losses.note(folder.events.name, error)


def _stamped(file: BinaryIO) -> Iterator[tuple[tuple[int, int], bytes]]:
    decode = msgspec.json.Decoder(_Stamp).decode
    for line in file:
        if line.endswith(b"\n"):
            stamp = decode(line)
            yield (stamp.at_ns, stamp.rank), line
