"""Persistent requests: `Send_init` and the like describe an operation once, `Start` begins it each
time. Between a wait and the next start a request is inactive, and waiting for it ends at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.mpi_ranks.buffers import MpiError
from adpkv.rank_programs.mpi_ranks.requests import Request

__all__ = ["PersistentRequest"]


class PersistentRequest(Request):
    """`MPI.Prequest`; `begin` starts the operation, as its call without `_init` would."""

    def __init__(self, driver: Driver, begin: Callable[[], Request]) -> None:
        self._begin = begin
        self._freed = False
        self.__dict__.update(Request.null(driver).__dict__)

    def Start(self) -> None:  # noqa: N802
        """Begin the operation.

        Raises:
            MpiError: it has begun already, and was not waited for; or the request is freed.
        """
        if self._freed:
            raise MpiError("MPI_ERR_REQUEST: a request that was freed cannot be started")
        if not self._over:
            raise MpiError(f"MPI_ERR_REQUEST: {self._what} was started, and not waited for since")
        self.__dict__.update(self._begin().__dict__)

    @classmethod
    def Startall(cls, requests: Sequence[PersistentRequest]) -> None:  # noqa: N802
        """Begin all of them."""
        for request in requests:
            request.Start()

    def Free(self) -> None:  # noqa: N802
        """It cannot be started any more."""
        super().Free()
        self._freed = True

    def __bool__(self) -> bool:
        return not self._freed
