"""`adpkv check`: runs all ranks of a user's own program in this process, under many schedules."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from adpkv.cli.check_options import (
    DEFAULT_RANKS,
    Allow,
    Bound,
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
    from collections.abc import Callable

    from adpkv.rank_programs.checking import Checked

__all__ = ["check"]


def check(
    target: Named,
    arguments: ProgramArguments = None,
    ranks: Ranks = None,
    use_torch: UseTorch = False,
    use_mpi: UseMpi = False,
    schedules: Schedules = 1000,
    seconds: Seconds = 60.0,
    strategy: Strategy = "random",
    seed: Seed = 0,
    replay: Replay = "",
    allow: Allow = None,
    shared: Shared = None,
    bound: Bound = 30.0,
    show: ShowOutput = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the ranks of your own program in one process, and find schedules in which they fail.

    Ends with 0 if all schedules end well, 3 if the ranks get stuck, 4 if one raises.
    Under mpirun, `async def program(rank)` runs once, on the real ranks.
    """
    from adpkv.errors import UsageError
    from adpkv.rank_programs.checking import Plan
    from adpkv.rank_programs.checking import check as check_all
    from adpkv.rank_programs.checking import replay as replay_one
    from adpkv.rank_programs.choices import from_token, strategy_of
    from adpkv.rank_programs.refusals import ALLOWABLE
    from adpkv.rank_programs.session import Session, Settings
    from adpkv.rank_programs.target import parse_target

    if launched_rank(os.environ) is not None:
        from adpkv.rank_programs.real_ranks import run_for_real

        raise typer.Exit(run_for_real(parse_target(target), ranks, bound))
    ranks = ranks or DEFAULT_RANKS
    for word in allow or ():
        if word not in ALLOWABLE:
            raise UsageError(f"--allow {word}: there are {', '.join(ALLOWABLE)}")
    choices = from_token(replay) if replay else None
    strategy_of(strategy, 0)
    settings = Settings(
        ranks,
        "torch" if use_torch else "mpi" if use_mpi else "",
        tuple(arguments or ()),
        seed,
        frozenset(allow or ()),
        tuple(shared or ()),
        bound,
    )
    show_line = _shown(as_json) if show else None
    with Session(parse_target(target), settings, show_line) as session:
        if choices is not None:
            found = replay_one(session, choices)
        else:
            progress = None if quiet or as_json else _Progress(schedules)
            found = check_all(session, Plan(schedules, seconds, strategy, seed), progress)
            if progress is not None:
                progress.clear()
    _tell(found, target, ranks, as_json=as_json, quiet=quiet)


def _shown(as_json: bool) -> Callable[[str], None]:
    import sys

    stream = sys.stderr if as_json else sys.stdout
    return lambda line: print(line, file=stream)


class _Progress:
    """A line on a terminal's stderr, twice a second at most."""

    def __init__(self, schedules: int) -> None:
        import sys
        import time

        self._stream, self._clock = sys.stderr, time.monotonic
        self._active = sys.stderr.isatty()
        self._schedules, self._last, self._shown = schedules, time.monotonic(), False

    def __call__(self, done: int) -> None:
        now = self._clock()
        if self._active and now - self._last >= 0.5:
            self._last, self._shown = now, True
            self._stream.write(f"\r{done:,} of {self._schedules:,} schedules")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _tell(found: Checked, target: str, ranks: int, *, as_json: bool, quiet: bool) -> None:
    import json
    import sys

    from adpkv.rank_programs.failure import EXIT_CODES
    from adpkv.rank_programs.report import as_values, render
    from adpkv.terminal import terminal_columns

    report = found.report
    counts = {
        "schedules": found.schedules,
        "operations": found.operations,
        "seconds": round(found.seconds, 3),
    }
    if as_json:
        values = {"ok": report is None, "target": target, "ranks": ranks, **counts}
        if report is not None:
            values["report"] = as_values(report)
        print(json.dumps(values, indent=2))
    elif report is not None:
        print(render(report, terminal_columns(sys.stdout)))
    if not as_json and not quiet:
        number = "1 schedule" if found.schedules == 1 else f"{found.schedules:,} schedules"
        end = "no failure" if report is None else "the last one failed"
        what = (
            f"{number} of {ranks} ranks in {found.seconds:.1f} s, {found.operations:,} operations"
        )
        print(f"adpkv: {what} in the first: {end}", file=sys.stderr)
    if report is not None:
        raise typer.Exit(EXIT_CODES[report.evidence.failure.what])
