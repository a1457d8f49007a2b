"""What `adpkv sweep` prints, and how it is halted."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from adpkv.exit_codes import ExitCode, by_signal
from adpkv.terminal import final_line

if TYPE_CHECKING:
    from adpkv.sweeps.folder import SweepFolder
    from adpkv.sweeps.plan import Plan
    from adpkv.sweeps.pool import Pool
    from adpkv.sweeps.showing import Made

__all__ = ["SweepScreen"]


class SweepScreen:
    """What the command prints of a sweep."""

    def __init__(self, show: Sequence[str], *, quiet: bool, as_json: bool) -> None:
        self._show, self._quiet, self._as_json = show, quiet, as_json

    def check(self, plan: Plan) -> None:
        """Are the figures that are asked for, or looked for, figures of such a run?

        Raises:
            UsageError: they are not.
        """
        from adpkv.sweeps.calling import goal_of
        from adpkv.sweeps.figures import column_for, known_figures

        goal_of(plan)
        known = known_figures(plan.sample)
        for name in self._show:
            column_for(name, known)

    def complete(
        self,
        folder: SweepFolder,
        pools: AbstractContextManager[Pool],
        limit_s: float | None,
    ) -> None:
        """Make what is left of a sweep, and show all of it."""
        from adpkv.sweeps.calling import complete
        from adpkv.sweeps.showing import Made, SweepProgress

        plan, began_s, before = folder.plan, time.monotonic(), len(folder.rows)
        progress = SweepProgress(sys.stderr, quiet=self._quiet)
        try:
            with halting(), pools as pool:
                files = complete(folder, pool, progress, limit_s)
        except Halted as halt:
            progress.close()
            final_line(
                f"adpkv: halted: {len(folder.rows)} of {plan.runs} runs are in {folder.path};"
                f" go on with: {_going_on(folder)}"
            )
            raise typer.Exit(by_signal(halt.number)) from None
        except OSError as error:
            progress.close()
            raise self._unwritten(folder, error) from error
        finally:
            progress.close()
            folder.close()
        self._show_all(folder, Made(len(folder.rows) - before, time.monotonic() - began_s), files)

    def _unwritten(self, folder: SweepFolder, error: OSError) -> typer.Exit:
        final_line(
            f"adpkv: {error.filename or folder.path}: cannot write here: {error.strerror or error};"
            f" what has ended stays, go on with: {_going_on(folder)}"
        )
        return typer.Exit(ExitCode.OUTPUT_LOST)

    def _show_all(self, folder: SweepFolder, made: Made, files: Sequence[Path]) -> None:
        from adpkv.sweeps.calling import goal_of
        from adpkv.sweeps.result import of_folder
        from adpkv.sweeps.showing import as_values, show_sweep
        from adpkv.sweeps.winner import best_points, search_values, show_best, write_best

        found, goal = of_folder(folder), goal_of(folder.plan)
        best = None if goal is None else best_points(goal, found.points)
        try:
            written = [] if best is None else write_best(best, folder.plan, folder.path)
        except OSError as error:
            raise self._unwritten(folder, error) from error
        if self._as_json:
            more = {} if best is None else {"search": search_values(best, written)}
            print(json.dumps(as_values(found) | more, indent=2))
        elif self._quiet:
            return
        elif best is None:
            show_sweep(sys.stdout, found, self._show, made, files)
        else:
            shown = [*best.columns, *self._show]
            show_sweep(sys.stdout, found, shown, made, files, best.shown)
            show_best(sys.stdout, best, written)


def _going_on(folder: SweepFolder) -> str:
    """The command that goes on, to be copied into a shell."""
    return f"adpkv sweep --resume {shlex.quote(str(folder.path))}"


class Halted(BaseException):
    """Somebody wants this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def halting() -> Iterator[None]:
    """The first Ctrl-C, or another request to end, raises `Halted`; the next one ends at once."""
    before: dict[int, Any] = {}

    def halt(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        raise Halted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, halt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
