"""An iteration of a group, phase by phase, without its programs.

A rank program is suspended in a step or a wait while time passes. Where all programs of a group are
the loop of `executor.loop` over phases that await nothing of their own, what they would do until
they come to the next step or wait is known: so it is done here in their order, and they stay where
they are. All ranks of a group are here, so each collective is no more than what they pass on. That
leaves out four resumptions, three operations and their comparison for each rank.

A leader that has no reason to take part itself does only what it does for its group, and stays in
its step or wait as the others that nothing concerns.

A rank's failure that a phase raises itself (`RankLostError` of a port of its own) would be caught
by the loop, which survives it. Nobody catches it here: it ends the run.

What the programs decide is not known here: this calls their phases as the loop does, and
`tests/worlds/virtual/test_iteration.py` compares runs of both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from adpkv.core.plan import Plan
from adpkv.core.values import Response
from adpkv.executor.collectives import Collective, Operation
from adpkv.executor.loop import RankProgram
from adpkv.executor.phases import Phases
from adpkv.worlds.virtual.group import VirtualGroup

__all__ = ["Iteration", "known_phases"]

AWAITING: Final = ("intake", "sync", "flush", "step", "wait", "leave")
"""The phases that await something, between two stretches or as the group leaves."""

Whom = Callable[[VirtualGroup, Plan, int], Collection[int] | None]
"""Which of those that are left out of an iteration take part in it after all; None: all."""


def known_phases(program: Any) -> Phases | None:
    """The phases of a rank's program, if it awaits what the loop and its phases do and nothing
    else; None if it may await something else: a fault of its process, what a subclass says."""
    if type(program) is not RankProgram or "run" in vars(program):
        return None
    phases = program.phases
    own = getattr(phases, "__dict__", {})
    if any(name in own for name in AWAITING):
        return None
    kind = type(phases)
    same = all(getattr(kind, name) is getattr(Phases, name) for name in AWAITING)
    return phases if same else None


class Iteration:
    """Makes iterations of groups whose phases are known. `whom` decides who else takes part.

    More than a hundred ranks do not fit into a processor's cache, so each is taken on as far as its
    events keep their order: those of finished requests come before what is observed, and that
    before what follows from the plan.

    Where nothing is jumped over, a rank rests only without anything open: it looks at that in each
    iteration, so such a run does not rely on what wakes a rank, and tells whether one that jumps
    may.
    """

    def __init__(self, whom: Whom, *, jump: bool) -> None:
        self._whom = whom
        self._jump = jump

    def make(self, group: VirtualGroup, taking_part: list[int], now_ns: int) -> Operation | None:
        """Take these members from the end of a stretch to the next step or wait, which their group
        then has; and those whom the plan concerns besides. Returns that of the first of them. None
        if there is none: the members leave, and await the collective with which the job ends."""
        phases, offers = group.phases, group.offers
        assert phases is not None
        iteration, last, made, came = group.iteration + 1, group.plan, offers.made, offers.came
        assert last is not None
        ends = offers.ends()
        for index in taking_part:
            if not index or ends[index] <= made:  # only a last step has results to tell of
                phases[index].go_on(made - came[index], iteration, last)
        leader = phases[0]
        if taking_part[0] == 0:
            leader.take_input()
        else:
            leader.lead(iteration, last)
        told = leader.group_input
        said = offers.quiet
        for index in taking_part:
            one = phases[index]
            if index and ends[index] > made:
                one.go_on(made - came[index], iteration, last)
            one.group_input = told
            one.observe()
            said[index] = one.fresh_status()
        concerned = self._whom
        plan = leader.agree_again(said, offers.renewed(taking_part))
        if len(taking_part) < len(phases):
            whom = concerned(group, plan, now_ns)
            if whom is None or whom:
                taking_part = self._join(group, whom, taking_part, told)
        staged: list[Sequence[Response]] = []
        operations: list[Any] = []
        rests: list[int] = []
        for index in taking_part:
            one = phases[index]
            if plan is not last:  # else there was no input, and nothing new is agreed
                one.agreed(plan)
                one.apply(plan)
            responses = one.rank.responses
            if responses.kept:
                staged.append(responses.take())
            if index and not plan.leave:
                # At once, as it knows no other rank: a hundred of them do not fit into a cache.
                operations.append(one.next_step() if plan.forward else one.next_wait())
                rests.append(one.rests_until_ns)
        if taking_part[0] != 0 and plan is not last:
            leader.agreed(plan)
        group.note_iteration(iteration, last, plan, now_ns)
        leader.answer(staged)
        if plan.leave:
            group.leave()
            return None
        if taking_part[0] == 0:  # after its answers: what is left of them keeps it from resting
            operations.insert(0, leader.next_step() if plan.forward else leader.next_wait())
            rests.insert(0, leader.rests_until_ns)
        if not self._jump:
            for place, index in enumerate(taking_part):
                if phases[index].has_open():
                    rests[place] = 0
        if plan.forward is not last.forward and len(taking_part) < len(phases):
            taking_part = self._turn(group, taking_part, operations, rests, plan)
        group.await_next(taking_part, operations)
        offers.rest(taking_part, rests)
        if staged and taking_part[0] != 0:
            offers.put_off(0, leader.until_ns())
        first: Operation = operations[0]
        return first

    def _turn(
        self,
        group: VirtualGroup,
        there: list[int],
        operations: list[Any],
        rests: list[int],
        plan: Plan,
    ) -> list[int]:
        """The group goes from steps to waits or back: so do those that rest. Returns all members,
        in the order of what they await."""
        phases, offers = group.phases, group.offers
        assert phases is not None
        assert group.plan is not None
        others = group.left_out(set(there), None)
        for index in others:
            one = phases[index]
            one.go_on(offers.steps(index), group.iteration + 1, group.plan)
            operations.append(one.turn(plan))
            rests.append(one.rests_until_ns)
        return there + others

    def _join(
        self, group: VirtualGroup, whom: Collection[int] | None, there: list[int], told: Any
    ) -> list[int]:
        """Quiet members take part after all, up to the sync. Returns who takes part then.

        Raises:
            AdpkvError: one says something other than what it had announced.
        """
        phases, offers = group.phases, group.offers
        assert phases is not None
        assert group.plan is not None
        found = set(there)
        for index in group.left_out(found, whom):
            one = phases[index]
            one.go_on(offers.steps(index), group.iteration + 1, group.plan)
            one.group_input = told
            one.observe()
            status = one.fresh_status()
            if status != offers.quiet[index]:
                of, iteration = group.instance.index, group.iteration + 1
                at = Collective(of, "tp_allgather", "sync", iteration, group.plan, status)
                raise group.differs(index, at, at, offers.quiet[index])
            found.add(index)
        return sorted(found)
