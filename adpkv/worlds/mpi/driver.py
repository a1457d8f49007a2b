"""Runs one rank program: performs what it awaits, and ends the whole job if it fails.

If an exception ended only one rank, the others would wait for ever, under every MPI. So it ends the
job, with a message that names the rank.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter_ns
from typing import Any, Final, NoReturn, TypeVar

from mpi4py import MPI

from adpkv.errors import AdpkvError, CollectiveMismatchError, RankLostError, StuckError, UsageError
from adpkv.executor.collectives import Collective, CollectiveCounts, Operation, Pause
from adpkv.exit_codes import ExitCode
from adpkv.flight_recorder.quick import MISSED
from adpkv.terminal import final_line
from adpkv.timeline.recording import CollectiveRecorder
from adpkv.worlds.mpi.ending import end_job
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.killing import survives_rank_failures
from adpkv.worlds.mpi.recovery.catch_up import CatchUp

__all__ = ["Driver", "abort", "guarded"]

T = TypeVar("T")

SPEAKER_GRACE_S: Final = 20.0
"""How long the other ranks wait for the one that reports for all, before they end the job
themselves. It ends the job when it is done, and on a busy machine that has taken seconds: who
is impatient takes the report away. It only counts if that rank fails meanwhile."""


class Driver:
    """Performs what one rank program awaits."""

    def __init__(
        self,
        groups: Mapping[int, Group],
        stats: CollectiveStats,
        recorder: CollectiveRecorder | None = None,
    ) -> None:
        self._groups: dict[int, Group | CatchUp] = dict(groups)
        self.stats = stats
        self.recover: Callable[[MPI.Exception, Group | None], None] | None = None
        """Rebuilds the groups after a rank failure; None where a job does not survive one."""
        self._current: Group | CatchUp | None = None
        self._recorder = recorder
        self.op: Operation | None = None
        """The operation that the program awaited last."""
        self.program: Coroutine[Any, Any, Any] | None = None

    def run(self, program: Coroutine[Any, Any, T]) -> T:
        """Run the program to its end; returns its result."""
        self.program = program
        groups, resume, recorder = self._groups, program.send, self._recorder
        stats = self.stats
        result: Any = None
        while True:
            try:
                op = resume(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            resume = program.send
            self.op = op
            group = self._current = groups[op.group]
            began_ns = 0
            try:
                if (quick := group.quick) is not None:
                    result = quick(op)
                    if result is not MISSED:
                        continue
                began_ns = perf_counter_ns()
                if recorder is not None:
                    recorder.enter(op, group.sequence + 1, began_ns)
                result = group.perform(op)
            except (MPI.Exception, RankLostError) as error:
                result = self._try_again(op, error)
                if isinstance(result, RankLostError):
                    resume = program.throw
                began_ns = perf_counter_ns()  # a recovery is not the collective's time
            ended_ns = perf_counter_ns()
            if isinstance(op, Collective):
                stats.total_ns += ended_ns - began_ns
            if recorder is not None:
                recorder.leave(ended_ns, group.payload_bytes)

    def _try_again(self, op: Operation, error: MPI.Exception | RankLostError) -> Any:
        """A collective was interrupted by an error of MPI: recover and repeat it. Returns its
        result, or the error to raise in the program because its group has a failed rank."""
        while isinstance(error, MPI.Exception):
            if self.recover is None:
                raise error
            group = self._current.new if isinstance(self._current, CatchUp) else self._current
            self.recover(error, None if isinstance(op, Pause) else group)
            self._current = self._groups[op.group]
            try:
                return self._current.perform(op)
            except (MPI.Exception, RankLostError) as again:
                error = again
        return error

    @property
    def groups(self) -> dict[int, Group]:
        """The current groups, by number."""
        return {
            number: group.new if isinstance(group, CatchUp) else group
            for number, group in self._groups.items()
        }

    def replace(self, number: int, catch_up: CatchUp) -> None:
        """Let this rank go on in the group's successor, through `catch_up`."""
        self._groups[number] = catch_up

    def close(self) -> None:
        """Free the groups' communicators, in the same order on all ranks. Every rank must call
        it."""
        groups = self.groups
        for number in sorted(groups):
            groups[number].close()

    def leads(self) -> bool:
        """Whether this rank is the first of the group whose collective came last."""
        return self._current is not None and self._current.leads

    def counts(self) -> CollectiveCounts:
        """What was counted of this rank's collectives so far."""
        stats = self.stats
        return CollectiveCounts(
            stats.count, stats.total_ns, stats.mismatches, stats.met, stats.trace, stats.gaps
        )


def guarded(
    who: str,
    work: Callable[[], T],
    stuck: Callable[[StuckError], str] = str,
    last: Callable[[BaseException], None] = lambda error: None,
    rank_failed: Callable[[], None] = lambda: None,
) -> T:
    """Do `work`; an exception from it ends the job.

    Args:
        who: this rank in words, for the message.
        work: what to do.
        stuck: called for an error that all members of a group see alike. It writes down what is
            known and returns the message; empty if another rank reports for all.
        last: what this rank does before it ends the job because it failed by itself.
        rank_failed: what it does before it ends the job because MPI reports an error, which under
            ULFM means that a rank has failed.
    """
    try:
        return work()
    except CollectiveMismatchError as error:
        abort(stuck(error), error.exit_code)
    except UsageError as error:
        last(error)
        abort(f"adpkv: {who}: {error}", error.exit_code)
    except AdpkvError as error:
        last(error)
        abort(f"adpkv: {who}: {error}\n{_where(error)}", error.exit_code)
    except MPI.Exception as error:
        # A rank failure where no recovery is possible: as the job starts, or after it has ended.
        code = ExitCode.INTERNAL_ERROR
        if survives_rank_failures():
            rank_failed()
            code = ExitCode.RANK_LOST
        abort(f"adpkv: {who}: MPI reports {error}; a rank may have failed\n{_where(error)}", code)
    except BaseException as error:
        last(error)
        said = f"adpkv: {who} failed: {type(error).__name__}: {error}\n{_where(error)}"
        abort(said, ExitCode.INTERNAL_ERROR)


def abort(message: str, code: int) -> NoReturn:
    """End the whole job now; never returns. Without a message, give another rank the time to end
    it."""
    if message:
        final_line(message.rstrip())
    else:
        time.sleep(SPEAKER_GRACE_S)
    end_job(code)


def _where(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__))
