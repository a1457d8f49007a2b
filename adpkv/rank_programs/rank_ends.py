"""How a rank's program has ended, and whether its schedule has failed by that."""

from __future__ import annotations

import traceback

from adpkv.errors import LeavesTheModelError
from adpkv.rank_programs.failure import Failure, What, rank_to_blame
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.world import World

__all__ = ["end_with", "raised", "stuck"]


def stuck(world: World) -> Failure:
    """Nobody can go on."""
    waiting = [rank for rank in world.ranks if not rank.ended]
    return Failure(What.DEADLOCK, message=f"{len(waiting)} of {world.size} ranks wait")


def end_with(world: World, rank: Rank, error: BaseException) -> None:
    """A rank's program has raised. Where a rank has died, that may be a way to end: the error that
    the library has given it, or the program's own exit."""
    rank.error = error
    given = rank_to_blame(error) >= 0 or isinstance(error, SystemExit)
    if world.killed and given and not world.strict:
        world.leave(rank, "raised")
        return
    rank.ended = "raised"
    if world.failure is None:
        world.failure = raised(world, rank, error)


def raised(world: World, rank: Rank, error: BaseException) -> Failure:
    """A rank's program ended with an error."""
    refused = _refused(error)
    if refused is not None:
        frames = [frame for frame, _ in traceback.walk_tb(refused.__traceback__)]
        code, line = world.files.place(frames[-1] if frames else None)
        file = code.co_filename if code is not None else ""
        return Failure(What.REFUSED, rank.number, message=str(refused), file=file, line=line)
    try:
        first = next(iter(str(error).splitlines()), "")
    except Exception:
        first = "(its text cannot be had)"
    kind = type(error)
    name = kind.__name__
    if name == "Exception" and kind.__module__ != "builtins":
        name = f"{kind.__module__.rpartition('.')[2]}.{name}"  # MPI's
    told = f"{name}: {first}" if first else name
    return Failure(What.EXCEPTION, rank.number, message=told)


def _refused(error: BaseException) -> LeavesTheModelError | None:
    """What was refused, also where a program has raised something from it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LeavesTheModelError):
            return cause
        cause = cause.__cause__
    return None
