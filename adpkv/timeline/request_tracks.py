"""The tracks of requests, of transfers, and of what happens to ranks: from a run's events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from adpkv.core.columns import COLUMNS
from adpkv.core.ids import COORDINATOR, LAST_NS
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Kind, Topology
from adpkv.output.story_words import Event
from adpkv.timeline.rank_tracks import RankTracks
from adpkv.timeline.trace_file import Args, TraceFile
from adpkv.timeline.transfer_tracks import TransferTracks

__all__ = ["RequestTracks"]

REQUESTS_PID: Final = 100_001
LOAD_PID: Final = 100_002

_CONTEXT, _GENERATION = Kind.CONTEXT, Kind.GENERATION

PHASES: Final = {
    ("arrived", None): (0, "coordinator queue"),
    ("recomputed", None): (0, "coordinator queue"),
    ("routed", None): (1, "context queue"),
    ("prefill_began", _CONTEXT): (2, "prefill"),
    ("prepared", _CONTEXT): (3, "hand-over"),
    ("assigned", _GENERATION): (4, "block wait"),
    ("queued", _GENERATION): (5, "slot wait"),
    ("advertised", _GENERATION): (6, "KV transfer"),
    ("complete", _GENERATION): (7, "decode"),
    ("responded", _GENERATION): (8, "answer under way"),
}
"""By event, and the side on which it happens: which phase of a request begins with it. Phases only
go forward, so that of ranks that all hold a request the first counts."""

MARKS: Final = frozenset(
    ("client_cancel", "cancel_answer", "fault", "refused", "failed", "cancelled", "timed_out",
     "quarantined", "released", "peer_queued", "recomputed")
)  # fmt: skip
"""Events that are shown as instants on the request's track."""


@dataclass(slots=True)
class _Open:
    arrived_ns: int
    phase: int = -1
    phases: list[tuple[int, str]] = field(default_factory=list)
    marks: list[Event] = field(default_factory=list)


