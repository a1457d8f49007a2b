"""Which members of a group take part in an iteration: those that something concerns as it begins;
then those that its plan concerns, and those that have something else to say now of the requests
that wait, where ranks say what they know.

Where a run jumps over quiet stretches, the group decides by what its members offered. Else each
member that has input, or work in the step that ends, takes part; and the others decide by what they
are, not by what they offered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from adpkv.core.plan import Plan
from adpkv.core.topology import Kind
from adpkv.executor.collectives import Step
from adpkv.worlds.virtual.group import VirtualGroup

__all__ = ["Concern"]


class Concern:
    """Answers for all groups. `says_cached` are the kinds of instances whose ranks say what they
    know of the requests that wait, and whether they say it of each iteration's input too."""

    __slots__ = ("_says_cached",)

    def __init__(self, says_cached: Mapping[Kind, bool]) -> None:
        self._says_cached = says_cached

    def taking_part(self, group: VirtualGroup, now_ns: int, *, jump: bool) -> list[int]:
        """The members that take part in the iteration that begins now, in order."""
        everybody, offers, phases = range(len(group.members)), group.offers, group.phases
        if offers.current[0] is None or self._asks_all(group):
            return list(everybody)
        if jump:
            return group.concerned(now_ns)
        if phases is None:
            return list(everybody)
        some = offers.restless | group.awake
        return [
            index
            for index, until_ns in enumerate(offers.rests_until)
            if until_ns <= now_ns or not index or index in some
        ]

    def _asks_all(self, group: VirtualGroup) -> bool:
        """Whether each member says what it knows of the input of the iteration that begins."""
        if not self._says_cached.get(group.instance.kind):
            return False
        return 0 in group.awake or group.offers.quiet[0] is None

    def whom(self, group: VirtualGroup, plan: Plan, now_ns: int) -> Collection[int] | None:
        """The places in the instance of those that a new plan concerns; None: all. From steps to
        waits or back it concerns all; but those that rest need no more than `Phases.turn`."""
        whom, phases = plan.concerned(), group.phases
        if whom is None:
            return None
        before = group.plan
        queued = plan.waiting.count or (before is not None and before.waiting.count)
        if plan.forward is not (type(group.offers.current[0]) is Step):
            if phases is None or queued:
                return None
            rests = group.offers.rests_until
            return {0, *whom, *[at for at, until_ns in enumerate(rests) if until_ns <= now_ns]}
        if queued and group.instance.kind in self._says_cached:
            # Each says what it knows of those that wait now.
            if phases is None:
                return None
            return {*whom, *[at for at, one in enumerate(phases) if one.has_to_say(plan)]}
        return whom
