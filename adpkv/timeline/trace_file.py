"""A trace in Perfetto's native format: tracks, slices, instants, counters and flows.

Only this module knows the package `perfetto`. It makes the packets with the package's own messages
and writes them one by one with its builder, so memory does not grow with the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from adpkv.errors import UsageError

__all__ = ["Args", "TraceFile"]

Args = Mapping[str, int | str]

SEQUENCE: Final = 1
"""All packets are of one writer."""

BY_RANK: Final = 3
"""`TrackDescriptor.ChildTracksOrdering.EXPLICIT`."""


class TraceFile:
    """Writes packets to an open file; counts the slices.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
                TrackDescriptor,
                TrackEvent,
            )
            from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
        except ImportError as error:
            raise UsageError(
                f"adpkv timeline needs perfetto: pip install 'adpkv[timeline]' ({error})"
            ) from error
        self._builder = StreamingTraceProtoBuilder(file)
        self._begin, self._end = TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END
        self._instant, self._counter = TrackEvent.TYPE_INSTANT, TrackEvent.TYPE_COUNTER
        self._explicit = TrackDescriptor.EXPLICIT
        self._tracks = 0
        self._flows = 0
        self.slices = self.packets = 0

    def process(self, pid: int, name: str) -> int:
        """A heading of its own, over the tracks made with it as parent; returns the track."""
        packet, track = self._descriptor()
        packet.track_descriptor.process.pid = pid
        packet.track_descriptor.process.process_name = name
        packet.track_descriptor.child_ordering = self._explicit
        return self._written(packet, track)

    def thread(self, pid: int, tid: int, name: str) -> int:
        """A thread of a process."""
        packet, track = self._descriptor()
        packet.track_descriptor.thread.pid = pid
        packet.track_descriptor.thread.tid = tid
        packet.track_descriptor.thread.thread_name = name
        return self._written(packet, track)

    def track(self, parent: int, name: str, order: int = 0) -> int:
        """A track below another one."""
        packet, track = self._descriptor()
        packet.track_descriptor.parent_uuid = parent
        packet.track_descriptor.name = name
        packet.track_descriptor.sibling_order_rank = order
        return self._written(packet, track)

    def counter(self, parent: int, name: str) -> int:
        """A track of numbers."""
        packet, track = self._descriptor()
        packet.track_descriptor.parent_uuid = parent
        packet.track_descriptor.name = name
        packet.track_descriptor.counter.SetInParent()
        return self._written(packet, track)

    def new_flow(self) -> int:
        """The number of a new flow: an arrow from one slice or instant to a later one."""
        self._flows += 1
        return self._flows

    def begin(
        self,
        track: int,
        at_ns: int,
        name: str,
        category: str,
        args: Args | None = None,
        *,
        starts: Sequence[int] = (),
        ends: Sequence[int] = (),
    ) -> None:
        """A slice begins. `starts` and `ends` are the flows that start and end at it."""
        self.slices += 1
        self._event(self._begin, track, at_ns, name, category, args, starts, ends)

    def end(self, track: int, at_ns: int, args: Args | None = None) -> None:
        """The innermost slice of the track ends."""
        self._event(self._end, track, at_ns, "", "", args, (), ())

    def instant(
        self,
        track: int,
        at_ns: int,
        name: str,
        category: str,
        args: Args | None = None,
        *,
        starts: Sequence[int] = (),
        ends: Sequence[int] = (),
    ) -> None:
        """Something happens at an instant."""
        self._event(self._instant, track, at_ns, name, category, args, starts, ends)

    def count(self, track: int, at_ns: int, value: int) -> None:
        """The number on a counter's track from now on."""
        packet = self._packet(at_ns)
        event = packet.track_event
        event.type, event.track_uuid, event.counter_value = self._counter, track, value
        self._write(packet)

    def _event(
        self,
        kind: int,
        track: int,
        at_ns: int,
        name: str,
        category: str,
        args: Args | None,
        starts: Sequence[int],
        ends: Sequence[int],
    ) -> None:
        packet = self._packet(at_ns)
        event = packet.track_event
        event.type, event.track_uuid = kind, track
        if name:
            event.name = name
            event.categories.append(category)
        if args:
            for key, value in args.items():
                note = event.debug_annotations.add()
                note.name = key
                if isinstance(value, bool):
                    note.bool_value = value
                elif isinstance(value, int):
                    note.int_value = value
                else:
                    note.string_value = value
        if starts:
            event.flow_ids.extend(starts)
        if ends:
            event.terminating_flow_ids.extend(ends)
        self._write(packet)

    def _descriptor(self) -> tuple[Any, int]:
        self._tracks += 1
        packet = self._packet(0)
        packet.track_descriptor.uuid = self._tracks
        return packet, self._tracks

    def _packet(self, at_ns: int) -> Any:
        packet = self._builder.create_packet()
        packet.timestamp = at_ns
        packet.trusted_packet_sequence_id = SEQUENCE
        if not self.packets:
            packet.sequence_flags = 1  # nothing was said before this packet
        return packet

    def _write(self, packet: Any) -> None:
        self.packets += 1
        self._builder.write_packet(packet)

    def _written(self, packet: Any, track: int) -> int:
        self._write(packet)
        return track