class RequestTracks:
    """Takes a run's events in their order.

    Args:
        records: what `requests.jsonl` says, in its order, which is that of the events' ends.
        from_ns, to_ns: requests that are not open in this window are left out.
    """

    def __init__(
        self,
        trace: TraceFile,
        topology: Topology,
        ranks: RankTracks,
        records: Iterator[RequestRecord],
        *,
        replicated: bool,
        from_ns: int,
        to_ns: int,
    ) -> None:
        self._trace, self._topology, self._ranks = trace, topology, ranks
        self._records, self._skipped = records, dict[int, RequestRecord]()
        self._from_ns, self._to_ns = from_ns, to_ns
        self._parent = trace.process(REQUESTS_PID, "requests")
        load = trace.process(LOAD_PID, "load")
        self._open_count = trace.counter(load, "open requests")
        self._coordinator = trace.track(load, "coordinator")
        self._open: dict[int, _Open] = {}
        self._rank_events: dict[tuple[int, str], int] = {}
        self._unhealthy: set[int] = set()
        self.transfers = TransferTracks(trace, topology, ranks, replicated=replicated)
        self.shown = 0

    def add(self, event: Event) -> None:
        """Show an event, or keep it until its request has ended."""
        if event.request < 0:
            if self._is_in(event.at_ns):
                self._happened(event)
            return
        side = self._side(event.rank)
        request = self._request(event)
        if event.kind == "routed" and request.phase >= 2:
            return  # to the generation instance: a part of the hand-over
        phase = PHASES.get((event.kind, side))
        if phase is not None and (phase[0] > request.phase or event.kind == "recomputed"):
            request.phase = phase[0]
            request.phases.append((event.at_ns, phase[1]))
        if event.kind in MARKS:
            request.marks.append(event)
        if self._is_in(event.at_ns):
            self.transfers.add(event, side)
        if event.kind == "ended":
            self._finish(event)

    def close(self) -> None:
        """What had not ended."""
        for number in sorted(self._open):
            self._show(number, self._open[number], None, "no answer", {})
        self._open.clear()
        self.transfers.close()

    def _request(self, event: Event) -> _Open:
        found = self._open.get(event.request)
        if found is None:
            found = _Open(event.at_ns)
            if event.kind == "arrived":
                self._open[event.request] = found
                self._trace.count(self._open_count, event.at_ns, len(self._open))
        return found

    def _finish(self, event: Event) -> None:
        request = self._open.pop(event.request, None)
        if request is None:
            return
        self._trace.count(self._open_count, event.at_ns, len(self._open))
        record, ended_ns = self._record(event.request), event.at_ns
        args: dict[str, int | str] = {"outcome": str(event.detail.get("outcome", ""))}
        if event.detail.get("detail"):
            args["detail"] = str(event.detail["detail"])
        if record is not None:
            args |= {"prompt_tokens": record.prompt_tokens, "tokens": record.tokens}
            args |= {f"{name}_ns": ns for name, ns in zip(COLUMNS, record.columns(), strict=True)}
            # Arrival and end are what the record says; events may be a little behind.
            request.arrived_ns, ended_ns = record.arrival_ns, record.ended_ns
        self._show(event.request, request, ended_ns, str(args["outcome"]), args)

    def _record(self, number: int) -> RequestRecord | None:
        while number not in self._skipped:
            record = next(self._records, None)
            if record is None:
                return None
            self._skipped[record.request_id] = record
        return self._skipped.pop(number)

    def _show(
        self, number: int, request: _Open, ended_ns: int | None, outcome: str, args: Args
    ) -> None:
        if request.arrived_ns > self._to_ns or (ended_ns or self._to_ns) < self._from_ns:
            return
        self.shown += 1
        trace = self._trace
        track = trace.track(self._parent, f"request {number}", number)
        trace.begin(track, request.arrived_ns, f"request {number}: {outcome}", "request", args)
        inner = list(self._inner(request, ended_ns))
        for at_ns, name, mark in inner:
            if mark is not None:
                trace.instant(track, at_ns, mark.kind, "request", _details(mark))
            elif name:
                trace.begin(track, at_ns, name, "request")
            else:
                trace.end(track, at_ns)
        if ended_ns is not None:
            trace.end(track, ended_ns)

    @staticmethod
    def _inner(request: _Open, ended_ns: int | None) -> Iterator[tuple[int, str, Event | None]]:
        """(time, name of a phase that begins, empty where one ends; or a mark), in order."""
        marks, at = request.marks, 0
        begins = request.phases
        for place, (at_ns, name) in enumerate(begins):
            until_ns = begins[place + 1][0] if place + 1 < len(begins) else ended_ns
            yield (request.arrived_ns if not place else at_ns), name, None
            while at < len(marks) and (until_ns is None or marks[at].at_ns < until_ns):
                yield marks[at].at_ns, "", marks[at]
                at += 1
            if until_ns is not None:
                yield until_ns, "", None

    def _happened(self, event: Event) -> None:
        """An event of a rank, or of the coordinator."""
        trace = self._trace
        if event.kind == "health":
            self._health(event)
            return
        if event.rank == COORDINATOR:
            track = self._coordinator
        else:
            track = self._rank_track(event.rank, "events")
        trace.instant(track, event.at_ns, event.kind, "event", _details(event))

    def _health(self, event: Event) -> None:
        track = self._rank_track(event.rank, "health")
        if event.rank in self._unhealthy:
            self._trace.end(track, event.at_ns)
            self._unhealthy.discard(event.rank)
        if not event.detail.get("healthy"):
            reasons = ", ".join(map(str, event.detail.get("reasons", ())))
            name = f"unhealthy: {reasons}"
            self._trace.begin(track, event.at_ns, name, "health", _details(event))
            self._unhealthy.add(event.rank)

    def _rank_track(self, rank: int, name: str) -> int:
        key = (rank, name)
        if key not in self._rank_events:
            track = self._trace.track(self._ranks.track(rank), name)
            self._rank_events[key] = track
        return self._rank_events[key]

    def _side(self, rank: int) -> Kind | None:
        return None if rank == COORDINATOR else self._topology.instance_of(rank).kind

    def _is_in(self, at_ns: int) -> bool:
        return self._from_ns <= at_ns <= self._to_ns


def _details(event: Event) -> dict[str, int | str]:
    return {
        key: value if isinstance(value, int) and abs(value) <= LAST_NS else str(value)
        for key, value in {"rank": event.rank, **event.detail}.items()
    }
