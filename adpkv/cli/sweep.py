"""`adpkv sweep`: one experiment with many settings, side by side, into one table."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from adpkv.cli.options import AsJson, OptionalFile, Out, Overrides, Quiet, look_here, remark
from adpkv.exit_codes import by_signal
from adpkv.terminal import final_line

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.sweeps.folder import SweepFolder
    from adpkv.sweeps.plan import Plan
    from adpkv.sweeps.pool import Pool

__all__ = ["sweep"]

Vary = Annotated[
    list[str],
    typer.Option(
        "--vary",
        metavar="a.b=VALUES",
        help="An axis: values (1s,5s,20s), a range (512..4096*2, 10..50+10), or for drawn points"
        " a span (1s..20s, 1ms..1s log). Can be given several times.",
        default_factory=list,
        show_default=False,
    ),
]
Zip = Annotated[
    list[str],
    typer.Option(
        "--zip",
        metavar="a.b,c.d",
        help="Axes that go together, first value with first.",
        default_factory=list,
        show_default=False,
    ),
]
Show = Annotated[
    list[str],
    typer.Option(
        metavar="FIGURE",
        help="Show this figure, such as ttft_p99. Can be given several times.",
        default_factory=list,
        show_default=False,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Run each point with so many seeds.", show_default="1"),
]
Design = Annotated[
    Literal["grid", "random", "latin"] | None,
    typer.Option(help="All combinations, or points that are drawn.", show_default="grid"),
]
Points = Annotated[int | None, typer.Option(metavar="N", min=1, help="How many points are drawn.")]
WhichWorld = Annotated[
    Literal["virtual", "mpi"], typer.Option(help="In virtual time, or on real ranks.")
]
SideBySide = Annotated[
    int | None,
    typer.Option(
        metavar="J", help="Runs side by side.", show_default="as many as cores; 1 of real ones"
    ),
]
Limit = Annotated[
    str | None, typer.Option(metavar="TIME", help="End a run that takes longer, such as 10m.")
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Keep each run's folder, for story and compare.")
]
Resume = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Go on with the sweep in this folder.")
]


def sweep(
    vary: Vary,
    zipped: Zip,
    overrides: Overrides,
    show: Show,
    file: OptionalFile = None,
    seeds: Seeds = None,
    design: Design = None,
    points: Points = None,
    world: WhichWorld = "virtual",
    jobs: SideBySide = None,
    limit: Limit = None,
    keep: Keep = False,
    resume: Resume = None,
    out: Out = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment with many settings, side by side, into one table."""
    from adpkv.errors import UsageError
    from adpkv.sweeps.environment import size_of_job
    from adpkv.sweeps.folder import SweepFolder

    given = {"vary": vary, "zip": zipped, "seeds": seeds, "design": design, "points": points}
    changes = _changes({key: value for key, value in given.items() if value})
    limit_s = _seconds(limit)

    screen = SweepScreen(show, quiet=quiet, as_json=as_json)

    def prepared() -> tuple[SweepFolder, int]:
        # Everything is checked before a folder is made.
        if resume is not None:
            if file or out or overrides or changes or keep or world != "virtual":
                raise UsageError(
                    f"--resume {resume} goes on with what is there: leave the rest out"
                )
            folder = SweepFolder.resume(resume)
            look_here(folder.plan.sample)
            screen.check(folder.plan.sample)
            return folder, _side_by_side(folder.plan, jobs, quiet=quiet)
        plan = _planned(file, overrides, changes, world, quiet=quiet)
        screen.check(plan.sample)
        count = _side_by_side(plan, jobs, quiet=quiet)
        # A real run cannot be repeated, so its files stay.
        return SweepFolder.create(plan, out, keep=keep or world == "mpi"), count

    if size_of_job(os.environ) > 1:
        if world == "mpi":
            raise UsageError("adpkv sweep --world mpi starts mpirun itself: call it without")
        from adpkv.sweeps.over_mpi import pool_of_ranks

        with pool_of_ranks() as ranks:
            if ranks is not None:
                screen.complete(prepared()[0], nullcontext(ranks), limit_s)
        return
    from adpkv.sweeps.calling import local_pool

    folder, count = prepared()
    screen.complete(folder, local_pool(count, folder.plan.world), limit_s)


