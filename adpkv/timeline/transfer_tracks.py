"""The transfers of each rank as slices, with arrows between their two ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from adpkv.core.topology import Kind, Topology
from adpkv.output.story_words import Event
from adpkv.timeline.rank_tracks import RankTracks
from adpkv.timeline.trace_file import TraceFile

__all__ = ["TransferTracks"]

OVER: Final = frozenset(("complete", "failed", "cancelled", "timed_out", "released"))
EXPOSED: Final = {Kind.CONTEXT: "posted", Kind.GENERATION: "advertised"}
"""From this state on a peer may touch a session's blocks: there its slice begins."""

INSIDE: Final = frozenset(("peer_queued", "transferring", "quarantined", "advertised"))
"""States that are shown inside the slice."""


@dataclass(slots=True)
class _Lanes:
    """A rank's tracks of transfers: slices of one track may not overlap."""

    tracks: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)


class TransferTracks:
    """Arrows lead from the receiver's slice, where the address goes out, to the sender's, where the
    first byte is posted; and from there to the instant at which the KV is there."""

    def __init__(
        self, trace: TraceFile, topology: Topology, ranks: RankTracks, *, replicated: bool
    ) -> None:
        self._trace, self._topology, self._ranks = trace, topology, ranks
        self._replicated = replicated
        self._lanes: dict[int, _Lanes] = {}
        self._open: dict[tuple[int, int], int] = {}
        """(request, rank) -> lane of a slice that has not ended."""
        self._arrows: dict[tuple[int, int, str], int] = {}
        self.completed = 0
        """Transfers that their receiver saw complete."""

    def add(self, event: Event, side: Kind | None) -> None:
        """An event of a request."""
        if side is None:
            return
        key = (event.request, event.rank)
        pair = (event.request, self._place(event.rank))
        if key not in self._open:
            if event.kind == EXPOSED[side]:
                self._begin(event, side, pair)
            return
        track = self._lanes[event.rank].tracks[self._open[key]]
        if event.kind in OVER:
            args = {"end": event.kind, "cause": str(event.detail.get("cause", ""))}
            if side is Kind.GENERATION and event.kind == "complete":
                self.completed += 1
                flow = self._arrows.pop((*pair, "posted"), None)
                ends = () if flow is None else (flow,)
                self._trace.instant(track, event.at_ns, "KV is here", "transfer", ends=ends)
            self._trace.end(track, event.at_ns, args)
            self._free(event.rank, self._open.pop(key))
            self._arrows.pop((*pair, "advertised"), None)
        elif event.kind in INSIDE:
            cause = {"cause": str(event.detail.get("cause", ""))}
            self._trace.instant(track, event.at_ns, event.kind, "transfer", cause)

    def close(self) -> None:
        """What had not ended stays open in the trace."""
        self._open.clear()

    def _begin(self, event: Event, side: Kind, pair: tuple[int, int]) -> None:
        flow = self._trace.new_flow()
        ends: tuple[int, ...] = ()
        if side is Kind.CONTEXT:
            asked = self._arrows.pop((*pair, "advertised"), None)
            ends = () if asked is None else (asked,)
            name = f"sends KV of request {event.request}"
        else:
            name = f"receives KV of request {event.request}"
        self._arrows[(*pair, EXPOSED[side])] = flow
        lane = self._lane(event.rank)
        self._open[(event.request, event.rank)] = lane
        track = self._lanes[event.rank].tracks[lane]
        args = {"request": event.request}
        self._trace.begin(track, event.at_ns, name, "transfer", args, starts=(flow,), ends=ends)

    def _lane(self, rank: int) -> int:
        lanes = self._lanes.setdefault(rank, _Lanes())
        if lanes.free:
            return lanes.free.pop()
        number = len(lanes.tracks)
        lanes.tracks.append(self._trace.track(self._ranks.track(rank), "transfers", number))
        return number

    def _free(self, rank: int, lane: int) -> None:
        free = self._lanes[rank].free
        free.append(lane)
        free.sort(reverse=True)

    def _place(self, rank: int) -> int:
        """Where ranks are replicas, the one at the same place of the other group is the peer."""
        if not self._replicated:
            return 0
        return rank - self._topology.instance_of(rank).first
