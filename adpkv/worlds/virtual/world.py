"""Virtual time: runs all rank programs in one thread, and jumps from event to event.

When all ranks of a group are in the same collective, the group goes on. Small collectives take no
time by themselves: their cost is added to the step or wait that ends their iteration, so that an
iteration happens at one instant. That makes jumping over quiet stretches exact: whatever arrives,
arrives between two iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.inbox_age import InboxAges
from adpkv.core.plan import Plan
from adpkv.core.topology import Kind, Topology
from adpkv.diagnosis.rank_knowledge import RankKnowledge
from adpkv.errors import (
    DeadlockError,
    HostLostError,
    LivelockError,
    Place,
    StuckError,
)
from adpkv.executor.collectives import (
    WORLD,
    Collective,
    CollectiveCounts,
    Operation,
    Receive,
    Step,
    Wait,
)
from adpkv.executor.messages import HOST, instance_failed
from adpkv.executor.phases import Phases
from adpkv.worlds.virtual.concern import Concern
from adpkv.worlds.virtual.coordinator import VirtualHost
from adpkv.worlds.virtual.course import Completed
from adpkv.worlds.virtual.event_queue import GROUP_WAKE, EventQueue
from adpkv.worlds.virtual.group import VirtualGroup, forget
from adpkv.worlds.virtual.iteration import Iteration
from adpkv.worlds.virtual.mailbox import Latency, Post
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.paused_groups import NOTICE_NS, PausedGroups
from adpkv.worlds.virtual.places import Program, agreed
from adpkv.worlds.virtual.stretch import StepStretch
from adpkv.worlds.virtual.stuck import deadlock, livelock

__all__ = ["VirtualWorld"]

MOST_ROUNDS_AT_ONE_INSTANT: Final = 10_000
"""Collectives of one group in which no time passes and nothing is computed; more are a livelock.
The longest legal iteration has four. Where steps cost no time, a whole answer may be decoded at one
instant, which is progress and does not count."""


class VirtualWorld:
    """Performs what rank programs and the coordinator await.

    Args:
        topology: the instances and their ranks.
        pace: how long steps, waits and collectives take.
        mail_latency_ns: the latency of a message, or of one from a sender to a receiver.
        hang_ns: a group that waits longer than this for one of its members is a deadlock.
        queue: an empty queue of events that makes choices (`schedule.ScheduledQueue`).
        says_cached: the kinds of instances whose ranks say what they know of the requests that
            wait, and whether they say it of each iteration's input too.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        pace: Pace,
        mail_latency_ns: int | Latency,
        hang_ns: int = NEVER,
        queue: EventQueue | None = None,
        says_cached: Mapping[Kind, bool] | None = None,
    ) -> None:
        self.topology = topology
        self.queue = EventQueue() if queue is None else queue
        self.post = Post(self.queue, mail_latency_ns, self.arrival)
        self._pace = pace
        self.groups: list[VirtualGroup] = []
        self._concern = Concern(says_cached or {})
        self._iteration = Iteration(self._concern.whom, jump=pace.jump)
        self._group_of = [one.index for one in topology.instances for _ in one.members]
        self._joined: set[int] = set()
        """The groups whose members all are in the collective of the whole job."""
        self._host: VirtualHost | None = None
        self._results: list[Any] = [None] * topology.ranks
        self._left = 0
        self._wake: Callable[[tuple[VirtualGroup, int]], None] = self._woken
        """Made once: a method is a new object whenever it is asked for."""
        self._paused_groups = PausedGroups(
            self.queue,
            hang_ns,
            self._complete_iteration,
            self._deadlock,
            self._failed_at,
            self._failure_noticed,
            pace.timeline,
        )
        self._inbox_ages: list[InboxAges | None] = [None] * topology.ranks
        self.knowledge_of: Callable[[int, Operation | None], RankKnowledge] | None = None
        """Returns what a rank that awaits this operation knows; called when the ranks are stuck."""
        self.handle_peer_failure: Callable[[int], None] | None = None
        """Called for each rank failure when the survivors notice it, before they go on."""

    def watch_inbox(self, rank: int, inbox_ages: InboxAges) -> None:
        """Watch how long a rank leaves its messages unread."""
        self._inbox_ages[rank] = inbox_ages
        self.post.box(rank).inbox_age = inbox_ages.messages

    def excuse(self, rank: int, until_ns: int) -> None:
        """A fault keeps a rank, and with it its whole group, from reading input until then. Input
        that waits meanwhile is not counted as left unread."""
        for member in self.topology.instance_of(rank).members:
            inbox_ages = self._inbox_ages[member]
            if inbox_ages is not None:
                inbox_ages.excuse(self.queue.now, until_ns)

    def counts(self, rank: int) -> CollectiveCounts:
        """What was counted of a rank's collectives so far. There is no trace digest: a quiet rank
        is left out of some collectives, and each is compared by value anyway."""
        group = self.groups[self._group_of[rank]]
        count = group.collectives
        gaps = group.gaps if group.members and group.members[0] == rank else None
        return CollectiveCounts(count, count * self._pace.collective_ns(group), 0, gaps=gaps)

    def run(
        self,
        programs: Sequence[Program],
        coordinator: Coroutine[Receive, Any, None] | None = None,
        watch: Callable[[], None] | None = None,
        watch_every: int = 1,
        phases: Sequence[Phases | None] = (),
    ) -> list[Any]:
        """Run every program to its end; returns their results by rank.

        Args:
            programs: one per world rank.
            phases: those of each program, as far as they are known (`iteration.known_phases`).
            coordinator: the coordinator's program, if any.
            watch: called after each `watch_every` events, for progress and signals; it may call
                `interrupt`.

        Raises:
            CollectiveMismatchError: ranks of a group are in different collectives.
            DeadlockError: no rank can go on, and nothing will arrive.
            LivelockError: a group repeats collectives, and time does not advance.
            HostLostError: rank 0 has failed, and the coordinator with it.
        """
        try:
            self._begin(programs, phases)
            self._run(coordinator, watch, watch_every)
        except StuckError as error:
            from adpkv.worlds.virtual.snapshot import collect  # most runs need none of it

            at_ns, waits = self.queue.now, self._host is not None and self._host.waits
            error.evidence = collect(
                self.groups, error, at_ns, self.knowledge_of, coordinated=waits
            )
            raise
        finally:
            forget(self.groups, self.queue, self._host)
        return self._results

    def _begin(self, programs: Sequence[Program], phases: Sequence[Phases | None]) -> None:
        self.groups = [
            VirtualGroup(
                instance,
                [programs[rank] for rank in instance.members],
                [phases[rank] for rank in instance.members] if phases else (),
            )
            for instance in self.topology.instances
        ]

    def _run(
        self,
        coordinator: Coroutine[Receive, Any, None] | None,
        watch: Callable[[], None] | None,
        watch_every: int,
    ) -> None:
        if coordinator is not None:
            self._host = VirtualHost(self.queue, self.post, coordinator)
            self._host.start()
        for group in self.groups:
            self._go_on(group)
        queue, ranks, unwatched = self.queue, self.topology.ranks, watch_every
        while self._left < ranks:
            if not queue.outside and self._is_stuck():
                raise self._deadlock("no rank can go on")
            unwatched -= queue.run(unwatched)
            if not unwatched and self._left < ranks:
                unwatched = watch_every
                if watch is not None:
                    watch()

    # -- collectives ------------------------------------------------------------------------------

    def _go_on(self, group: VirtualGroup) -> None:
        """One iteration: resume those who take part until they come to a step or a wait."""
        now_ns = self.queue.now
        taking_part = self._concern.taking_part(group, now_ns, jump=self._pace.jump)
        group.clear_arrivals()
        if group.phases is None or group.iteration == 0:
            self._complete_iteration(group, taking_part, group.begin(taking_part), [])
        elif (first := self._iteration.make(group, taking_part, now_ns)) is not None:
            self._begin_stretch(group, first)
        else:
            self._complete_last_collective(group)

    def _complete_iteration(
        self,
        group: VirtualGroup,
        taking_part: list[int],
        operations: list[Any],
        completed: Completed,
    ) -> None:
        """The members that take part await `operations`; `completed` are the collectives of this
        iteration so far."""
        now_ns, everybody = self.queue.now, len(group.members)
        while True:
            first = agreed(operations)
            if type(first) is not Collective:
                break
            if first.group == WORLD:
                group.await_the_world(operations)
                self._complete_last_collective(group)
                return
            leader, others = group.outcome(first, taking_part, operations)
            completed.append((first, others))
            group.note(first, now_ns)
            if type(others) is Plan and len(taking_part) < everybody:
                whom = self._concern.whom(group, others, now_ns)
                if whom is None or whom:
                    taking_part = group.join(whom, taking_part, completed)
            if len(completed) > MOST_ROUNDS_AT_ONE_INSTANT:
                raise self._livelock(group, len(completed))
            operations = group.resumed(taking_part, leader, others)
        if first is None:
            self._paused_groups.begin(
                group, group.bring_all(taking_part, operations, completed), completed
            )
            return
        group.await_next(taking_part, operations)
        self._begin_stretch(group, first)

    def _complete_last_collective(self, last: VirtualGroup) -> None:
        """Perform the collective of the whole job, with which all programs end, once every group
        has come to it. `last` is the group that has just come."""
        self._joined.add(last.instance.index)
        if len(self._joined) < len(self.groups):
            return
        operations = [operation for group in self.groups for operation in group.current]
        if not operations:
            return  # all ranks have failed
        first: Any = operations[0]
        payloads = tuple([operation.payload for operation in operations])
        result = payloads if first.combine is None else first.combine(payloads)
        for group in self.groups:
            for rank, value in zip(group.members, group.end(result), strict=True):
                self._results[rank] = value
                self._leaves()

    # -- time ----------------------------------------------------------------------------------

    def _begin_stretch(self, group: VirtualGroup, first: Operation) -> None:
        now_ns = self.queue.now
        offers = group.offers
        until_ns, quiet = offers.until_ns, not (group.end_iteration() or offers.restless)
        if type(first) is Wait:
            group.note_wait(first, now_ns)
        else:
            group.note(first, now_ns)
        stretch = self._pace.begin(group, first, now_ns, quiet=quiet)
        wake_ns = self._pace.end(stretch, until_ns, quiet=quiet)
        course = group.course
        course.begin(
            stretch,
            moves=wake_ns > now_ns or (type(first) is Step and offers.computes()),
            idle=wake_ns >= NEVER or (quiet and until_ns == NEVER and type(first) is Wait),
        )
        if course.stalled > MOST_ROUNDS_AT_ONE_INSTANT:
            raise self._livelock(group, course.stalled)
        self._plan_wake(group, wake_ns)
        if group.awake:
            # It arrived while the group was paused, for a member that had already read its input.
            self.arrival(group.members[min(group.awake)])
            for index in sorted(group.awake):
                inbox_ages = self._inbox_ages[group.members[index]]
                if inbox_ages is not None:
                    inbox_ages.delay(now_ns, course.wake_ns - now_ns)

    def _plan_wake(self, group: VirtualGroup, wake_ns: int) -> None:
        version = group.course.wake_at(wake_ns)
        if wake_ns < NEVER:
            index = group.instance.index
            self.queue.add(wake_ns, GROUP_WAKE, index, version, self._wake, (group, version))

    def _woken(self, what: tuple[VirtualGroup, int]) -> None:
        group, version = what
        course = group.course
        if version != course.version:
            return
        course.end()
        now_ns, stretch, debt, steps = self.queue.now, course.stretch, group.pay(), 0
        if isinstance(stretch, StepStretch):
            steps = stretch.end(now_ns)[0]
            group.stepped(stretch, steps, debt, now_ns)
        self._pace.ended(group, now_ns, steps)
        self._go_on(group)

    def arrival(self, rank: int) -> None:
        """Something arrived for a rank (a message, or a transfer's end): this ends its group's
        stretch."""
        if rank == COORDINATOR:
            if self._host is not None:
                self._host.wake()
            return
        group = self.groups[self._group_of[rank]]
        index = group.index.get(rank)
        if index is None:
            return  # it has failed
        course = group.course
        if not course.open:
            if course.paused is not None:
                self._paused_groups.arrival(group, rank)
            return
        group.note_arrival(index)
        now_ns, stretch = self.queue.now, course.stretch
        assert stretch is not None
        # Further input is read at the step boundary that the first one has set.
        if not (course.has_input and isinstance(stretch, StepStretch)):
            course.arrived()
            if isinstance(stretch, StepStretch):
                at_ns = stretch.end(now_ns)[1]
            else:
                at_ns = stretch.arrival(now_ns)
            if at_ns < course.wake_ns:
                self._plan_wake(group, at_ns)
        inbox_ages = self._inbox_ages[rank]
        if inbox_ages is not None:
            inbox_ages.postpone(now_ns, course.wake_ns)

    def _failed_at(self, rank: int) -> None:
        self.excuse(rank, self.queue.now + NOTICE_NS)
        if rank == HOST and self._host is not None:
            self._host.stop()

    def _failure_noticed(self, rank: int, last: Place) -> None:
        """A failure is noticed. Where a whole instance has failed, its host tells the
        coordinator."""
        self._leaves()
        if self.handle_peer_failure is not None:
            self.handle_peer_failure(rank)
        if self._host is not None and rank == HOST:
            raise HostLostError(rank, last)
        group = self.groups[self._group_of[rank]]
        if group.members:
            return
        if self._host is not None:
            self.post.carry(HOST, COORDINATOR, instance_failed(rank, group.instance))
        group.await_the_world([])
        self._complete_last_collective(group)

    def _leaves(self) -> None:
        """A rank has left, or has failed."""
        self._left += 1
        if self._left == self.topology.ranks:
            self.queue.halt()

    def interrupt(self) -> None:
        """End every group's stretch, because of an event outside the simulation: a signal."""
        for rank in range(self.topology.ranks):
            self.arrival(rank)

    # -- where all ranks are -------------------------------------------------------------------

    def _is_stuck(self) -> bool:
        """Nothing can arrive any more. Does every group wait for just that?"""
        return all(group.course.idle or not group.course.open for group in self.groups)

    def _deadlock(self, why: str, group: int | None = None) -> DeadlockError:
        return deadlock(why, group, self.groups, self._host, self.queue.now)

    def _livelock(self, group: VirtualGroup, rounds: int) -> LivelockError:
        return livelock(group, rounds, self.groups, self._host, self.queue.now)
