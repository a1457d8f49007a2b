"""Ranks as threads that pass one baton: only the rank that has it runs.

Threads and not coroutines, because the program is as it is: it blocks in the middle of a call. The
threads are kept from one schedule to the next. The thread that calls `run` watches: it ends a rank
that holds the baton for longer than the real-time bound.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from adpkv.errors import UnendingRankError
from adpkv.rank_programs.driver import GRACE_SECONDS, MAIN, MOST_SECONDS, Around, Program, Swapped
from adpkv.rank_programs.failure import Failure, Stop, What
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Collective, Operation, Wait
from adpkv.rank_programs.rank_ends import end_with, stuck
from adpkv.rank_programs.unending import end_job, unending
from adpkv.rank_programs.world import Combine, World

__all__ = ["Threads"]


class Threads:
    """The threads of a program's ranks."""

    def __init__(self, size: int, most_seconds: float = MOST_SECONDS) -> None:
        self.size = size
        self.most_seconds = most_seconds
        self._locks = [threading.Lock() for _ in range(size)]
        self._main = threading.Lock()
        for lock in (*self._locks, self._main):
            lock.acquire()
        self._threads: list[threading.Thread] = []
        self._by_ident: dict[int, int] = {}
        self._closed = False
        self._over: set[int] = set()
        """The ranks whose programs are over, and do not stand somewhere."""
        self._left: set[int] = set()
        """The ranks that did not end when they were told to."""
        self._world: World | None = None
        self._body: Program | None = None
        self._swapped: Swapped | None = None
        self._stopping = False
        self._holder = MAIN

    # -- what the outside calls ----------------------------------------------------------------

    def run(
        self,
        world: World,
        program: Program,
        swapped: Swapped,
        look: Callable[[World], None],
        around: Around | None = None,
    ) -> None:
        """Perform one schedule (`Driver.run`)."""
        self._start()
        self._world, self._swapped = world, swapped
        self._body = program
        if around is not None:
            self._body = lambda rank: around(rank, lambda: program(rank))
        self._stopping, self._holder = False, MAIN
        self._over.clear()
        world.on_gone = self._gone
        self._main.acquire(blocking=False)
        try:
            self._give(MAIN, world.next_rank(0))
            try:
                self._wait_for_the_end(world)
            except BaseException:
                # Ctrl-C, or the limit of a test: no rank stays behind.
                world.failure = Failure(What.HANG, self._holder, message="when it was interrupted")
                with contextlib.suppress(UnendingRankError):
                    self._end_all(world)
                raise
            try:
                if world.failure is not None:
                    self._keep_frames(world)
                    look(world)
            finally:
                self._end_all(world)
        finally:
            for rank in world.ranks:
                rank.frames = []
            if self._holder != MAIN:
                swapped.swap(self._holder, MAIN)
            self._world = self._body = self._swapped = None

    def close(self) -> None:
        """End the threads, all but those that do not end."""
        self._closed = True
        for number, (lock, thread) in enumerate(zip(self._locks, self._threads, strict=False)):
            if number not in self._left and lock.locked():
                lock.release()
                thread.join(GRACE_SECONDS)

    def rank_here(self) -> Rank | None:
        """The rank whose thread this is; None outside, and where no schedule runs."""
        world = self._world
        if world is None:
            return None
        number = self._by_ident.get(threading.get_ident())
        return None if number is None else world.ranks[number]

    def now_ns(self) -> int:
        """Virtual time."""
        return 0 if self._world is None else self._world.clock_ns

    @property
    def world(self) -> World:
        """The schedule that is performed. Raises Stop where there is none."""
        return self._running()

    # -- what a rank calls, holding the baton --------------------------------------------------

    def pause(self, rank: Rank, *, polling: bool = False) -> None:
        """A place where another rank may go on instead. With `polling` the rank has asked in
        vain."""
        if polling:
            self.tick(rank)
        world = self._running()
        chosen = world.next_rank(rank.number, polling=polling)
        if chosen is not None and chosen != rank.number:
            self._switch(rank.number, chosen)

    def tick(self, rank: Rank) -> None:
        """Time passes for a rank that reads the clock, or has polled in vain."""
        world = self._running()
        try:
            world.poll(rank.number)
        except Stop:
            self._failed(rank.number)

    def arrive(
        self, rank: Rank, group: Group, operation: Operation, payload: Any, combine: Combine
    ) -> Collective:
        """The rank comes to its next position of the group (`World.arrive`)."""
        world = self._running()
        try:
            return world.arrive(rank, group, operation, payload, combine)
        except Stop:
            if not self._stopping:  # else it was killed here, and is ended now
                self._failed(rank.number)
            raise

    def wait(self, rank: Rank, on: Wait, what: str, deadline_ns: int = 0) -> bool:
        """Wait until it is done; False if the deadline came first."""
        if on.done:
            return on.torn < 0 or not self._running().torn(rank, on)
        world = self._running()
        rank.on, rank.what, rank.deadline_ns = on, what, deadline_ns
        if world.gone:
            world.tell(rank, on)
        chosen = world.next_rank(rank.number)
        if chosen is None:
            world.failure = world.failure or stuck(world)
            self._failed(rank.number)
        elif chosen != rank.number:
            self._switch(rank.number, chosen)
        rank.on, rank.deadline_ns = None, 0
        return on.done and (on.torn < 0 or not world.torn(rank, on))

    def refuse(self, rank: Rank) -> None:
        """The rank gets an error because one is gone (`World.refuse`)."""
        world = self._running()
        try:
            world.refuse(rank)
        except Stop:
            self._failed(rank.number)

    def fail(self, rank: Rank, failure: Failure) -> NoReturn:
        """End the schedule with this failure, which the rank has found. Does not return."""
        world = self._running()
        world.failure = world.failure or failure
        self._failed(rank.number)

    def _gone(self, rank: Rank) -> NoReturn:
        """The rank's process is gone: its thread stands still, and nothing of its program runs
        before the schedule is over."""
        world = self._running()
        chosen = world.next_rank(rank.number)
        if chosen is None and world.failure is None and not all(r.ended for r in world.ranks):
            world.failure = stuck(world)
        self._give(rank.number, chosen)
        self._sleep(rank.number)
        raise Stop

    def _running(self) -> World:
        if self._stopping or self._world is None:
            raise Stop
        return self._world

    # -- the baton -----------------------------------------------------------------------------

    def _give(self, old: int, new: int | None) -> None:
        if new is None:
            self._main.release()
            return
        world = self._world
        assert world is not None
        world.switches += 1
        swapped = self._swapped
        assert swapped is not None
        swapped.swap(old, new)
        self._holder = new
        self._locks[new].release()

    def _switch(self, old: int, new: int) -> None:
        self._give(old, new)
        self._sleep(old)

    def _sleep(self, number: int) -> None:
        self._locks[number].acquire()
        if self._stopping:
            raise Stop

    def _failed(self, number: int) -> NoReturn:
        """Leave the baton to the main thread, and stand still until it has looked."""
        self._main.release()
        self._sleep(number)
        raise Stop

    # -- the threads ---------------------------------------------------------------------------

    def _start(self) -> None:
        if self._threads:
            return
        for number in range(self.size):
            thread = threading.Thread(
                target=self._work, args=(number,), name=f"rank {number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
            assert thread.ident is not None
            self._by_ident[thread.ident] = number

    def _work(self, number: int) -> None:
        while not self._closed:
            with contextlib.suppress(Stop):  # one that comes when the rank has just ended
                self._locks[number].acquire()
                self._work_once(number)

    def _work_once(self, number: int) -> None:
        world, body = self._world, self._body
        if self._closed or world is None or body is None:
            return
        rank = world.ranks[number]
        if not self._stopping:
            self._perform(world, rank, body)
        else:
            rank.ended = rank.ended or "stopped"
        self._over.add(number)
        self._leave(world, rank)

    def _perform(self, world: World, rank: Rank, body: Program) -> None:
        rank.started = True
        try:
            body(rank)
            rank.ended = rank.ended or "returned"
        except Stop:
            # Either the schedule is over, or this rank found its failure just now.
            if not self._stopping and world.failure is not None:
                self._hold(rank)
            rank.ended = rank.ended or "stopped"
        except BaseException as error:
            if self._stopping:
                rank.ended, rank.error = rank.ended or "stopped", error
            else:
                end_with(world, rank, error)

    def _hold(self, rank: Rank) -> None:
        """A failure that was raised as Stop: its frames are gone, its history stands."""
        try:
            self._failed(rank.number)
        except Stop:
            return

    def _leave(self, world: World, rank: Rank) -> None:
        if self._stopping:
            self._main.release()
            return
        chosen = world.next_rank(rank.number)
        if chosen is None and world.failure is None and not all(r.ended for r in world.ranks):
            world.failure = stuck(world)
        self._give(rank.number, chosen)

    # -- the end -------------------------------------------------------------------------------

    def _wait_for_the_end(self, world: World) -> None:
        if self._main.acquire(timeout=self.most_seconds):
            return
        told = f"within {self.most_seconds:g} s of real time"
        world.failure = world.failure or Failure(What.HANG, self._holder, message=told)

    def _keep_frames(self, world: World) -> None:
        frames = sys._current_frames()
        for ident, number in self._by_ident.items():
            rank = world.ranks[number]
            if rank.started and not rank.ended:
                rank.frames = list(world.files.frames(frames.get(ident)))

    def _end_all(self, world: World) -> None:
        """Each rank that still stands somewhere unwinds, one after the other. The one that runs is
        the first: whatever the others do as they unwind, it would do something meanwhile."""
        self._stopping = True
        hung = -1
        if world.failure is not None and world.failure.what is What.HANG:
            hung = self._holder
        told: UnendingRankError | None = None
        for rank in sorted(world.ranks, key=lambda rank: rank.number != hung):
            if rank.number in self._over or not rank.started:
                continue
            ident = self._threads[rank.number].ident
            if rank.number != hung:
                if self._swapped is not None and self._holder != rank.number:
                    self._swapped.swap(self._holder, rank.number)
                    self._holder = rank.number
                self._locks[rank.number].release()
            grace_s = GRACE_SECONDS if told is None else GRACE_SECONDS / 10
            runs = rank.number == hung
            here, ended = end_job(ident, self._main, grace_s, world.files, at_once=runs)
            if here is not None:
                told = told or unending(rank.number, here)
            if not ended:
                self._left.add(rank.number)
        if told is not None:
            raise told
