"""The phases of one iteration, one method each. `adpkv/field_policies` overrides single methods.

Only the async phases have collectives, and every rank joins all of them in the same order, also if
it has nothing to contribute (contract 5.1). What a rank does by itself is in `executor.local_work`:
before each collective and after it too, so that a world which has all ranks of a group in one
process can do without the awaits between (`worlds.virtual.iteration`).
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.core.plan import Plan
from adpkv.core.report import RankReport, diverging_traces, of_ranks
from adpkv.core.stop import StopReason
from adpkv.errors import RankLostError
from adpkv.executor.collectives import (
    NO_WORK,
    WORLD,
    Collective,
    CollectiveCounts,
    Elapsed,
    Step,
    Wait,
)
from adpkv.executor.local_work import LocalWork
from adpkv.executor.messages import failure_detail
from adpkv.executor.rank import Rank
from adpkv.executor.succession import shrink_group
from adpkv.subclassing import mypyc_attr

__all__ = ["Phases"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Phases(LocalWork):
    """What a rank does in each phase. `executor.loop` calls them in their order."""

    __slots__ = ("rests_until_ns",)

    def __init__(self, rank: Rank, counts: Callable[[], CollectiveCounts]) -> None:
        super().__init__(rank, counts)
        self.rests_until_ns = 0
        """In virtual time: an iteration that begins before would do nothing here, if no input has
        come. Then this rank has no part in the step or wait that it awaits. What it has open it
        need not look at only where the world wakes it for that (`has_open`)."""

    async def intake(self) -> None:
        """The leader broadcasts the coordinator's messages to its group."""
        rank = self.rank
        rank.iteration += 1
        if rank.leader is not None:
            self.take_input()
        self.group_input = await Collective(
            self._group, "tp_broadcast", "intake", rank.iteration, rank.plan, self.group_input
        )

    async def sync(self) -> Plan:
        """All ranks gather their statuses and make the same plan from them."""
        status, rank = self.fresh_status(), self.rank
        plan: Plan = await Collective(
            self._group,
            "tp_allgather",
            "sync",
            rank.iteration,
            rank.plan,
            status,
            self.combine,
        )
        self.agreed(plan)
        return plan

    async def flush(self) -> None:
        """Gather the staged responses on the leader. A rank without responses joins the gather with
        an empty list (contract 5.1, 5.3)."""
        rank = self.rank
        staged = rank.responses.take()
        try:
            gathered = await Collective(
                self._group, "tp_gather", "flush", rank.iteration, rank.plan, staged
            )
        except RankLostError:
            for response in staged:
                rank.responses.stage(response)
            raise
        if rank.leader is not None:
            self.answer(gathered)

    async def step(self) -> None:
        """One forward step of the group, with a dummy batch if this rank has no work."""
        elapsed: Elapsed = await self.next_step()
        self.go_on(elapsed.steps, elapsed.iteration, elapsed.plan)

    async def wait(self) -> None:
        """No step runs: the group waits, for a limited time, for input for any member (5.6)."""
        elapsed: Elapsed = await self.next_wait()
        self.go_on(elapsed.steps, elapsed.iteration, elapsed.plan)

    # -- what a step or a wait begins and ends with ---------------------------------------------

    def next_step(self) -> Step:
        """This rank's part of the step that begins now."""
        rank, clock, next_batch = self.rank, self._clock, self._next_batch
        owner = rank.owner
        self._began_ns = began_ns = clock()
        batch, most, tokens, waited, more = next_batch(began_ns)
        self._batch = batch
        base, slope = self._model.line(batch)
        slope += more
        # Not the step itself: it knows this object, and is exempt from cycle collection.
        self._costs = base, slope
        computes, quiet = batch is not NO_WORK, self.is_quiet()
        self.rests_until_ns = self._rests_until_ns() if quiet and not computes else 0
        return Step(
            self._group,
            "step",
            "forward",
            rank.iteration,
            rank.plan,
            base,
            slope,
            most,
            self._wake_ns if rank.leader is None else self.until_ns(),
            self._run,
            self._status if quiet else None,
            owner.compared(batch) if owner.shared else None,
            # By the object: a compiled tuple is copied, and no copy is another tuple itself.
            computes,
            tokens,
            waited,
            batch,
        )

    def next_wait(self) -> Wait:
        """How long this rank lets its group wait now."""
        rank = self.rank
        limit_ns, quiet = self._waits()
        self._costs = None
        self.rests_until_ns = self._rests_until_ns() if quiet else 0
        return Wait(
            self._group,
            "wait",
            "wait",
            rank.iteration,
            rank.plan,
            limit_ns,
            self._wake_ns if rank.leader is None else self.until_ns(),
            self._status if quiet else None,
        )

    def go_on(self, steps: int, iteration: int, plan: Plan) -> None:
        """The step or wait is over, after so many steps. In virtual time the group may have made
        several iterations since: this is where it is now."""
        rank, costs = self.rank, self._costs
        rank.iteration, rank.plan = iteration, plan
        if costs is None:
            return
        if self._ran_ns < 0:  # virtual time: the k-th of these steps took base + k * slope
            base, slope = costs
            own_ticks = steps * base
            if slope:
                own_ticks += slope * (steps * (steps - 1) // 2)
        else:
            own_ticks, self._ran_ns = self._ran_ns * self._model.ticks_per_ns, -1
        clock, computed = self._clock, self._computed
        now_ns = clock()
        self._meter.stepped(steps, now_ns - self._began_ns, own_ticks)
        done = computed(steps)
        if done:
            self._moved = True
            for request in done:
                self._serving.finish(request, now_ns)

    def _rests_until_ns(self) -> int:
        """When something is due on this quiet rank; 0 if it has anything at which it looks again in
        each iteration."""
        if self._status.work or self._pending or self._odd or self._transceiver.monitor.reasons:
            return 0
        wake_ns, sample_ns = self._wake_ns, self._sampler.due_ns
        return wake_ns if wake_ns < sample_ns else sample_ns

    def has_open(self) -> bool:
        """Whether a transfer of this rank is in flight, or it has a request: then its input is not
        all that it looks at, and `rests_until_ns` takes it for granted that the input comes."""
        return bool(self._transceiver.book.in_flight or self._serving.requests)

    def turn(self, plan: Plan) -> Step | Wait:
        """In virtual time: the group goes from steps to waits or back by this plan, which concerns
        this rank in nothing else, and it rests. Returns what it awaits then."""
        self.rank.plan = plan
        return self.next_step() if plan.forward else self.next_wait()

    # -- when a rank fails, and at the end ------------------------------------------------------

    async def survive(self, lost: RankLostError) -> None:
        """A rank of the group has failed, and broke an iteration.

        Nothing of that iteration is lost: messages without an agreed plan are broadcast again, and
        responses that were not gathered stay staged. The first of the others leads the group. They
        propose to stop (contract 6.5), or go on if the experiment says so; then the coordinator
        deals with the failed rank's requests (`core.rank_failure`).
        """
        if shrink_group(self.rank, lost, self.group_input):
            self.group_input = ()
        self.forget()
        self._moved = True
        if not self.rank.succession.shrinks:
            why = failure_detail(lost.rank, self.rank.instance)
            self.propose(StopReason(lost.exit_code, why))

    async def leave(self) -> tuple[RankReport, ...]:
        """All ranks leave after the same iteration. Returns the reports of all ranks of the job,
        from which each computes the same exit code."""
        self._sampler.last(self.rank)
        self.rank.serving.leave()
        reports: tuple[RankReport, ...] = await Collective(
            WORLD, "world_allgather", "leave", 0, None, self.report(), tuple
        )
        if self.rank.leader is not None:
            for violation in diverging_traces(of_ranks(reports, self.rank.instance.members)):
                self.rank.ports.recorder.violation(violation)
        return reports
