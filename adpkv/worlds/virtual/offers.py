"""What the members of a group offer for the steps or waits to come, as columns.

A member that nothing concerns stays where it is, so its offer holds for many iterations. Only the
members that took part in an iteration write new ones. The columns then answer what a group asks
after each iteration without a look at each member's operation. A step's cost is kept as a line over
all steps of the group, not over those since the member came: so nothing moves as steps are made.
"""

from __future__ import annotations

from typing import Any

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Step, Wait
from adpkv.worlds.virtual.stretch import Columns, lines_of

__all__ = ["Offers"]


class Offers:
    """The step or wait that each member awaits. Lists are by member."""

    __slots__ = (
        "_bases", "_ends", "_fresh", "_new", "_slopes", "_tokens", "_until", "came",
        "current", "made", "quiet", "restless", "rests_until", "tokens", "until_ns",
    )  # fmt: skip

    def __init__(self, members: int) -> None:
        self.current: list[Any] = [None] * members
        """The step or wait that each member awaits."""
        self.made = 0
        """Steps of the group so far."""
        self.came = [0] * members
        """How many steps the group had made when the member came there."""
        self.quiet: list[Any] = [None] * members
        """Each member's `quiet_status`. In an iteration, what it says in that."""
        self._new = [*range(members)]
        """Members whose status may be another than at the last sync."""
        self.restless: set[int] = set()
        """Those that have none: they take part in the next iteration."""
        self.rests_until = [0] * members
        """Each member's `rests_until_ns`, where its phases are known and it may rest; else 0."""
        self.until_ns = NEVER
        """When something is due for one of them."""
        self.tokens = 0
        """The tokens that clients get with each step."""
        self._until = [NEVER] * members
        self._ends = [NEVER] * members
        """With how many steps of the group the member's last one is made."""
        self._bases = [0] * members
        """What the group's step 0 would have cost, in ticks; `_slopes`: how much more each next."""
        self._slopes = [0] * members
        self._tokens = [0] * members
        self._fresh: list[Any] = []
        """The last offers, in order of members."""

    def renew(self, there: list[int], operations: list[Any]) -> None:
        """At the end of an iteration, the members that took part await these steps or waits."""
        current, quiet, until, came = self.current, self.quiet, self._until, self.came
        bases, slopes, ends, tokens = self._bases, self._slopes, self._ends, self._tokens
        restless, made = self.restless, self.made
        if restless:
            restless.difference_update(there)
        steps = type(operations[0]) is Step
        step: Step
        wait: Wait
        for place, index in enumerate(there):
            current[index] = operations[place]
            came[index] = made
            if not steps:
                wait = operations[place]
                until[index], status = wait.until_ns, wait.quiet_status
            else:
                step = operations[place]
                until[index], status = step.until_ns, step.quiet_status
                slope = slopes[index] = step.slope
                bases[index] = step.base - made * slope if slope else step.base
                ends[index] = made + step.most
                if step.tokens != tokens[index]:
                    self.tokens += step.tokens - tokens[index]
                    tokens[index] = step.tokens
            quiet[index] = status
            if status is None:
                restless.add(index)
        self._fresh = operations
        self.until_ns = min(until)

    def renewed(self, there: list[int]) -> list[int]:
        """The members whose status may be another than at the last sync, with those that take part
        in this one. For groups whose phases are known."""
        return [*self._new, *there]

    def rest(self, there: list[int], until: list[int]) -> None:
        """Until when each of these members rests, all that have come anew."""
        self._new, rests_until = there, self.rests_until
        for place, index in enumerate(there):
            rests_until[index] = until[place]

    def put_off(self, index: int, until_ns: int) -> None:
        """This member goes on to await what it does, and nothing is due for it until then."""
        self._until[index] = until_ns
        self.until_ns = min(self._until)

    def await_the_world(self, operations: list[Any]) -> None:
        """All members await the collective with which the job ends."""
        self.current = operations

    def advance(self, steps: int) -> None:
        """The group has made these steps."""
        self.made += steps

    def remove(self, index: int) -> None:
        """A member has failed. The others come anew, all of them."""
        for column in (
            self.current, self.came, self.quiet, self._until, self._ends, self._bases,
            self._slopes, self._tokens, self.rests_until,
        ):  # fmt: skip
            del column[index]
        self.restless.clear()
        self.tokens = sum(self._tokens)
        self.until_ns = min(self._until, default=NEVER)
        self._fresh = []

    def ahead(self) -> tuple[Any, ...]:
        """All that decides what comes: counted from now, not from the group's first step. What the
        columns hold of steps is of the past while members wait: all come anew to the next step."""
        at = (self.current, [self.made - came for came in self.came], self.quiet)
        due = (self.restless, self._until, self.until_ns)
        if type(next(iter(self.current), None)) is not Step:
            return (*at, *due)
        left = [end - self.made for end in self._ends]
        return (*at, *due, left, lines_of(self.columns()), self._tokens)

    def steps(self, index: int) -> int:
        """The steps since a member came there."""
        return self.made - self.came[index]

    def ends(self) -> list[int]:
        """With how many steps of the group each member's last one is made. Read only; of the past
        while members wait."""
        return self._ends

    def most(self) -> int:
        """How many steps in a row the batches of all members allow."""
        return min(self._ends) - self.made

    def computes(self) -> bool:
        """Whether any member has something to compute in the step that it awaits."""
        return any(at.computes for at in self.current)

    def waited(self) -> tuple[int, ...]:
        """Of the requests that are new to a batch, how long they have had their first token."""
        found: tuple[int, ...] = ()
        step: Step
        for step in self._fresh:
            if step.waited:
                found += step.waited
        return found

    def limit_ns(self) -> int:
        """How long the members wait at most: the smallest of their limits."""
        found = NEVER
        wait: Wait
        for wait in self.current:
            if wait.limit_ns < found:
                found = wait.limit_ns
        return found

    def columns(self) -> Columns:
        """What each member's next steps cost, as it is kept."""
        return self._bases, self._slopes, self.made

    def due(self, now_ns: int) -> set[int]:
        """The members that are not quiet, have something due, or have made their last step."""
        found = set(self.restless)
        if self.until_ns <= now_ns:
            found.update([i for i, until_ns in enumerate(self._until) if until_ns <= now_ns])
        if type(self.current[0]) is Step:
            # A stretch ends with the first last step: nobody's is behind it.
            place, ends, made = -1, self._ends, self.made
            for _ in range(ends.count(made)):
                place = ends.index(made, place + 1)
                found.add(place)
        return found
