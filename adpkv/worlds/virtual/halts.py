"""Groups that cannot go on because a member stands still alone, in the middle of an iteration.

A halted group is neither a mismatch nor yet a deadlock: the member may go on. Its others wait where
they are; what arrives for them meanwhile is news for their next look. Who waits for longer than
`hang_ns` waits for ever, as far as anybody can tell.

A dead member is noticed after `NOTICE_NS`: then it is out of the group, and the others learn of it
by an exception where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from adpkv.core.ids import NEVER
from adpkv.errors import DeadlockError, Place, RankLostError
from adpkv.executor.meetings import Gone, Pause, Step
from adpkv.worlds.virtual.agenda import GROUP_WAKE, RANK_WAKE, Agenda
from adpkv.worlds.virtual.course import Halt, Met
from adpkv.worlds.virtual.group import ALONE, VirtualGroup

__all__ = ["NOTICE_NS", "Halts"]

NOTICE_NS: Final = 50_000_000
"""From a death to the survivors' knowledge; Open MPI's ULFM took 5 to 49 ms."""


class Halts:
    """All halted groups of a world. `go_on(group, members, meetings, met)` takes one on from where
    it stopped; `deadlock(why, group)` makes the error; `died(rank)` is told of a death as it
    happens, `buried(rank, place)` as it is noticed, where the rank was."""

    def __init__(
        self,
        agenda: Agenda,
        hang_ns: int,
        go_on: Callable[[VirtualGroup, list[int], list[Any], Met], None],
        deadlock: Callable[[str, int], DeadlockError],
        died: Callable[[int], None],
        buried: Callable[[int, Place], None],
    ) -> None:
        self._agenda = agenda
        self._wakings = 0
        """Numbers what is planned, so that nothing in the agenda is equal to anything else."""
        self._hang_ns = hang_ns
        self._go_on = go_on
        self._deadlock = deadlock
        self._died = died
        self._buried = buried

    def begin(self, group: VirtualGroup, meetings: Sequence[Any], met: Met) -> None:
        """Not all members stand in one meeting.

        Raises:
            CollectiveMismatchError: two stand in different ones.
        """
        together = [meeting for meeting in meetings if type(meeting) not in ALONE]
        if together and group.agreed(together) is None:
            raise group.mismatch(meetings)
        halt = Halt(list(meetings), met, self._agenda.now)
        group.course.stop(halt)
        for index in range(len(meetings)):
            self._plan(group, index)
        if self._hang_ns < NEVER:
            at_ns, what = self._agenda.now + self._hang_ns, (group, halt)
            self._agenda.add(
                at_ns, GROUP_WAKE, group.instance.index, group.course.version, self._hangs, what
            )

    def arrival(self, group: VirtualGroup, rank: int) -> None:
        """Something arrived for a member: it may be what that one stands still for."""
        index = group.index[rank]
        group.rouse(index)
        meeting = _halt_of(group).meetings[index]
        if type(meeting) is Pause and meeting.over():
            self._moves(group, index)

    def _plan(self, group: VirtualGroup, index: int) -> None:
        """A pause that is over by itself, or already."""
        halt = _halt_of(group)
        meeting = halt.meetings[index]
        if type(meeting) is Gone:
            rank = group.members[index]
            self._died(rank)
            at_ns = self._agenda.now + NOTICE_NS
            self._wake(at_ns, rank, self._noticed, (group, rank))
        if type(meeting) is not Pause:
            return
        at_ns = self._agenda.now if meeting.over() else max(meeting.until_ns, self._agenda.now)
        if at_ns < NEVER:
            what = (group, halt, index, meeting)
            self._wake(at_ns, group.members[index], self._due, what)

    def _wake(self, at_ns: int, rank: int, action: Callable[[Any], None], what: Any) -> None:
        self._wakings += 1
        self._agenda.add(at_ns, RANK_WAKE, rank, self._wakings, action, what)

    def _due(self, what: tuple[VirtualGroup, Halt, int, Any]) -> None:
        group, halt, index, meeting = what
        if group.course.halt is halt and halt.meetings[index] is meeting:
            self._moves(group, index)

    def _moves(self, group: VirtualGroup, index: int) -> None:
        """A member goes on; and with it the group, if nobody else stands still."""
        halt = _halt_of(group)
        try:
            halt.meetings[index] = group.resume[index](None)
        except StopIteration:
            raise group.left_alone() from None
        if type(halt.meetings[index]) in ALONE:
            self._plan(group, index)
        elif all(type(meeting) not in ALONE for meeting in halt.meetings):
            group.course.go_on()
            _held(halt.meetings, self._agenda.now - halt.since_ns)
            self._go_on(group, list(range(len(group.resume))), halt.meetings, halt.met)

    def _noticed(self, what: tuple[VirtualGroup, int]) -> None:
        """The group learns that a member is dead, wherever the others stand still by now."""
        group, rank = what
        if rank not in group.index:
            return
        stood = _halt_of(group).meetings
        del stood[group.index[rank]]
        group.course.go_on()
        self._buried(rank, group.bury(rank))
        places = group.places()
        if not places:
            return
        meetings = [
            # Another that died meanwhile is told nothing any more.
            at if type(at) is Gone else program.throw(RankLostError(rank, place))
            for at, program, place in zip(stood, group.programs, places, strict=True)
        ]
        self._go_on(group, list(range(len(meetings))), meetings, [])

    def _hangs(self, what: tuple[VirtualGroup, Halt]) -> None:
        group, halt = what
        if group.course.halt is halt:
            said = f"{group.instance.name} has not gone on for {self._hang_ns / 1e9:g} s"
            raise self._deadlock(said, group.instance.index)


def _held(meetings: Sequence[Any], held_ns: int) -> None:
    """All came to this step when the halt began: so much longer do their requests wait for it."""
    for at in meetings:
        if type(at) is Step and at.waited:
            at.waited = tuple([wait_ns + held_ns for wait_ns in at.waited])


def _halt_of(group: VirtualGroup) -> Halt:
    halt = group.course.halt
    assert halt is not None
    return halt
