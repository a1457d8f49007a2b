"""What a process reports when its job got stuck: about its own rank, and, on one rank, about all.

Nothing here waits for a main thread, which may be in native code for ever. The watchdog's thread
calls this, or the main thread if it detected the problem itself. Modules that only a report needs
are imported with it: they would be a tenth of what each rank imports as it starts.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from inspect import CORO_RUNNING, getcoroutinestate
from time import perf_counter_ns

import msgspec

from adpkv.config import Experiment
from adpkv.core.report import RankReport
from adpkv.core.topology import Topology
from adpkv.diagnosis.collect import (
    RankSnapshot,
    claim,
    gather_evidence,
    is_asked,
    snapshots,
    write_snapshot,
)
from adpkv.diagnosis.frames import program_stack, thread_stack
from adpkv.diagnosis.rank_knowledge import NOTHING_KNOWN, RankKnowledge, local
from adpkv.errors import StuckError
from adpkv.executor.audit import report_now
from adpkv.executor.collectives import Step
from adpkv.executor.digest import PlanDigest
from adpkv.executor.rank import Rank
from adpkv.output import BrokenOff, RunFolder, build_summary
from adpkv.output.losses import Losses, with_losses
from adpkv.output.requests import read_tally
from adpkv.terminal import terminal_columns
from adpkv.worlds.mpi.coordinator import CoordinatorHost
from adpkv.worlds.mpi.driver import Driver
from adpkv.worlds.mpi.hosts import Flight

__all__ = ["SnapshotWriter"]


class SnapshotWriter:
    """Writes one rank's snapshot.

    Args:
        flight: the rank's flight recorder and its host's board.
        topology, rank, driver: of this rank.
        look: returns the rank's objects.
        flush: writes out what happened until now.
        losses: what could not be written.
        lost: returns the failed ranks without which the job goes on.
        tell_stories: add the stories of the requests concerned to the report.
        on_broken_off: called with the summary of a job that ends with an error.
    """

    def __init__(
        self,
        flight: Flight,
        topology: Topology,
        rank: int,
        driver: Driver,
        look: Callable[[], Rank],
        flush: Callable[[], None],
        losses: Losses,
        lost: Callable[[], Sequence[int]],
        *,
        tell_stories: bool,
        on_broken_off: Callable[[Mapping[str, object]], None],
    ) -> None:
        self._flight, self._topology, self._rank = flight, topology, rank
        self._driver, self._look, self._flush = driver, look, flush
        self._losses = losses
        self._lost, self._tell_stories = lost, tell_stories
        self._main = threading.main_thread().ident or 0
        self._answered = False
        self._coordinator: CoordinatorHost | None = None
        self._on_broken_off = on_broken_off

    def beside(self, coordinator: CoordinatorHost) -> None:
        """The coordinator runs beside this rank: say what it does, too."""
        self._coordinator = coordinator

    def answer(self) -> None:
        """Write this rank's snapshot once, if some rank of this host has asked for it."""
        if not self._answered and is_asked(self._flight.folder.path):
            self._write()

    def speak(self, error: StuckError, folder: RunFolder, experiment: Experiment) -> str:
        """The job is stuck. One of its ranks makes the report for all; it returns the report's text
        for the screen. The others return an empty text."""
        speaks = claim(self._flight.folder.path)
        self._write()
        if not speaks:
            return ""
        try:
            return self._report(error, folder, experiment)
        except Exception as problem:
            # Even if the report fails, the job must end, with the message that is known.
            return f"{error}\n  (no report: {type(problem).__name__}: {problem})"

    def sum_up(self, end: BrokenOff, folder: RunFolder, experiment: Experiment) -> bool:
        """Write `summary.json` of a job that was broken off: from the snapshots of this host's
        ranks, this one's at least, and the requests on disk. False if there is one already."""
        self._flush()
        said = snapshots(self._flight.folder.path, range(self._topology.ranks))
        reports = {one.rank: one.report for one in said if one.report is not None}
        own = self._own_report()
        if own is not None:
            reports[self._rank] = own
        open_ = [self._unanswered(), *(one.unanswered for one in said)]
        unanswered = next((number for number in open_ if number is not None), None)
        summary = build_summary(
            "mpi",
            experiment,
            list(reports.values()),
            read_tally(folder.requests, experiment.slo),
            wall_s=self._wall_s(),
            simulated_s=None,
            lost=self._lost(),
            broken_off=msgspec.structs.replace(end, unanswered=unanswered),
            never_arrived=None if self._coordinator is None else self._coordinator.never_arrived(),
        )
        first, lost = True, self._losses
        with lost.of(folder.summary.name):
            first = folder.write_first_summary(with_losses(summary, lost.told()))
        if first:
            self._on_broken_off(with_losses(summary, lost.told()))
        return first

    def _wall_s(self) -> float:
        """How long the job has run; 0 where it has not begun."""
        began_ns = self._flight.board.rings[0].owner.clock_ns
        return (perf_counter_ns() - began_ns) / 1e9 if began_ns else 0.0

    def _own_report(self) -> RankReport | None:
        """This rank's report as of now; None where its objects are changing or incomplete."""
        try:
            return report_now(self._look(), self._driver.counts)
        except Exception:
            return None

    def _report(self, error: StuckError, folder: RunFolder, experiment: Experiment) -> str:
        from adpkv.diagnosis.conclude import conclude, error_text
        from adpkv.diagnosis.render import STORY_INDENT
        from adpkv.diagnosis.report import Report
        from adpkv.output.story_text import stories

        now_ns = perf_counter_ns()
        owner = self._flight.board.rings[0].owner
        at_s = (now_ns - owner.clock_ns) / 1e9
        error.evidence = gather_evidence(
            self._flight.folder.path,
            self._flight.board.rings,
            self._topology,
            error,
            at_s,
            self._lost(),
        )
        conclude(folder, error, experiment.seed, self._losses)
        self.sum_up(BrokenOff.by(error), folder, experiment)
        error.unwritten = self._losses.told()
        self._flight.folder.rescue()
        requests = error.report.requests if isinstance(error.report, Report) else ()
        columns = terminal_columns(sys.stderr)
        if self._tell_stories:
            error.stories = tuple(stories(folder, requests, columns and columns - STORY_INDENT))
        return error_text(error, columns)

    def _write(self) -> None:
        self._answered = True
        self._flush()
        op = self._driver.op
        argument = op.place[len(op.site) :].strip("[]") if isinstance(op, Step) else ""
        plan = "" if op is None or op.plan is None else f"{PlanDigest()(op.plan):08x}"
        snapshot = RankSnapshot(
            self._rank,
            argument,
            plan,
            self._local(),
            self._stack(),
            "" if self._coordinator is None else self._coordinator.told(),
            self._unanswered(),
            self._own_report(),
        )
        write_snapshot(self._flight.folder.path, snapshot)

    def _unanswered(self) -> int | None:
        """Requests without an answer; None where the coordinator runs elsewhere."""
        return None if self._coordinator is None else self._coordinator.unanswered()

    def _local(self) -> RankKnowledge:
        try:
            return local(self._look(), self._driver.op, PlanDigest())
        except Exception:
            # The rank's own thread changed what was being read, or its objects are incomplete.
            # Report what is known without them.
            return NOTHING_KNOWN

    def _stack(self) -> tuple[str, ...]:
        """The stack of the suspended program, then of the code that performs what it awaits. If the
        program is running, only the stack of its thread."""
        program = self._driver.program
        thread = thread_stack(self._main)
        if program is None or getcoroutinestate(program) == CORO_RUNNING:
            return thread
        if threading.get_ident() == self._main:
            return program_stack(program)  # this thread performed it, and has given up
        return (*program_stack(program), *thread[-2:])
