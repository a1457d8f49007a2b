"""Ranks as coroutines in one thread: the fastest way, for programs over our own rank API.

They run in a thread of their own, so that the one that calls `run` can end a rank that computes for
longer than the real-time bound.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn

from adpkv.errors import UnendingRankError
from adpkv.rank_programs.driver import GRACE_SECONDS, MAIN, MOST_SECONDS, Around, Program, Swapped
from adpkv.rank_programs.failure import Failure, Stop, What
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Collective, Operation, Wait
from adpkv.rank_programs.rank_ends import end_with, stuck
from adpkv.rank_programs.unending import end_job, unending
from adpkv.rank_programs.world import Combine, World

__all__ = ["Coroutines"]

_left: list[Any] = []
"""Coroutines of ranks that do not end. Whoever forgets one closes it, in his own thread, and would
hang there."""


class Coroutines:
    """A `Driver` for coroutines, which yield where another rank may go on."""

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self.most_seconds = most_seconds
        self._world: World | None = None
        self._current: Rank | None = None
        self._job: Callable[[], None] | None = None
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._running: dict[int, Coroutine[Any, Any, Any]] = {}
        self._swapped: Swapped | None = None
        self._at = MAIN
        self._around: Around | None = None
        self._busy = False
        """Does its thread have a job? One that it still has after a schedule is never done."""

    # -- Driver, from outside ------------------------------------------------------------------

    def run(
        self,
        world: World,
        program: Program,
        swapped: Swapped,
        look: Callable[[World], None],
        around: Around | None = None,
    ) -> None:
        """Perform one schedule (`Driver.run`)."""
        self._world, self._swapped, self._around = world, swapped, around
        self._at, self._error = MAIN, None
        self._hand(lambda: self._perform(world, program))
        try:
            self._wait_for_the_end(world, look)
        finally:
            self._finish(world, swapped)

    def _hand(self, job: Callable[[], None]) -> None:
        self._job, self._busy = job, True
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="ranks", daemon=True)
            self._thread.start()
        self._begin.release()

    def _wait_for_the_end(self, world: World, look: Callable[[World], None]) -> None:
        try:
            hangs = not self._end.acquire(timeout=self.most_seconds)
        except BaseException:
            # Ctrl-C, or the limit of a test: the rank that runs ends first.
            with contextlib.suppress(UnendingRankError):
                self._end_rank(world)
            raise
        if hangs:
            told = f"within {self.most_seconds:g} s of real time"
            number = self._current.number if self._current is not None else -1
            world.failure = world.failure or Failure(What.HANG, number, message=told)
        else:
            self._busy = False
        if self._error is not None:
            raise self._error
        if world.failure is not None:
            self._keep_frames(world)
            look(world)
        if hangs:
            self._end_rank(world)

    def _end_rank(self, world: World, *, at_once: bool = True) -> None:
        """End what runs in the ranks' thread."""
        ident = self._thread.ident if self._thread is not None else None
        here, ended = end_job(ident, self._end, GRACE_SECONDS, world.files, at_once=at_once)
        self._busy = not ended
        if here is not None:
            raise unending(-1 if self._current is None else self._current.number, here)

    def _finish(self, world: World, swapped: Swapped) -> None:
        """Close the coroutines that are left, in their thread: a program may hang even there."""
        try:
            if self._running and not self._busy:
                self._hand(lambda: self._close_all(world, swapped))
                self._end_rank(world, at_once=False)
        finally:
            if self._busy:
                _left.extend(self._running.values())
            self._running = {}
            for rank in world.ranks:
                rank.frames = []
            if self._at != MAIN:
                swapped.swap(self._at, MAIN)
            self._at, self._world, self._current = MAIN, None, None

    def _close_all(self, world: World, swapped: Swapped) -> None:
        for number, coroutine in list(self._running.items()):
            if number != self._at:
                swapped.swap(self._at, number)
                self._at = number
            self._current = world.ranks[number]
            self._current.frames = []
            # What a program does as it is closed is not its failure any more.
            with contextlib.suppress(BaseException):
                coroutine.close()

    def close(self) -> None:
        """End the thread, unless its rank does not end."""
        self._job = None
        if self._thread is not None and not self._busy:
            self._begin.release()
            self._thread.join(GRACE_SECONDS)
        self._thread = None

    def _work(self) -> None:
        going = True
        while going:
            with contextlib.suppress(Stop):  # one that comes when the rank has just ended
                self._begin.acquire()
                going = self._work_once()

    def _work_once(self) -> bool:
        job = self._job
        if job is None:
            return False
        try:
            job()
        except Stop:
            pass  # interrupted: the bound of real time
        except BaseException as error:
            self._error = error
        self._end.release()
        return True

    # -- the loop ------------------------------------------------------------------------------

    def _perform(self, world: World, program: Program) -> None:
        chosen = world.next_rank(0)
        while chosen is not None:
            rank = world.ranks[chosen]
            self._go_on(world, rank, program)
            if world.failure is not None and rank.ended == "stopped":
                return
            chosen = world.next_rank(chosen, polling=rank.polling)
        if world.failure is None and not all(rank.ended for rank in world.ranks):
            world.failure = stuck(world)

    def _go_on(self, world: World, rank: Rank, program: Program) -> None:
        """Let a rank go on to its next yield, or to its end."""
        number = rank.number
        if number != self._at:
            world.switches += 1
            assert self._swapped is not None
            self._swapped.swap(self._at, number)
            self._at = number
        self._current = rank
        if rank.on is None:
            rank.steps += 1
        rank.on, rank.polling = None, False
        around = self._around
        try:
            coroutine = self._running.get(number)
            if coroutine is None:
                rank.started = True
                call = around or _plainly
                coroutine = call(rank, lambda: program(rank))
                self._running[number] = coroutine
            if around is None:
                awaited = coroutine.send(None)
            else:
                kept = coroutine
                awaited = around(rank, lambda: kept.send(None))
            if awaited is not None:
                raise TypeError(f"a rank program awaits what its rank gives it, not {awaited!r}")
        except StopIteration:
            rank.ended = rank.ended or "returned"
        except Stop:
            rank.ended = rank.ended or "stopped"
        except BaseException as error:
            if isinstance(error, SystemExit) and error.code in (None, 0):
                rank.ended = "returned"
            else:
                end_with(world, rank, error)
        else:
            return  # it goes on, or was killed and stands where it is
        self._running.pop(number, None)

    def _keep_frames(self, world: World) -> None:
        for number, coroutine in self._running.items():
            frames: list[FrameType] = []
            awaiting: Any = coroutine
            while awaiting is not None:
                frame = getattr(awaiting, "cr_frame", None) or getattr(awaiting, "gi_frame", None)
                if frame is not None and frame.f_code.co_filename in world.files:
                    frames.insert(0, frame)
                awaiting = getattr(awaiting, "cr_await", None)
            world.ranks[number].frames = frames
        if self._busy and self._current is not None and self._thread is not None:
            # It runs: what it has called says where, and not what it awaits.
            running = sys._current_frames().get(self._thread.ident or 0)
            self._current.frames = list(world.files.frames(running))

    # -- Driver, for the rank that runs ----------------------------------------------------------

    def rank_here(self) -> Rank | None:
        """The rank that calls; None outside of ranks."""
        if self._thread is None or threading.get_ident() != self._thread.ident:
            return None
        return self._current

    def now_ns(self) -> int:
        """Virtual time."""
        return 0 if self._world is None else self._world.clock_ns

    @property
    def world(self) -> World:
        """The schedule that is performed. Raises Stop where there is none."""
        if self._world is None:
            raise Stop
        return self._world

    def pause(self, rank: Rank, *, polling: bool = False) -> None:
        """No other rank can go on in the middle of a plain call: only time passes."""
        if polling:
            self.tick(rank)

    def tick(self, rank: Rank) -> None:
        """Time passes."""
        if self._world is not None:
            self._world.poll(rank.number)

    def wait(self, rank: Rank, on: Wait, what: str, deadline_ns: int = 0) -> bool:
        """Of a plain call, such as `time.sleep`: the time passes for all ranks."""
        if self._world is not None and deadline_ns:
            self._world.clock_ns = max(self._world.clock_ns, deadline_ns)
        return on.done

    def arrive(
        self, rank: Rank, group: Group, operation: Operation, payload: Any, combine: Combine
    ) -> Collective:
        """The rank comes to its next position of the group."""
        if self._world is None:
            raise Stop
        return self._world.arrive(rank, group, operation, payload, combine)

    def refuse(self, rank: Rank) -> None:
        """The rank gets an error because one is gone."""
        self.world.refuse(rank)

    def fail(self, rank: Rank, failure: Failure) -> NoReturn:
        """End the schedule with this failure."""
        if self._world is not None:
            self._world.failure = self._world.failure or failure
        raise Stop


def _plainly(rank: Rank, program: Callable[[], Any]) -> Any:
    return program()