def _planned(
    file: Path | None,
    overrides: Sequence[str],
    changes: Mapping[str, Any],
    world: Literal["virtual", "mpi"],
    *,
    quiet: bool,
) -> Plan:
    """A new sweep, in which every point is checked."""
    from adpkv.config import load
    from adpkv.errors import UsageError
    from adpkv.sweeps.plan import check_points, make_plan, with_sweep

    if file is None:
        raise UsageError("which experiment? adpkv sweep FILE --vary a.b=VALUES")
    experiment = with_sweep(load(file, overrides), changes)
    plan = make_plan(experiment, world)
    check_points(plan, look_here)
    if not quiet:
        remark(experiment)
    return plan


def _side_by_side(plan: Plan, jobs: int | None, *, quiet: bool) -> int:
    from adpkv.sweeps.running import jobs_for

    found = jobs_for(plan.sample, plan.world, jobs)
    if found.note and not quiet:
        typer.echo(f"adpkv: {found.note}", err=True)
    return found.count


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as keys of the `sweep` section."""
    from adpkv.errors import UsageError

    changes = dict(given)
    if "vary" in changes:
        axes: dict[str, str] = {}
        for text in changes["vary"]:
            path, equals, values = text.partition("=")
            path = path.strip()
            if not equals or not path:
                raise UsageError(f"--vary {text}: must look like section.key=VALUES")
            if path in axes:
                raise UsageError(f"--vary {path} is given twice: list its values, a comma between")
            axes[path] = values
        changes["vary"] = axes
    if "zip" in changes:
        changes["zip"] = [[one.strip() for one in text.split(",")] for text in changes["zip"]]
    return changes


def _seconds(limit: str | None) -> float | None:
    from adpkv.config.units import SECOND, parse_duration
    from adpkv.errors import UsageError

    if limit is None:
        return None
    try:
        found = parse_duration(limit) / SECOND
    except ValueError as error:
        raise UsageError(f"--limit {limit}: {error}") from None
    if not found:
        raise UsageError(f"--limit {limit}: no run takes so little")
    return found


class SweepScreen:
    """What the command prints of a sweep."""

    def __init__(self, show: Sequence[str], *, quiet: bool, as_json: bool) -> None:
        self._show, self._quiet, self._as_json = show, quiet, as_json

    def check(self, experiment: Experiment) -> None:
        """Are the figures that are asked for figures of such a run?"""
        from adpkv.sweeps.figures import column_for, known_figures

        known = known_figures(experiment)
        for name in self._show:
            column_for(name, known)

    def complete(
        self,
        folder: SweepFolder,
        pools: AbstractContextManager[Pool],
        limit_s: float | None,
    ) -> None:
        """Make what is left of a sweep, and show all of it."""
        from adpkv.errors import UsageError
        from adpkv.sweeps.calling import complete
        from adpkv.sweeps.showing import SweepProgress

        plan, began_s = folder.plan, time.monotonic()
        progress = SweepProgress(sys.stderr, quiet=self._quiet)
        try:
            with halting(), pools as pool:
                files = complete(folder, pool, progress, limit_s)
        except Halted as halt:
            progress.close()
            final_line(
                f"adpkv: halted: {len(folder.rows)} of {plan.runs} runs are in {folder.path};"
                f" go on with: adpkv sweep --resume {folder.path}"
            )
            raise typer.Exit(by_signal(halt.number)) from None
        except OSError as error:
            raise UsageError(f"{error.filename or folder.path}: {error.strerror}") from error
        finally:
            progress.close()
            folder.close()
        self._show_all(folder, time.monotonic() - began_s, files)

    def _show_all(self, folder: SweepFolder, wall_s: float, files: Sequence[Path]) -> None:
        from adpkv.sweeps.result import of_folder
        from adpkv.sweeps.showing import as_values, show_sweep

        found = of_folder(folder)
        if self._as_json:
            print(json.dumps(as_values(found), indent=2))
        elif not self._quiet:
            show_sweep(sys.stdout, found, self._show, wall_s, files)


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
