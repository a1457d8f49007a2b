"""`adpkv check`: runs all ranks of a user's own program in this process, under many schedules."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adpkv.cli.check_options import (
    DEFAULT_RANKS,
    Allow,
    Bound,
    Dumps,
    Kill,
    Kills,
    MustHandle,
    Named,
    ProgramArguments,
    Ranks,
    Replay,
    Schedules,
    Seconds,
    Seed,
    Shared,
    ShowOutput,
    Strategy,
    UseMpi,
    UseTorch,
)
from adpkv.cli.launched import launched_rank
from adpkv.cli.options import AsJson, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adpkv.rank_programs.checking import Checked, Plan
    from adpkv.rank_programs.session import Session

__all__ = ["check"]


def check(
    target: Named,
    arguments: ProgramArguments = None,
    ranks: Ranks = None,
    use_torch: UseTorch = False,
    use_mpi: UseMpi = False,
    schedules: Schedules = None,
    seconds: Seconds = 60.0,
    strategy: Strategy = "random",
    seed: Seed = 0,
    kill: Kill = False,
    kills: Kills = None,
    must_handle: MustHandle = False,
    replay: Replay = None,
    allow: Allow = None,
    shared: Shared = None,
    dumps: Dumps = None,
    bound: Bound = 30.0,
    show: ShowOutput = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the ranks of your own program in one process, and find schedules in which they fail.

    Ends with 0 if all schedules end well, 3 if the ranks get stuck,
    4 if one raises, or leaves a message or a request behind, 6 if there
    was no time to walk all of them.
    Under mpirun, `async def program(rank)` runs once, on the real ranks.
    """
    from adpkv.errors import UsageError
    from adpkv.rank_programs.checking import Plan
    from adpkv.rank_programs.choices import from_token
    from adpkv.rank_programs.refusals import ALLOWABLE
    from adpkv.rank_programs.session import Session, Settings
    from adpkv.rank_programs.target import parse_target
    from adpkv.rank_programs.torch_dumps import check_folder

    if launched_rank(os.environ) is not None:
        from adpkv.rank_programs.real_ranks import run_for_real

        if kill or kills or must_handle:
            raise UsageError("--kill is for ranks in virtual time: under mpirun call rank.kill(2)")
        raise typer.Exit(run_for_real(parse_target(target), ranks, bound))
    ranks = ranks or DEFAULT_RANKS
    for word in allow or ():
        if word not in ALLOWABLE:
            raise UsageError(f"--allow {word}: there are {', '.join(ALLOWABLE)}")
    choices = None if replay is None else from_token(replay)
    settings = Settings(
        ranks,
        "torch" if use_torch else "mpi" if use_mpi else "",
        tuple(arguments or ()),
        seed,
        frozenset(allow or ()),
        tuple(shared or ()),
        bound,
        kills or int(kill or must_handle),
        must_handle,
    )
    program = parse_target(target)
    _look_for(shared or (), program.folder)
    session = Session(program, settings, _shown(as_json) if show else None)
    plan = Plan(schedules, seconds, strategy, seed)
    if dumps is not None:
        check_folder(dumps)
    found, written = _performed(session, plan, choices, dumps, quiet=quiet or as_json)
    lost = found.report is not None and not found.report.unending and not written
    if dumps is not None and not (quiet or as_json or lost):
        _tell_dumps(dumps, written)
    _tell(found, target, ranks, written, as_json=as_json, quiet=quiet)


def _performed(
    session: Session, plan: Plan, choices: list[int] | None, dumps: Path | None, *, quiet: bool
) -> tuple[Checked, list[Path]]:
    """The schedules of the plan, or the one that is to be replayed; and the dumps that were
    written."""
    from msgspec.structs import replace

    from adpkv.rank_programs.checking import check as check_all
    from adpkv.rank_programs.checking import replay
    from adpkv.rank_programs.choices import from_token
    from adpkv.rank_programs.shrinking import with_fewer_ranks

    with session:
        if choices is not None:
            found = replay(session, choices)
        else:
            progress = None if quiet else _Progress(plan.most)
            found = check_all(session, plan, progress)
            if progress is not None:
                progress.clear()
        written = []
        if dumps is not None and found.report is not None and not found.report.unending:
            with session.silent():
                written = _dumped(session, from_token(found.report.token), dumps)
    if found.report is None or choices is not None:
        return found, written
    smaller = with_fewer_ranks(session, found.report)
    return replace(found, report=replace(found.report, smaller=smaller)), written


