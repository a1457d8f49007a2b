"""Runs one rank program: performs what it awaits, and ends the whole job if it fails.

An exception that leaves one rank alone would leave the others waiting for ever, under every MPI.
So it ends the job, with a message that names the rank.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter_ns
from typing import Any, Final, NoReturn, TypeVar

from mpi4py import MPI

from adpkv.diagnosis.recorder import FlightRecorder
from adpkv.errors import AdpkvError, CollectiveMismatchError, StuckError
from adpkv.executor.meetings import MeetingCounts
from adpkv.worlds.mpi.group import CollectiveStats, Group

__all__ = ["Driver", "abort", "guarded"]

T = TypeVar("T")

SPEAKER_GRACE_S: Final = 2.0
"""How long the others let one rank speak for all before they end the job themselves."""


class Driver:
    """The interpreter of one rank program's awaits."""

    def __init__(
        self,
        groups: Mapping[int, Group],
        stats: CollectiveStats,
        recorder: FlightRecorder | None = None,
    ) -> None:
        self._groups, self._stats = dict(groups), stats
        self._met: Group | None = None
        self._recorder = recorder

    def run(self, program: Coroutine[Any, Any, T]) -> T:
        """Run it to its end."""
        groups, send, recorder = self._groups, program.send, self._recorder
        result: Any = None
        while True:
            try:
                op = send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            met = self._met = groups[op.group]
            if recorder is None:
                result = met.perform(op)
            else:
                recorder.enter(op, met.sequence + 1, perf_counter_ns())
                result = met.perform(op)
                recorder.leave(perf_counter_ns(), met.brought_bytes)

    def close(self) -> None:
        """Give the groups back, in the same order on all ranks; every rank must come."""
        for number in sorted(self._groups):
            self._groups[number].close()

    def leads(self) -> bool:
        """Whether this rank is the first of the group that met last."""
        return self._met is not None and self._met.leads

    def counts(self) -> MeetingCounts:
        """What was counted of this rank's meetings so far."""
        stats = self._stats
        return MeetingCounts(stats.count, stats.total_ns, stats.mismatches, stats.met, stats.trace)


def guarded(
    who: str,
    work: Callable[[], T],
    speaks: Callable[[], bool] = lambda: True,
    stuck: Callable[[StuckError, bool], None] = lambda error, speaks: None,
    last: Callable[[], None] = lambda: None,
) -> T:
    """Do `work`; whatever escapes from it ends the job. `who` is this rank in words; `speaks`
    tells whether it is the one that speaks for all where all members of a group see the same;
    `stuck` is told before the end, so that what is known is written down; `last` is what this rank
    does before it ends the job because it failed alone."""
    try:
        return work()
    except CollectiveMismatchError as error:
        stuck(error, speaks())
        abort(f"adpkv: {error}", error.exit_code, speaks())
    except AdpkvError as error:
        last()
        abort(f"adpkv: {who}: {error}\n{_where(error)}", error.exit_code)
    except BaseException as error:
        last()
        abort(f"adpkv: {who} failed: {type(error).__name__}: {error}\n{_where(error)}", 70)


def abort(message: str, code: int, speaks: bool = True) -> NoReturn:
    """End the whole job now; never returns."""
    if speaks:
        print(message.rstrip(), file=sys.stderr, flush=True)
        sys.stdout.flush()
    else:
        time.sleep(SPEAKER_GRACE_S)
    MPI.COMM_WORLD.Abort(code)
    raise SystemExit(code)


def _where(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__))
