"""What MPI does on a rank that needs one that is gone, and how a program goes on without it (ULFM).

Without more, a process that is gone ends the job: mpirun kills the others. Where the program has
called `comm.Set_errhandler(MPI.ERRORS_RETURN)`, as under `mpirun --with-ft ulfm`, the call raises
`MPI.Exception` of class ERR_PROC_FAILED, or ERR_REVOKED once a member has called `comm.Revoke()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import Failure, What, lost
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.mpi_ranks.buffers import (
    ERR_PROC_FAILED,
    ERR_PROC_FAILED_PENDING,
    ERR_REVOKED,
    MpiError,
)
from adpkv.rank_programs.operations import Arrival, Collective, Operation, Wait

__all__ = ["Living", "check_revoked", "told", "wait_for"]


def wait_for(driver: Driver, rank: Rank, on: Any, what: str) -> None:
    """Wait until it is done. Where it never is, because a rank is gone: what MPI does then."""
    if not driver.wait(rank, on, what):
        told(driver, rank, on, what, driver.world.groups[on.group])


def told(driver: Driver, rank: Rank, on: Wait, what: str, group: Group) -> NoReturn:
    """The error about a rank that is gone, or the end of the job."""
    world = driver.world
    gone = on.torn if on.done else on.missing(world)
    any_source = getattr(on, "source", 0) == -1
    driver.refuse(rank)
    if rank.number not in group.raising:
        if world.strict:
            message = f"MPI ended the job: rank {gone} was gone, and errors are fatal"
            driver.fail(rank, Failure(What.EXCEPTION, rank.number, message=message))
        world.abort(rank)
    if gone < 0:
        gone = world.gone[0] if world.gone else rank.number
        raise lost(MpiError(f"MPI_ERR_REVOKED: {group.name} was revoked", ERR_REVOKED), gone)
    code, name = ERR_PROC_FAILED, "MPI_ERR_PROC_FAILED"
    if any_source:
        code, name = ERR_PROC_FAILED_PENDING, "MPI_ERR_PROC_FAILED_PENDING"
    raise lost(MpiError(f"{name}: rank {gone} has failed, in {what}", code), gone)


def check_revoked(driver: Driver, rank: Rank, group: Group, what: str) -> None:
    """Nothing can be begun in a communicator that was revoked."""
    if group.revoked:
        told(driver, rank, Wait(), what, group)


def _payloads(collective: Collective, arrivals: Sequence[Arrival]) -> None:
    collective.values = {arrival.rank: arrival.payload for arrival in arrivals}


class Living:
    """Collectives of those members of a communicator that live: `Shrink` and `Agree`."""

    def __init__(self, driver: Driver, here: Callable[[], Rank], group: Group) -> None:
        self._driver, self._here, self._of = driver, here, group

    def meet(self, kind: str, value: Any) -> dict[int, Any]:
        """By rank: what each brought that lived to bring it."""
        driver, rank, world = self._driver, self._here(), self._driver.world
        group = world.group(f"the living of {self._of.name}", self._of.ranks)
        group.living = True
        driver.pause(rank)
        found = driver.arrive(rank, group, Operation(kind), value, _payloads)
        driver.wait(rank, found, kind)
        values: dict[int, Any] = found.values
        return values