def _dumped(session: Session, choices: list[int], folder: Path) -> list[Path]:
    """The dumps of a find. Where they cannot be written, that is said, and none is left: the find
    is told all the same, and its exit code is the one that counts."""
    from adpkv.rank_programs.torch_dumps import write_dumps
    from adpkv.terminal import final_line

    try:
        return write_dumps(session, choices, folder)
    except OSError as error:
        final_line(f"adpkv: --flight-recorder {folder}: no dumps: {error.strerror or error}")
        return []


def _tell_dumps(folder: Path, written: Sequence[Path]) -> None:
    from adpkv.counting import counted
    from adpkv.terminal import stderr_line

    if written:
        told = f"{counted(len(written), 'dump')} of PyTorch's Flight Recorder in {folder}"
        told += f": {written[0].name} to {written[-1].name}"
    else:
        told = f"no dumps of PyTorch's Flight Recorder in {folder}: no find to write"
    stderr_line(f"adpkv: {told}")


def _look_for(shared: Sequence[str], folder: str) -> None:
    """Each is a module that the program can import.

    Raises:
        UsageError: one is not there, or is a part of a package.
    """
    from importlib.machinery import PathFinder

    from adpkv.errors import UsageError

    for name in shared:
        if "." in name:
            raise UsageError(
                f"--shared {name}: give a top-level module, here {name.partition('.')[0]}"
            )
        if PathFinder.find_spec(name, [folder, *sys.path]) is None:
            raise UsageError(f"--shared {name}: there is no module {name}")


def _shown(as_json: bool) -> Callable[[str], None]:
    stream = sys.stderr if as_json else sys.stdout
    return lambda line: print(line, file=stream)


class _Progress:
    """A line on a terminal's stderr, twice a second at most."""

    def __init__(self, schedules: int) -> None:
        import time

        self._stream, self._clock = sys.stderr, time.monotonic
        self._active = sys.stderr.isatty()
        self._schedules, self._last, self._shown = schedules, time.monotonic(), False

    def __call__(self, done: int) -> None:
        now = self._clock()
        if self._active and now - self._last >= 0.5:
            self._last, self._shown = now, True
            of = "" if self._schedules == sys.maxsize else f" of {self._schedules:,}"
            self._stream.write(f"\r{done:,}{of} schedules")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _tell(
    found: Checked,
    target: str,
    ranks: int,
    written: Sequence[Path],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    import json

    from adpkv.exit_codes import ExitCode
    from adpkv.rank_programs.failure import EXIT_CODES
    from adpkv.rank_programs.killed import killed_values
    from adpkv.rank_programs.report_text import render
    from adpkv.rank_programs.report_values import as_values
    from adpkv.rank_programs.summary import CUT_SHORT, summary
    from adpkv.terminal import stderr_line, terminal_columns

    report = found.report
    counts = {
        "schedules": found.schedules,
        "operations": found.operations,
        "seconds": round(found.seconds, 3),
    }
    if as_json:
        values = {"ok": report is None, "target": target, "ranks": ranks, **counts}
        if found.killed.schedules:
            values["killed"] = killed_values(found.killed)
        if found.walked is not None:
            values["walk"] = found.walked.data()
        if report is not None:
            values["report"] = as_values(report)
        if written:
            values["flight_recorder"] = [str(file) for file in written]
        print(json.dumps(values, indent=2))
    elif report is not None:
        print(render(report, terminal_columns(sys.stdout)))
    if not as_json and not quiet:
        for line in summary(found, ranks, terminal_columns(sys.stderr)):
            print(line, file=sys.stderr)
    if report is not None:
        raise typer.Exit(EXIT_CODES[report.evidence.failure.what])
    if found.walked is not None and not found.walked.complete:
        if quiet and not as_json:
            stderr_line(f"adpkv: {CUT_SHORT}")
        raise typer.Exit(ExitCode.INCOMPLETE)
