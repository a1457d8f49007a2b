"""What a rank leaves behind when its job does not end by agreement: it is stuck, it hangs, or a
rank fails by itself.

The report of a stuck job goes to the screen and into the run's folder; `summary.json` has what is
known of a run that was broken off.
"""

from __future__ import annotations

from contextlib import suppress

from adpkv.config import Experiment
from adpkv.diagnosis.watchdog import Watchdog
from adpkv.errors import DeadlockError, StuckError
from adpkv.output import BrokenOff, RunFolder
from adpkv.worlds.mpi.driver import abort
from adpkv.worlds.mpi.hosts import Flight
from adpkv.worlds.mpi.snapshot import SnapshotWriter

__all__ = ["FailureReports"]


class FailureReports:
    """The reports of one rank. `watchdog` detects when this rank hangs while it serves."""

    def __init__(
        self, flight: Flight, snapshots: SnapshotWriter, folder: RunFolder, experiment: Experiment
    ) -> None:
        self._flight, self._snapshots = flight, snapshots
        self._folder, self._experiment = folder, experiment
        self.watchdog = Watchdog(flight.board, experiment.hang_ns, self._hangs, snapshots.answer)

    def stuck(self, error: StuckError) -> str:
        """The job ends because it is stuck. Returns the text to print on the one rank that reports
        for all, and an empty text on the others."""
        text = self._snapshots.speak(error, self._folder, self._experiment)
        return f"adpkv: {text}" if text else ""

    def broken_off(self, error: BaseException) -> None:
        """The job ends because this rank failed by itself: write down what is known."""
        self.sum_up(BrokenOff.by(error))

    def sum_up(self, end: BrokenOff) -> bool:
        """Write the summary of a job that ends without the agreement of its ranks. False if there
        is one already."""
        first = True
        with suppress(Exception):  # the job ends, whether or not this succeeds
            first = self._snapshots.sum_up(end, self._folder, self._experiment)
        self.rescue()
        return first

    def told(self, code: int) -> int:
        """The exit code that `summary.json` says; `code` where there is none. Whoever ends the job
        without the others asks: nobody must hear that the run was lost, and read in its folder that
        it was completed."""
        said = self._folder.read_code()
        return code if said is None else said[0]

    def rescue(self) -> None:
        """Move the flight recorders of this host into the run's folder, for a person who examines
        the run."""
        self._flight.folder.rescue()

    def _hangs(self, error: DeadlockError) -> None:
        """Called in the watchdog's thread; the main thread may be in native code for ever."""
        abort(self.stuck(error), error.exit_code)
