"""The tracks of ranks: iterations, collectives, who waited for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adpkv.core.topology import Topology
from adpkv.executor.collectives import WORLD
from adpkv.timeline.format import OPEN
from adpkv.timeline.matching import GroupCollective, Presence
from adpkv.timeline.trace_file import Args, TraceFile

__all__ = ["RankTracks"]

LEAST_WAIT_NS: Final = 1000
"""A shorter wait for the last of a group is not shown: it is the exchange itself."""

NO_ITERATION: Final = -1


@dataclass(slots=True)
class _Course:
    """Where a rank's track is: its open iteration, and when the last slice in it ended."""

    track: int
    iteration: int = NO_ITERATION
    last_ns: int = 0
    stuck: bool = False
    """A slice never ended: nothing can come after it."""


class RankTracks:
    """A heading for each instance, a thread for each of its ranks.

    A collective's slice has parts: on a step this rank's own part; then, if it was not the last,
    `waits for rank R`; then the exchange. An arrow leads from the exchange of the last rank, which
    begins as it is ready, to that of each rank that waited for it.
    """

    def __init__(self, trace: TraceFile, topology: Topology) -> None:
        self._trace = trace
        self._courses: dict[int, _Course] = {}
        for instance in topology.instances:
            pid = process_of(instance.index)
            first, last = instance.members[0], instance.members[-1]
            ranks = f"ranks {first}-{last}" if last > first else f"rank {first}"
            trace.process(pid, f"{instance.name} ({ranks})")
            for rank in instance.members:
                track = trace.thread(pid, thread_of(rank), f"rank {rank}")
                self._courses[rank] = _Course(track)
        self.steps: dict[int, int] = {}
        """By group: the steps that were shown."""

    def track(self, rank: int) -> int:
        """The track of a rank."""
        return self._courses[rank].track

    def add(self, joint: GroupCollective) -> None:
        """Show a collective on the tracks of all that were in it."""
        self.steps[joint.group] = self.steps.get(joint.group, 0) + joint.steps
        last = joint.last
        # The last one first: an arrow begins at an earlier packet than it ends.
        order = sorted(joint.present, key=lambda one: one.rank != last.rank)
        waiters = [one for one in order if _waited_ns(joint, one, last) >= LEAST_WAIT_NS]
        flows = {one.rank: self._trace.new_flow() for one in waiters}
        for one in order:
            course = self._courses.get(one.rank)
            if course is None or course.stuck:
                continue
            self._enter(course, joint, one)
            self._slice(course, joint, one, last, flows)

    def close(self) -> None:
        """End the iterations that are still open."""
        for course in self._courses.values():
            self._end_iteration(course)

    def _enter(self, course: _Course, joint: GroupCollective, one: Presence) -> None:
        iteration = NO_ITERATION if joint.group == WORLD else joint.iteration
        if course.iteration == iteration:
            return
        self._end_iteration(course)
        if iteration != NO_ITERATION:
            name = f"iteration {iteration}"
            if joint.steps > 1:
                name = f"{joint.steps} iterations up to {iteration}"
            self._trace.begin(course.track, one.begin_ns, name, "iteration")
            course.iteration = iteration

    def _end_iteration(self, course: _Course) -> None:
        if course.iteration != NO_ITERATION and not course.stuck:
            self._trace.end(course.track, course.last_ns)
        course.iteration = NO_ITERATION

    def _slice(
        self,
        course: _Course,
        joint: GroupCollective,
        one: Presence,
        last: Presence,
        flows: dict[int, int],
    ) -> None:
        trace, track = self._trace, course.track
        trace.begin(track, one.begin_ns, _name(joint), joint.kind, _args(joint, one))
        if one.end_ns == OPEN:
            course.stuck = True
            return
        if joint.steps:
            own_ns = min(one.ready_ns, one.end_ns)
            trace.begin(track, one.begin_ns, "own part", "step")
            trace.end(track, own_ns)
        if joint.is_together:
            met_ns = min(max(one.ready_ns, last.ready_ns), one.end_ns)
            if one.rank in flows:
                trace.begin(track, one.ready_ns, f"waits for rank {last.rank}", "imbalance")
                trace.end(track, met_ns)
            starts = list(flows.values()) if one.rank == last.rank else ()
            ends = (flows[one.rank],) if one.rank in flows else ()
            if starts or ends:
                trace.begin(track, met_ns, "exchange", "exchange", starts=starts, ends=ends)
                trace.end(track, one.end_ns)
        trace.end(track, one.end_ns)
        course.last_ns = one.end_ns


def process_of(instance: int) -> int:
    """The number of an instance's heading."""
    return 1 + instance


def thread_of(rank: int) -> int:
    """The number of a rank's thread, which is no heading's."""
    return 1_000_000 + rank


def _waited_ns(joint: GroupCollective, one: Presence, last: Presence) -> int:
    if not joint.is_together or OPEN in (one.end_ns, last.end_ns, one.ready_ns):
        return 0
    return min(last.ready_ns, one.end_ns) - one.ready_ns


def _name(joint: GroupCollective) -> str:
    if joint.kind == "pause":
        return f"paused at {joint.site}"
    if joint.kind in ("step", "wait"):
        return joint.kind if joint.steps < 2 else f"{joint.steps} steps"
    return joint.site


def _args(joint: GroupCollective, one: Presence) -> Args:
    args: dict[str, int | str] = {"kind": joint.kind, "site": joint.site}
    if joint.steps:
        args |= {"prompt_tokens": one.prefill_tokens, "sequences": one.sequences}
        args["steps"] = joint.steps
    return args
