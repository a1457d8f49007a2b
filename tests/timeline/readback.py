"""A trace read back with Perfetto's own messages, and held to what every trace must be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Slice:
    """A slice or an instant, with its place."""

    track: int
    name: str
    category: str
    begin_ns: int
    end_ns: int
    depth: int
    args: dict[str, Any]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass
class Trace:
    """All of a trace: names of tracks, slices, instants, what is wrong with it."""

    names: dict[int, str] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    instants: list[Slice] = field(default_factory=list)
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    unfinished: list[Slice] = field(default_factory=list)

    def of(self, category: str) -> list[Slice]:
        return [one for one in self.slices if one.category == category]


def read_trace(path: Path) -> Trace:
    """Read it as the trace processor does: by time, and in the file's order where times are equal.

    Asserts that slices nest and end, that each track has a name, and that flows lead from one
    place to one later place.
    """
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as Packets

    packets = Packets()
    packets.ParseFromString(path.read_bytes())
    found = Trace()
    for packet in packets.packet:
        if packet.HasField("track_descriptor"):
            _describe(found, packet.track_descriptor)
    open_ones: dict[int, list[Slice]] = {}
    events = [packet for packet in packets.packet if packet.HasField("track_event")]
    started: dict[int, int] = {}
    for packet in sorted(events, key=lambda packet: packet.timestamp):
        event, at_ns = packet.track_event, packet.timestamp
        assert found.names.get(event.track_uuid), "a track without a name"
        stack = open_ones.setdefault(event.track_uuid, [])
        if event.type == event.TYPE_COUNTER:
            found.counts.append((event.track_uuid, at_ns, event.counter_value))
        elif event.type == event.TYPE_SLICE_END:
            assert stack, f"an end without a beginning on {found.names[event.track_uuid]}"
            one = stack.pop()
            one.end_ns = at_ns
            one.args.update(_args(event))
            found.slices.append(one)
        else:
            one = Slice(
                event.track_uuid, event.name, event.categories[0], at_ns, at_ns, len(stack),
                _args(event), tuple(event.flow_ids), tuple(event.terminating_flow_ids),
            )  # fmt: skip
            for flow in one.starts:
                assert flow not in started, "a flow that starts twice"
                started[flow] = at_ns
            for flow in one.ends:
                assert started.pop(flow) <= at_ns, "a flow that ends before it starts"
            if event.type == event.TYPE_SLICE_BEGIN:
                stack.append(one)
            else:
                found.instants.append(one)
    found.unfinished = [one for stack in open_ones.values() for one in stack]
    return found


def _describe(found: Trace, said: Any) -> None:
    name = said.name or said.process.process_name or said.thread.thread_name
    assert said.uuid not in found.names
    found.names[said.uuid] = name
    if said.parent_uuid:
        assert said.parent_uuid in found.names, "a parent comes first"
        found.parents[said.uuid] = said.parent_uuid


def _args(event: Any) -> dict[str, Any]:
    return {
        note.name: note.string_value if note.HasField("string_value") else note.int_value
        for note in event.debug_annotations
    }
