"""Groups that cannot go on in the middle of an iteration, because a member awaits something alone.

A paused group is neither a mismatch nor yet a deadlock: the member may go on. The other members
wait where they are; input that arrives meanwhile is read in the next iteration. A pause of more
than `hang_ns` is taken for a deadlock.

A failed member is noticed after `NOTICE_NS`. Then it leaves the group, and each survivor gets an
exception from what it awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from adpkv.core.ids import NEVER
from adpkv.errors import DeadlockError, Place, RankLostError
from adpkv.executor.collectives import Gone, Pause, Step
from adpkv.timeline.recording import WorldTimeline
from adpkv.worlds.virtual.course import Completed, PausedAt
from adpkv.worlds.virtual.event_queue import GROUP_WAKE, RANK_WAKE, EventQueue
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.mismatch import left_alone, mismatch
from adpkv.worlds.virtual.places import ALONE, agreed

__all__ = ["NOTICE_NS", "PausedGroups"]

NOTICE_NS: Final = 50_000_000
"""From a rank failure until the survivors know; Open MPI's ULFM took 5 to 49 ms."""


class PausedGroups:
    """All paused groups of a world.

    `go_on(group, members, operations, completed)` resumes a group where it stopped. `deadlock(why,
    group)` makes the error. `failed_at(rank)` is called when a rank fails; `noticed(rank, place)`
    when the others notice it, with the place where the rank was.
    """

    def __init__(
        self,
        queue: EventQueue,
        hang_ns: int,
        go_on: Callable[[VirtualGroup, list[int], list[Any], Completed], None],
        deadlock: Callable[[str, int], DeadlockError],
        failed_at: Callable[[int], None],
        noticed: Callable[[int, Place], None],
        timeline: WorldTimeline | None = None,
    ) -> None:
        self._queue = queue
        self._timeline = timeline
        self._wakings = 0
        """Numbers the planned events, so that no two in the event queue are equal."""
        self._hang_ns = hang_ns
        self._go_on = go_on
        self._deadlock = deadlock
        self._failed_at = failed_at
        self._failure_noticed = noticed

    def begin(self, group: VirtualGroup, operations: Sequence[Any], completed: Completed) -> None:
        """Not all members await the same collective: pause the group.

        Raises:
            CollectiveMismatchError: two members are in different collectives.
        """
        together = [operation for operation in operations if type(operation) not in ALONE]
        if together and agreed(together) is None:
            raise mismatch(group, operations)
        paused = PausedAt(list(operations), completed, self._queue.now)
        group.course.stop(paused)
        if self._timeline is not None:
            index, members = group.instance.index, group.members
            self._timeline.paused(index, members, operations, self._queue.now)
        for index in range(len(operations)):
            self._plan(group, index)
        if self._hang_ns < NEVER:
            at_ns, what = self._queue.now + self._hang_ns, (group, paused)
            self._queue.add(
                at_ns, GROUP_WAKE, group.instance.index, group.course.version, self._hangs, what
            )

    def arrival(self, group: VirtualGroup, rank: int) -> None:
        """Something arrived for a member: it may be what this member waits for."""
        index = group.index[rank]
        group.note_arrival(index)
        operation = _pause_of(group).operations[index]
        if type(operation) is Pause and operation.over():
            self._member_goes_on(group, index)

    def _plan(self, group: VirtualGroup, index: int) -> None:
        """Plan the event that ends what a member awaits alone, if time ends it; for a failed
        member, the event at which the others notice."""
        paused = _pause_of(group)
        operation = paused.operations[index]
        if type(operation) is Gone:
            rank = group.members[index]
            self._failed_at(rank)
            at_ns = self._queue.now + NOTICE_NS
            self._wake(at_ns, rank, self._noticed, (group, rank))
        if type(operation) is not Pause:
            return
        at_ns = self._queue.now if operation.over() else max(operation.until_ns, self._queue.now)
        if at_ns < NEVER:
            what = (group, paused, index, operation)
            self._wake(at_ns, group.members[index], self._due, what)

    def _wake(self, at_ns: int, rank: int, action: Callable[[Any], None], what: Any) -> None:
        self._wakings += 1
        self._queue.add(at_ns, RANK_WAKE, rank, self._wakings, action, what)

    def _due(self, what: tuple[VirtualGroup, PausedAt, int, Any]) -> None:
        group, paused, index, operation = what
        if group.course.paused is paused and paused.operations[index] is operation:
            self._member_goes_on(group, index)

    def _member_goes_on(self, group: VirtualGroup, index: int) -> None:
        """A member goes on; and with it the group, if no other member waits alone."""
        paused = _pause_of(group)
        try:
            paused.operations[index] = group.programs.resume(index, None)
        except StopIteration:
            raise left_alone(group) from None
        if type(paused.operations[index]) in ALONE:
            self._plan(group, index)
        elif all(type(operation) not in ALONE for operation in paused.operations):
            self._over(group)
            _extend_waits(paused.operations, self._queue.now - paused.since_ns)
            self._go_on(group, list(range(len(group.members))), paused.operations, paused.completed)

    def _over(self, group: VirtualGroup) -> None:
        group.course.go_on()
        if self._timeline is not None:
            self._timeline.resumed(group.instance.index, self._queue.now)

    def _noticed(self, what: tuple[VirtualGroup, int]) -> None:
        """The group notices that a member has failed, wherever the other members wait by now."""
        group, rank = what
        if rank not in group.index:
            return
        stood = _pause_of(group).operations
        del stood[group.index[rank]]
        self._over(group)
        self._failure_noticed(rank, group.shrink(rank))
        places = group.places()
        if not places:
            return
        operations = [
            # A member that has failed itself meanwhile cannot be told.
            at if type(at) is Gone else group.programs.throw(index, RankLostError(rank, place))
            for index, (at, place) in enumerate(zip(stood, places, strict=True))
        ]
        self._go_on(group, list(range(len(operations))), operations, [])

    def _hangs(self, what: tuple[VirtualGroup, PausedAt]) -> None:
        group, paused = what
        if group.course.paused is paused:
            said = f"{group.instance.name} has not gone on for {self._hang_ns / 1e9:g} s"
            raise self._deadlock(said, group.instance.index)


def _extend_waits(operations: Sequence[Any], held_ns: int) -> None:
    """The requests of this step have waited as long as the pause took: add that to their waits."""
    for at in operations:
        if type(at) is Step and at.waited:
            at.waited = tuple([wait_ns + held_ns for wait_ns in at.waited])


def _pause_of(group: VirtualGroup) -> PausedAt:
    paused = group.course.paused
    assert paused is not None
    return paused
