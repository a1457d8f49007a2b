"""`MPI.Comm` over the ranks of a schedule: who is in it, and what comes of ranks that are gone.

Messages are in `point_to_point`, collectives in `collectives`. One object serves all ranks that
share it: whose call it is, follows from the rank that runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import Failure, What
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.mpi_ranks.buffers import MpiError
from adpkv.rank_programs.mpi_ranks.group import GroupOfRanks
from adpkv.rank_programs.mpi_ranks.messages import Messages
from adpkv.rank_programs.mpi_ranks.peers import Living, check_revoked
from adpkv.rank_programs.mpi_ranks.provided import Provided
from adpkv.rank_programs.operations import Arrival, Collective, Operation
from adpkv.rank_programs.world import World

__all__ = ["ERRORS_RETURN", "PROC_NULL", "Comm", "Shared"]

ERRORS_RETURN: Final = "ERRORS_RETURN"
PROC_NULL: Final = -2


class Shared:
    """What all communicators of a schedule share."""

    def __init__(self, driver: Driver, world: World) -> None:
        self.driver, self.world, self.messages = driver, world, Messages(world)
        self.numbers: dict[str, int] = {}
        """By name of a communicator: how many were made of it."""
        self.attached: dict[int, Any] = {}
        """By rank: the buffer that it has given MPI."""
        self.finalized: set[int] = set()
        """The ranks that have called `MPI.Finalize`."""


class Comm(Provided):
    """A communicator, as far as it is about members."""

    def __new__(cls, *_: Any) -> Comm:
        """Classes of a program may be made from one of ours: `class Mine(MPI.Intracomm)`."""
        return object.__new__(cls)

    def __init__(self, shared: Any = None, group: Callable[[], Group] | None = None) -> None:
        """`shared` is another communicator where a program makes its own of it."""
        self._shared: Callable[[], Shared] = shared
        self._group: Callable[[], Group] = group  # type: ignore[assignment]
        if isinstance(shared, Comm):
            self._shared, self._group = shared._shared, shared._group
        self.name, self._freed = "", False

    # -- who it is ---------------------------------------------------------------------------

    def _here(self) -> Rank:
        rank = self._shared().driver.rank_here()
        if rank is None:
            raise MpiError("communicators are used by ranks alone while a check runs")
        if self._freed:
            raise MpiError(f"MPI_ERR_COMM: {self._group().name} is used after it was freed")
        if rank.number in self._shared().finalized:
            raise MpiError("MPI_ERR_OTHER: a communicator is used after MPI.Finalize()")
        return rank

    def Get_rank(self) -> int:  # noqa: N802
        """The number of the rank that asks."""
        return self._group().ranks.index(self._here().number)

    def Get_size(self) -> int:  # noqa: N802
        """How many members there are."""
        return len(self._group().ranks)

    rank, size = property(Get_rank), property(Get_size)

    def Get_group(self) -> GroupOfRanks:  # noqa: N802
        """Its members."""
        return GroupOfRanks(self._group().ranks, lambda: self._here().number)

    group = property(Get_group)

    def Get_name(self) -> str:  # noqa: N802
        """Its name."""
        return self.name or self._group().name

    def Set_name(self, name: str) -> None:  # noqa: N802
        """Give it a name."""
        self.name = name

    def Is_inter(self) -> bool:  # noqa: N802
        """No: there are no intercommunicators here."""
        return False

    def Is_intra(self) -> bool:  # noqa: N802
        """Yes."""
        return True

    def adpkv_label(self) -> str:
        """In a report."""
        return self._group().name

    def __repr__(self) -> str:
        return f"<{self._group().name}>" if self._group is not None else "<MPI.COMM_NULL>"

    def Get_attr(self, keyval: int) -> int | None:  # noqa: N802
        """The largest tag is the one attribute."""
        return keyval if keyval == 2**31 - 1 else None

    def Set_errhandler(self, handler: Any) -> None:  # noqa: N802
        """With ERRORS_RETURN a rank that is gone is an error here, and not the end of the job.
        Other errors are raised, whatever the program asks for."""
        raising = self._group().raising
        if handler == ERRORS_RETURN:
            raising.add(self._here().number)
        else:
            raising.discard(self._here().number)

    def Get_errhandler(self) -> str:  # noqa: N802
        """Which one it is."""
        here = self._here().number in self._group().raising
        return ERRORS_RETURN if here else "ERRORS_ARE_FATAL"

    def Free(self) -> None:  # noqa: N802
        """It cannot be used any more. (MPI frees it once all members have called this.)"""
        self._here()
        self._freed = True

    def __bool__(self) -> bool:
        return not self._freed

    Disconnect = Free

    def Abort(self, code: int = 0) -> None:  # noqa: N802
        """The program gives up."""
        rank, shared = self._here(), self._shared()
        if shared.world.killed and not shared.world.strict:
            shared.world.abort(rank)  # that is what it does about a rank that is gone
        told = f"MPI_Abort({code})"
        shared.driver.fail(rank, Failure(What.EXCEPTION, rank.number, message=told))

    # -- ranks that are gone (ULFM) ------------------------------------------------------------

    def Revoke(self) -> None:  # noqa: N802
        """Whoever waits in it, or begins something in it, gets ERR_REVOKED."""
        shared, rank = self._shared(), self._here()
        shared.driver.pause(rank)
        shared.world.progressed()
        self._group().revoked = True
        shared.world.tell_all()

    def Is_revoked(self) -> bool:  # noqa: N802
        """Has a member revoked it?"""
        return self._group().revoked

    def Get_failed(self) -> GroupOfRanks:  # noqa: N802
        """The members that are gone."""
        gone = self._shared().world.gone
        failed = [rank for rank in self._group().ranks if rank in gone]
        return GroupOfRanks(failed, lambda: self._here().number)

    def Ack_failed(self, num_to_ack: int | None = None) -> int:  # noqa: N802
        """How many there are; a receive from any rank still ends with an error."""
        return len(self.Get_failed().ranks)

    def Agree(self, flag: int) -> int:  # noqa: N802
        """All members that live come; the bits that all of them have."""
        shared = self._shared()
        found = Living(shared.driver, self._here, self._group()).meet("Agree", int(flag))
        return int(functools.reduce(lambda one, other: one & other, found.values()))

    def _one(self, number: int) -> None:
        if not 0 <= number < self.Get_size():
            raise MpiError(f"MPI_ERR_RANK: there is no rank {number}: there are {self.Get_size()}")

    # -- collectives, as `collectives` needs them ----------------------------------------------

    def _come(
        self, kind: str, key: tuple[Any, ...], text: str, payload: Any, combine: Any
    ) -> tuple[Collective, Rank, Arrival]:
        rank, shared = self._here(), self._shared()
        shared.driver.pause(rank)
        check_revoked(shared.driver, rank, self._group(), kind)
        operation = Operation(kind, key, text)
        found = shared.driver.arrive(rank, self._group(), operation, payload, combine)
        return found, rank, rank.history[-1]
