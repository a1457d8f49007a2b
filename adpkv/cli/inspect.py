"""`adpkv inspect`: where each rank of a running or killed job is, without stopping it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

__all__ = ["inspect"]


def inspect(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PID|DIR",
            help="A process of the job (a rank, mpirun, adpkv run), or the run's folder.",
            show_default=False,
        ),
    ],
    stacks: Annotated[
        bool, typer.Option("--stacks", help="Ask each rank of this host for its Python stacks.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the job is over; Ctrl-C ends it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is seen as JSON.")] = False,
) -> None:
    """Say where each rank of a running or killed job is, without stopping it."""
    from adpkv.errors import UsageError
    from adpkv.inspect.locate import find

    if follow and (stacks or as_json):
        raise UsageError("--follow goes alone: stacks and JSON are of one moment")
    folder = find(target)
    if follow:
        from adpkv.inspect.follow import follow as follow_job

        follow_job(folder, sys.stdout)
        return

    from adpkv.inspect.render import as_values, survey_lines
    from adpkv.inspect.snapshot import take_survey
    from adpkv.inspect.stacks import ask_stacks, stack_lines

    survey = take_survey(folder)
    answers = ask_stacks(folder, survey.ranks) if stacks else None
    if as_json:
        import json

        print(json.dumps(as_values(survey, answers), indent=2))
    else:
        from adpkv.terminal import terminal_columns

        lines = survey_lines(survey, terminal_columns(sys.stdout))
        print("\n".join([*lines, *(stack_lines(answers) if answers else [])]))
