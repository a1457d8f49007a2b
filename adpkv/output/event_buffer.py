"""Who writes lines of events, and what keeps them until there are enough; in C where compiled.

Here a line is a structure or a dictionary, and lines are encoded when they are written. A recorder
puts its lines where they are kept by itself: a request has fifteen, and calls take longer. The
compiled build has `event_buffer.c` in place of this module, which makes text of each as it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from adpkv.core.event_lines import EventLine

if TYPE_CHECKING:
    from adpkv.output.events import EventSink

__all__ = ["EventBuffer", "EventRecorder"]

_Line = dict[str, object] | EventLine

FIXED: Final = 4
"""How many keys each line has besides those of its detail."""


class EventBuffer:
    """Keeps lines until there are `batch` of them, then has them written, oldest first."""

    def __init__(self, write: Callable[[bytes], object], batch: int) -> None:
        self._write_text = write
        self._batch = batch
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._pending: list[_Line] = []
        """Always the same list: recorders add to it, in threads of their own too."""
        self._taking = Lock()

    def write(
        self, at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]
    ) -> None:
        """Note one event.

        Raises:
            ValueError: a detail is named like one of the fixed keys.
            TypeError: the detail is no dictionary.
        """
        if not isinstance(detail, dict):  # None and a mapping proxy would do as well here
            raise TypeError(f"event {kind}: a detail is a dictionary, and not {detail!r}")
        self.add(_line(at_ns, rank, kind, request_id, detail))

    def add(self, line: _Line) -> None:
        """The same, of an event whose line is there already; it must not be changed afterwards."""
        self._pending.append(line)
        if len(self._pending) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write what is kept now."""
        kept = self._pending
        # Without the GIL another thread may add a line in between: it stays. Two that took lines at
        # once would both take the same.
        with self._taking:
            pending = kept[:]
            del kept[: len(pending)]
        if pending:
            self._write_text(self._encode_lines(pending))


class EventRecorder:
    """Tells a log of events what happens on one rank, and when."""

    __slots__ = ("_add", "_batch", "_clock", "_flush", "_pending", "_rank", "_write")

    def __init__(self, log: EventSink, rank: int, clock: Callable[[], int]) -> None:
        self._write, self._add = log.write, log.add
        self._rank = rank
        self._clock = clock
        self._pending: list[_Line] | None = None
        """Where lines are kept, if in the way of `EventBuffer`."""
        if isinstance(log, EventBuffer) and _is_plain(type(log)):
            self._pending, self._batch, self._flush = log._pending, log._batch, log.flush

    def event(self, kind: str, request_id: int, /, **detail: object) -> None:
        """Something happened now."""
        clock, pending = self._clock, self._pending
        if pending is None:
            write = self._write
            write(clock(), self._rank, kind, request_id, detail)
            return
        pending.append(_line(clock(), self._rank, kind, request_id, detail))
        if len(pending) >= self._batch:
            flush = self._flush
            flush()

    def note(
        self, shape: Callable[..., EventLine], kind: str, request_id: int, what: object, /
    ) -> None:
        """Something happened now, for which there is a structure with one value."""
        clock, pending = self._clock, self._pending
        if pending is None:
            add = self._add
            add(shape(clock(), self._rank, kind, request_id, what))
            return
        pending.append(shape(clock(), self._rank, kind, request_id, what))
        if len(pending) >= self._batch:
            flush = self._flush
            flush()


def _line(at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]) -> _Line:
    if not detail:
        return EventLine(at_ns, rank, kind, request_id)
    line = {"at_ns": at_ns, "rank": rank, "kind": kind, "request": request_id, **detail}
    if len(line) != FIXED + len(detail):
        raise ValueError(f"event {kind}: a detail hides a fixed key: {detail}")
    return line


def _is_plain(kind: type[EventBuffer]) -> bool:
    """Whether no subclass writes in its own way."""
    own = (kind.write, kind.add, kind.flush)
    return own == (EventBuffer.write, EventBuffer.add, EventBuffer.flush)
