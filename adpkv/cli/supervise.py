"""`adpkv supervise`: runs a command, and again where its exit code says that this may help."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["supervise"]

MOST_S = 1e6


def supervise(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="What to run: adpkv run FILE.", show_default=False),
    ],
    restarts: Annotated[
        int, typer.Option(metavar="N", min=0, max=1_000_000, help="At most so often.")
    ] = 5,
    first: Annotated[
        float,
        typer.Option(metavar="S", min=0, max=MOST_S, help="Seconds before the first restart."),
    ] = 2.0,
    most: Annotated[
        float, typer.Option(metavar="S", min=0, max=MOST_S, help="The longest pause, in seconds.")
    ] = 300.0,
    steady: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            max=MOST_S,
            help="A run of so many seconds makes count and pause begin anew.",
        ),
    ] = 3600.0,
) -> None:
    """Run a command; start it again when it ends with 75 (unhealthy) or 5 (a rank failed).

    Options stand before COMMAND; what follows it is the command's own.
    """
    from adpkv.worlds.mpi.launcher.supervise import RestartPolicy, Supervisor

    restart_policy = RestartPolicy(restarts, first, most, steady)
    raise typer.Exit(Supervisor(command, restart_policy).run())
