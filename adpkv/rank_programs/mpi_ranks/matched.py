"""`MPI.Message`: what `mprobe` and `improbe` have found and kept for the one who asked.

Nobody else can receive it, and its sender waits on until it is received by this handle.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.mpi_ranks.buffers import MpiError, view
from adpkv.rank_programs.mpi_ranks.messages import Message, Messages
from adpkv.rank_programs.mpi_ranks.provided import Provided
from adpkv.rank_programs.mpi_ranks.requests import Request, Status
from adpkv.rank_programs.operations import Arrival, Wait

__all__ = ["NO_MESSAGE", "MatchedMessage", "copied", "loaded_object"]


def loaded_object(message: Message | None) -> Any:
    """The object that was sent; None of no message."""
    return None if message is None else pickle.loads(message.data)


def copied(message: Message, into: np.ndarray[Any, Any]) -> None:
    """Write what was sent into a buffer. Raises MpiError where it is too small."""
    data = message.data
    if not isinstance(data, np.ndarray):
        data = np.frombuffer(data, dtype=np.uint8)
    if data.nbytes > into.nbytes:
        raise MpiError(
            f"MPI_ERR_TRUNCATE: a message of {data.nbytes} bytes is received into {into.nbytes}"
        )
    into.view(np.uint8)[: data.nbytes] = np.ascontiguousarray(data).view(np.uint8)


class MatchedMessage(Provided):
    """A message that is kept for one rank; `message` is None for that of `PROC_NULL`."""

    def __init__(
        self, driver: Driver, messages: Messages, rank: Rank, message: Message | None
    ) -> None:
        self._driver, self._messages, self._rank = driver, messages, rank
        self._message = message
        self._over = False

    def __bool__(self) -> bool:
        return not self._over

    @classmethod
    def probe(
        cls, comm: Any, source: int = -1, tag: int = -1, status: Status | None = None
    ) -> MatchedMessage:
        """The same as `comm.mprobe`."""
        found: MatchedMessage = comm.mprobe(source, tag, status)
        return found

    @classmethod
    def iprobe(
        cls, comm: Any, source: int = -1, tag: int = -1, status: Status | None = None
    ) -> MatchedMessage | None:
        """The same as `comm.improbe`."""
        found: MatchedMessage | None = comm.improbe(source, tag, status)
        return found

    Probe, Iprobe = probe, iprobe

    def _taken(self, kind: str, status: Status | None) -> tuple[Message | None, Arrival | None]:
        if self._over:
            raise MpiError("MPI_ERR_REQUEST: this message was received already")
        self._over = True
        message, arrival = self._message, None
        if message is not None:
            self._driver.pause(self._rank)
            text = f"from rank {message.arrival.rank}, tag {message.tag}"
            arrival = self._messages.take(self._rank, message, kind, text)
        if status is not None:
            status.fill(message)
        return message, arrival

    def recv(self, status: Status | None = None) -> Any:
        """The object."""
        return loaded_object(self._taken("mrecv", status)[0])

    def Recv(self, buf: Any, status: Status | None = None) -> None:  # noqa: N802
        """Its buffer."""
        message, _ = self._taken("Mrecv", status)
        if message is not None:
            copied(message, view(buf))

    def _request(self, kind: str, buf: Any = None) -> Request:
        message, arrival = self._taken(kind, None)
        if message is None or arrival is None:
            return Request.null(self._driver)
        if buf is not None:
            copied(message, view(buf))
        done = Wait()
        done.done = True
        found = None if buf is not None else message
        return Request(self._driver, self._rank, done, kind, lambda: loaded_object(found), arrival)

    def irecv(self) -> Request:
        """The object, later."""
        return self._request("imrecv")

    def Irecv(self, buf: Any) -> Request:  # noqa: N802
        """Its buffer, later."""
        return self._request("Imrecv", buf)


class _NoMessage:
    """`MPI.MESSAGE_NULL`."""

    def __bool__(self) -> bool:
        return False


NO_MESSAGE = _NoMessage()
