"""`adpkv replay`: plays a run that `adpkv explore` found again, bit for bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from adpkv import __version__
from adpkv.cli.options import AsJson, Quiet
from adpkv.counting import counted
from adpkv.errors import UsageError
from adpkv.exit_codes import ExitCode
from adpkv.terminal import stderr_line
from adpkv.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adpkv.exploration.replay_file import Recorded
    from adpkv.exploration.replaying import Replay

__all__ = ["replay"]

SHOWN: Final = 20
"""Events before the one at which a replay stops."""


def replay(
    given: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A file of `adpkv explore`, or a token.", show_default=False
        ),
    ],
    until: Annotated[
        str | None,
        typer.Option(metavar="EVENT", help="Stop behind this event: its number, or a kind."),
    ] = None,
    story: Annotated[
        list[int] | None,
        typer.Option(metavar="REQUEST", help="Tell the story of a request.", show_default=False),
    ] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Event by event; on a terminal each waits for Enter.")
    ] = False,
    as_regression: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make a file for configs/regressions of it, and a test."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the run there as `adpkv simulate` does; or the regression."
        ),
    ] = None,
    token: Annotated[bool, typer.Option("--token", help="Print the file as a token.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Play a run that explore found again, bit for bit.

    Ends with 4, or 3 if ranks are stuck; 7 if the find is not found any more.
    """
    from adpkv.exploration.replay_file import read_replay
    from adpkv.exploration.replay_file import token as token_of
    from adpkv.exploration.replaying import play, write_run

    recorded = read_replay(given)
    shown = {"--until": until is not None, "--story": bool(story)}
    told = {"--step": step, "--token": token, "--as-regression": as_regression is not None}
    _check_one(shown | told)
    _check_one({"--json": as_json} | told)
    if token:
        print(token_of(recorded))
        return
    if as_regression is not None:
        _keep(recorded, as_regression, out or Path())
        return
    if out is not None:
        write_run(recorded.case, out)
    if until is not None:
        _until(recorded, until, as_json=as_json)
        return
    if step:
        _step(recorded)
        return
    if story:
        _tell(recorded, story, as_json=as_json)
        return
    played = play(recorded)
    if as_json:
        print(json.dumps(played.data(), indent=2))
    elif quiet:
        _tell_the_find(played, out)
    else:
        _show(played)
    _end(played)


def _end(played: Replay) -> NoReturn:
    _note_what_is_gone(played)
    raise typer.Exit(_code(played))


def _tell_the_find(played: Replay, out: Path | None) -> None:
    """In a line, with --quiet; another find than the recorded one is told anyway."""
    if played.trial.found and (played.reproduced or not played.recorded.signature):
        one, where = played.trial.found[0], "" if out is None else f"; files: {out}"
        first, _, _ = one.detail.partition("\n")
        stderr_line(f"adpkv: {one.kind}: {first}{where}")


def _note_what_is_gone(played: Replay) -> None:
    """Also with --quiet: what is not the find that was recorded is no replay of it."""
    from adpkv.exploration.trial import signature

    if not played.recorded.signature or played.reproduced:
        return
    now = signature(played.trial.found) or "nothing"
    why = "the file was edited, or adpkv is another"
    if played.recorded.version != __version__:
        found_by = played.recorded.version or "an unknown version"
        why = f"adpkv {found_by} has found it, this is {__version__}"
    print(
        f"adpkv: {played.recorded.signature} was recorded, and {now} is found now: {why}",
        file=sys.stderr,
    )


def _check_one(asked: Mapping[str, bool]) -> None:
    """They show the same run in different ways, so only one can be meant."""
    given = [name for name, is_given in asked.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: give one of them")


def _code(played: Replay) -> int:
    if not played.trial.found:
        return ExitCode.GONE if played.recorded.signature else ExitCode.COMPLETED
    return ExitCode.DEADLOCK if played.trial.stuck else ExitCode.VIOLATION


def _show(played: Replay) -> None:
    from adpkv.exploration.oracles import EXIT_CODE
    from adpkv.output.tables import wrapped
    from adpkv.terminal import terminal_columns

    columns = terminal_columns(sys.stdout)
    trial, recorded = played.trial, played.recorded
    for number, one in enumerate(trial.found):
        if number and one.kind.startswith(EXIT_CODE):
            continue  # it follows from what is said before
        first, *more = one.detail.splitlines() or [""]
        print(*wrapped(f"{one.kind}: {first}", columns, "", "  "), *more, sep="\n")
    events = counted(len(trial.events), "event")
    if not trial.found:
        print(f"nothing is wrong: {events}, exit code {int(trial.exit_code)}")
    if played.same:
        print(f"the same run, bit for bit: {events}, {trial.digest}")
    elif played.same is False:
        said = recorded.signature or "nothing"
        print(f"another run than the recorded one, which found {said} ({recorded.digest})")


def _until(recorded: Recorded, text: str, *, as_json: bool) -> None:
    from adpkv.exploration.replaying import event_line, play_until, until_of

    stopped = play_until(recorded.case, until_of(text))
    if as_json:
        print(json.dumps(stopped.data(), indent=2))
        return
    first = max(0, len(stopped.events) - SHOWN)
    for number, event in enumerate(stopped.events[first:], first + 1):
        print(event_line(number, event))
    print(f"{stopped.at_ns / 1e6:.6f} ms", *stopped.places, sep="\n")


def _step(recorded: Recorded) -> None:
    from adpkv.exploration.replaying import event_line, play

    played = play(recorded)
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    for number, event in enumerate(played.trial.events, 1):
        print(event_line(number, event), end="" if asks else "\n", flush=asks)
        if asks and not sys.stdin.readline():
            print()
            break
    _show(played)
    _end(played)


def _tell(recorded: Recorded, requests: list[int], *, as_json: bool) -> None:
    from adpkv.exploration.replaying import stories_of
    from adpkv.output.story_text import as_values, story_lines
    from adpkv.terminal import terminal_columns

    columns, stories = terminal_columns(sys.stdout), stories_of(recorded.case, requests)
    if as_json:
        print(json.dumps([as_values(one) for one in stories], indent=2))
        return
    print("\n".join(line for one in stories for line in story_lines(one, columns)))


def _keep(recorded: Recorded, name: str, folder: Path) -> None:
    from adpkv.exploration.regression import regression_files

    made = regression_files(recorded, name)
    for file, _ in made:
        if (folder / file).exists():
            raise UsageError(f"{folder / file}: is there already; choose another name")
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in made:
            write_whole(folder / file, text)
            written.append(folder / file)
    except OSError as error:
        for path in written:  # one without the other is no regression
            path.unlink(missing_ok=True)
        raise UsageError(f"{folder}: cannot write here: {error.strerror}") from None
    for path in written:
        print(path)
