"""`adpkv run` outside mpirun: starts mpirun, watches it to its end, and never hangs with it.

mpirun reacts to SIGINT and SIGTERM by killing its ranks 250 ms later, and no parameter changes
that. So it runs in a session of its own, where Ctrl-C in a terminal does not reach it. This process
passes the signal to the ranks, which agree with all others to stop, drain and leave. What does not
end within a time limit is killed, by process id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adpkv.exit_codes import OUTCOMES, SIGNALLED, ExitCode, by_signal, of_process
from adpkv.flight_recorder.job_directory import JobDirectory, new_job
from adpkv.output import RunFolder
from adpkv.terminal import final_line
from adpkv.worlds.mpi.last_summary import sum_up_for_failed_ranks
from adpkv.worlds.mpi.launcher.mpirun import allowing, fault_tolerance, find_mpirun
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree, die_with_parent
from adpkv.worlds.mpi.launcher.session_folder import note_mpirun, session_folder, session_place
from adpkv.worlds.mpi.launcher.startup import StartWatch, describe

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["Launch", "job_exit_code", "launch"]

DRAIN_BOUND_S: Final = 120.0
"""After a request to stop. It is longer than the executor's own limits, so it only ends what is
broken."""

HUNG_AFTER_S: Final = 5.0
"""An mpirun that still runs so long after its last rank has ended is hung."""

START_PATIENCE_S: Final = 3.0
"""How much longer to wait than the starting ranks, which should end the job themselves if one has
failed."""

KILL_GRACE_S: Final = 3.0
KILLED: Final = range(128, 128 + signal.NSIG)
"""The exit codes of a rank that a signal ended, as mpirun reports them. mpirun's own codes are
arbitrary."""

LATER: Final = (ExitCode.INTERNAL_ERROR, ExitCode.OUTPUT_LOST)
"""What a rank may end with after all have agreed on another code: as it shows the summary."""

IMPATIENT: Final = 3
"""The number of signals after which mpirun is killed."""

POLL_S: Final = 0.2
LOOK_EVERY_S: Final = 1.0
YOUNG_S: Final = 30.0
"""During this time after the start the processes are looked at in each poll: they come one after
the other, and a killed mpirun leaves those behind that nobody has seen."""


def launch(
    rank_command: Callable[[str], Sequence[str]],
    experiment: Experiment,
    folder: RunFolder,
    on_broken_off: Callable[[Mapping[str, object]], None],
) -> int:
    """Run the experiment, whose ranks write to `folder`, under mpirun; returns the job's exit code.
    `rank_command` makes, from the job's name, the command line of each rank.

    This process must end soon afterwards: it ignores signals from here on. `on_broken_off` is
    called with the summary of a job that left no rank to write one.

    Raises:
        MissingPieceError: no MPI is installed.
    """
    mpirun, job = find_mpirun(), new_job()
    command = [mpirun, *fault_tolerance(mpirun), "-n", str(experiment.topology.ranks)]
    before, former, began_s = folder.read_code(), folder.begun(), time.monotonic()
    started = Launch([*command, *rank_command(job)], last=True)
    try:
        code = started.run()
    finally:
        begun = folder.begun() not in (None, former)
        # Flight recorders that the ranks could not remove themselves show what became of them.
        for left in JobDirectory.of(job):
            left.rescue() if begun else left.remove()
    said = folder.read_code()
    words: list[str] = []
    code = job_exit_code(
        code, None if said is None or said == before else said[0], started, words.append
    )
    for word in words:
        final_line(f"adpkv: {word}")
    if begun and code != ExitCode.USAGE:
        ranks, why = started.failed()
        why = why or (words or [f"it ended with {code}, and no rank has summed it up"])[-1]
        wall_s = time.monotonic() - began_s
        summary = sum_up_for_failed_ranks(experiment, folder, code, why, wall_s, ranks)
        if summary is not None:
            on_broken_off(summary)
    return code


def job_exit_code(
    code: int, said: int | None, started: Launch, say: Callable[[str], object] = lambda text: None
) -> int:
    """The exit code of a job, from its launcher's code and from the code in its summary (`said`;
    None if it has not written one).

    The summary is written whole, when the run is over, so its word stands whatever became of a rank
    or of the launcher afterwards. Only what a rank finds later still is worse than a 0 in there.

    Without a summary the launcher's code is used if it is one of ours, but 0: a launcher that
    tolerates rank failures reports success when no rank is left, and an arbitrary code if ranks end
    with different ones. Ranks that get a signal before they can handle it are killed by it; that
    counts as stopped on request, not as a rank failure.
    """
    if said is not None:
        later = said == ExitCode.COMPLETED and code in LATER and not started.given_up
        return code if later else said
    nobodys = code not in OUTCOMES or code in (ExitCode.COMPLETED, ExitCode.RANK_LOST)
    if started.asked is not None and nobodys:
        say("stopped before anything was served, as it was asked to")
        return started.asked
    if code in OUTCOMES and code != ExitCode.COMPLETED:
        return code
    if started.killed:
        say(f"mpirun itself was killed, by signal {code - SIGNALLED}")
        return ExitCode.RANK_LOST
    if not started.last_seen() and code not in KILLED:
        # Why is above: too many ranks for its slots, no permission, no memory for its own threads.
        say(f"mpirun ended with {code} before any rank had begun: it could not start them")
    else:
        say(f"every rank failed, and none could say why{started.last_seen()}")
    return ExitCode.RANK_LOST


class Launch:
    """One mpirun, from start to end.

    Signals that arrive meanwhile are requests to stop. Later ones are handled by the caller again,
    or are ignored if the caller only has to report the result (`last`): the job is over, and its
    exit code is fixed.
    """

    def __init__(
        self, command: Sequence[str], drain_bound_s: float = DRAIN_BOUND_S, *, last: bool = False
    ) -> None:
        self._command = list(command)
        self._last = last
        self._drain_bound_s = drain_bound_s
        self._wishes: list[int] = []
        self._passed_on = 0
        self._segments: set[str] = set()
        self._seen: dict[int, int] = {}
        self._start: StartWatch | None = None
        self.killed = False
        """The launcher itself was killed."""
        self.given_up = False
        """This process has ended it, so its code is nobody's."""

    def run(self) -> int:
        """Start it and wait for its end; returns its exit code."""
        with session_folder() as place:
            return self._run(allowing({**os.environ, **place}), session_place(place))

    def _run(self, environment: dict[str, str], place: Path) -> int:
        numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._wish) for number in heard}
        try:
            process = subprocess.Popen(
                self._command,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            note_mpirun(place, process.pid)
            job = ProcessTree(process.pid, place=place)
            self._start = StartWatch(job, START_PATIENCE_S)
            try:
                code = self._see_through(process, job)
                self.killed = process.returncode < 0
                return code
            finally:
                job.end_left(self._seen)
                job.clean_up(self._segments)
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self._last else handler)

    @property
    def asked(self) -> int | None:
        """The exit code for the first signal that this process got; None if it got none."""
        return by_signal(self._wishes[0]) if self._wishes else None

    def last_seen(self) -> str:
        """The ranks of this host, and how far each had come, for people."""
        seen = self._start.seen if self._start is not None else {}
        return f"; last seen: {describe(seen)}" if seen else ""

    def failed(self) -> tuple[list[int], str]:
        """The ranks of this host that failed first, while the job started, and that in words;
        nothing if it was not so."""
        found = self._start.failed if self._start is not None else {}
        ranks = sorted(one.rank for one in found.values())
        return ranks, f"{describe(found)}: failed while the job started" if ranks else ""

    def _wish(self, number: int, frame: object) -> None:
        self._wishes.append(number)

    def _see_through(self, process: subprocess.Popen[bytes], job: ProcessTree) -> int:
        give_up_s = gone_s = float("inf")
        look_s = 0.0
        seen = False
        young_s = time.monotonic() + YOUNG_S
        while True:
            try:
                return of_process(process.wait(POLL_S))
            except subprocess.TimeoutExpired:
                pass
            why = "" if self._start is None or self._start.over else self._start.look()
            if why:
                why = "asked to stop while the job started" if self._wishes else why
                return self._end(process, job, why, ExitCode.RANK_LOST)
            now_s = time.monotonic()
            if len(self._wishes) > self._passed_on:
                give_up_s = min(give_up_s, now_s + self._drain_bound_s)
                self._pass_on(job)
            if now_s < young_s or now_s >= look_s:
                look_s = now_s + LOOK_EVERY_S
                alive = bool(job.ranks())
                self._segments |= job.segments()
                self._seen |= job.begun()
                seen = seen or alive
                gone_s = float("inf") if alive or not seen else min(gone_s, now_s)
            if now_s >= gone_s + HUNG_AFTER_S:
                code = job.left_code()  # it goes with mpirun
                broken = self._end(process, job, "its ranks have ended, mpirun has not")
                return broken if code is None else code
            if now_s >= give_up_s:
                return self._end(process, job, f"not drained within {self._drain_bound_s:g} s")
            if len(self._wishes) >= IMPATIENT:
                return self._end(process, job, f"asked to stop {len(self._wishes)} times")

    def _pass_on(self, job: ProcessTree) -> None:
        """Send the signal to the ranks of this host. They tell the others, as all must agree to
        stop."""
        self._passed_on = len(self._wishes)
        job.signal_ranks(self._wishes[0])

    def _end(
        self,
        process: subprocess.Popen[bytes],
        job: ProcessTree,
        why: str,
        code: int = ExitCode.INTERNAL_ERROR,
    ) -> int:
        """Kill what is left. The run's files may be incomplete, and `code` says so; it is not the
        job's exit code if its ranks have left one."""
        self.given_up = True
        final_line(f"adpkv: killing mpirun: {why}")
        left = job.everything()
        process.terminate()
        try:
            process.wait(KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        job.kill(left)
        return code
