"""`MPI.Comm` over the ranks of a schedule: who is in it, messages, and new communicators.

Its collectives are in `collectives`. One object serves all ranks that share it: whose call it is,
follows from the rank that runs.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import Failure, What
from adpkv.rank_programs.mpi_ranks.buffers import MpiError, view
from adpkv.rank_programs.mpi_ranks.group import GroupOfRanks
from adpkv.rank_programs.mpi_ranks.messages import ANY, EAGER_BYTES, Message, Messages, Receive
from adpkv.rank_programs.mpi_ranks.peers import Living, check_revoked, wait_for
from adpkv.rank_programs.mpi_ranks.requests import Request, Status
from adpkv.rank_programs.operations import Arrival, Collective, Operation
from adpkv.rank_programs.world import Group, Rank, World

__all__ = ["ERRORS_RETURN", "PROC_NULL", "Comm", "Shared"]

ERRORS_RETURN: Final = "ERRORS_RETURN"
PROC_NULL: Final = -2


class Shared:
    """What all communicators of a schedule share."""

    def __init__(self, driver: Driver, world: World) -> None:
        self.driver, self.world, self.messages = driver, world, Messages(world)
        self.numbers: dict[str, int] = {}
        """By name of a communicator: how many were made of it."""


class Comm:
    """A communicator, as far as it is about members and messages."""

    def __new__(cls, *_: Any) -> Comm:
        """Classes of a program may be made from one of ours: `class Mine(MPI.Intracomm)`."""
        return object.__new__(cls)

    def __init__(self, shared: Any = None, group: Callable[[], Group] | None = None) -> None:
        """`shared` is another communicator where a program makes its own of it."""
        self._shared: Callable[[], Shared] = shared
        self._group: Callable[[], Group] = group  # type: ignore[assignment]
        if isinstance(shared, Comm):
            self._shared, self._group = shared._shared, shared._group
        self.name = ""

    # -- who it is ---------------------------------------------------------------------------

    def _here(self) -> Rank:
        rank = self._shared().driver.rank_here()
        if rank is None:
            raise MpiError("communicators are used by ranks alone while a check runs")
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

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"adpkv check does not provide MPI.Comm.{name}")

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
        """Nothing to do."""

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

    # -- sending -----------------------------------------------------------------------------

    def _send(
        self, data: Any, nbytes: int, dest: int, tag: int, *, waits: bool, kind: str
    ) -> tuple[Message | None, Rank]:
        rank, shared = self._here(), self._shared()
        shared.driver.pause(rank)
        if dest == PROC_NULL:
            return None, rank
        self._one(dest)
        group = self._group()
        check_revoked(shared.driver, rank, group, kind)
        eager = not waits and nbytes <= EAGER_BYTES
        message = Message(group.number, self.Get_rank(), dest, tag, data, nbytes)
        text = f"{kind} to rank {group.ranks[dest]}, tag {tag}, {nbytes} bytes"
        shared.messages.send(rank, message, text, eager=eager)
        return message, rank

    def _sent(self, message: Message | None, rank: Rank, kind: str) -> None:
        if message is not None:
            told = f"{kind} to rank {self._group().ranks[message.to]}"
            wait_for(self._shared().driver, rank, message, told)

    def _request(self, message: Message | None, rank: Rank, kind: str) -> Request:
        driver = self._shared().driver
        if message is None:
            return Request.null(driver)
        told = f"{kind} to rank {self._group().ranks[message.to]}"
        return Request(driver, rank, message, told, lambda: None, message.arrival)

    def send(self, obj: Any, dest: int, tag: int = 0) -> None:
        """An object."""
        data = pickle.dumps(obj)
        self._sent(*self._send(data, len(data), dest, tag, waits=False, kind="send"), "send")

    bsend = send

    def ssend(self, obj: Any, dest: int, tag: int = 0) -> None:
        """An object; over once it is received."""
        data = pickle.dumps(obj)
        self._sent(*self._send(data, len(data), dest, tag, waits=True, kind="ssend"), "ssend")

    def isend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """An object, later."""
        data = pickle.dumps(obj)
        message, rank = self._send(data, len(data), dest, tag, waits=False, kind="isend")
        return self._request(message, rank, "isend")

    ibsend = isend

    def issend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """An object, later; over once it is received."""
        data = pickle.dumps(obj)
        message, rank = self._send(data, len(data), dest, tag, waits=True, kind="issend")
        return self._request(message, rank, "issend")

    def Send(self, buf: Any, dest: int, tag: int = 0) -> None:  # noqa: N802
        """A buffer."""
        data = view(buf).copy()
        self._sent(*self._send(data, data.nbytes, dest, tag, waits=False, kind="Send"), "Send")

    Bsend = Rsend = Send

    def Ssend(self, buf: Any, dest: int, tag: int = 0) -> None:  # noqa: N802
        """A buffer; over once it is received."""
        data = view(buf).copy()
        self._sent(*self._send(data, data.nbytes, dest, tag, waits=True, kind="Ssend"), "Ssend")

    def Isend(self, buf: Any, dest: int, tag: int = 0) -> Request:  # noqa: N802
        """A buffer, later."""
        data = view(buf)
        eager = data.nbytes <= EAGER_BYTES
        kept = data.copy() if eager else data
        message, rank = self._send(kept, data.nbytes, dest, tag, waits=False, kind="Isend")
        return self._request(message, rank, "Isend")

    Ibsend = Irsend = Isend

    def Issend(self, buf: Any, dest: int, tag: int = 0) -> Request:  # noqa: N802
        """A buffer, later; over once it is received."""
        data = view(buf)
        message, rank = self._send(data, data.nbytes, dest, tag, waits=True, kind="Issend")
        return self._request(message, rank, "Issend")

    # -- receiving ---------------------------------------------------------------------------

    def _receive(self, source: int, tag: int, kind: str, into: Any = None) -> tuple[Receive, Rank]:
        rank, shared = self._here(), self._shared()
        shared.driver.pause(rank)
        receive = Receive(self._group().number, self.Get_rank(), source, tag)
        if source == PROC_NULL:
            receive.done = True
            return receive, rank
        if source != ANY:
            self._one(source)
        check_revoked(shared.driver, rank, self._group(), kind)
        receive.probes = kind in ("probe", "Probe")
        if into is not None:
            receive.deliver = lambda message: _copy(message, view(into))
        shared.messages.receive(rank, receive, f"{kind} from {self._who(source)}")
        return receive, rank

    def _who(self, source: int) -> str:
        return "any rank" if source == ANY else f"rank {self._group().ranks[source]}"

    def _received(
        self, receive: Receive, rank: Rank, kind: str, status: Status | None
    ) -> Message | None:
        if receive.source != PROC_NULL:
            told = f"{kind} from {self._who(receive.source)}"
            wait_for(self._shared().driver, rank, receive, told)
        if status is not None:
            status.fill(receive.message)
            if receive.source == PROC_NULL:
                status.source = PROC_NULL
        return receive.message

    def recv(
        self, buf: Any = None, source: int = ANY, tag: int = ANY, status: Status | None = None
    ) -> Any:
        """An object."""
        return _object(self._received(*self._receive(source, tag, "recv"), "recv", status))

    def irecv(self, buf: Any = None, source: int = ANY, tag: int = ANY) -> Request:
        """An object, later."""
        receive, rank = self._receive(source, tag, "irecv")
        return self._receiving(receive, rank, "irecv", lambda: _object(receive.message))

    def _receiving(
        self, receive: Receive, rank: Rank, kind: str, result: Callable[[], Any]
    ) -> Request:
        shared = self._shared()
        if receive.source == PROC_NULL:
            return Request.null(shared.driver)
        told = f"{kind} from {self._who(receive.source)}"
        return Request(shared.driver, rank, receive, told, result, receive.arrival, shared.messages)

    def Recv(  # noqa: N802
        self, buf: Any, source: int = ANY, tag: int = ANY, status: Status | None = None
    ) -> None:
        """A buffer."""
        self._received(*self._receive(source, tag, "Recv", buf), "Recv", status)

    def Irecv(self, buf: Any, source: int = ANY, tag: int = ANY) -> Request:  # noqa: N802
        """A buffer, later."""
        receive, rank = self._receive(source, tag, "Irecv", buf)
        return self._receiving(receive, rank, "Irecv", lambda: None)

    def probe(self, source: int = ANY, tag: int = ANY, status: Status | None = None) -> bool:
        """Wait for a message, and leave it."""
        self._received(*self._receive(source, tag, "probe"), "probe", status)
        return True

    Probe = probe

    def iprobe(self, source: int = ANY, tag: int = ANY, status: Status | None = None) -> bool:
        """Is there a message?"""
        rank, shared = self._here(), self._shared()
        sought = Receive(self._group().number, self.Get_rank(), source, tag)
        shared.driver.pause(rank)
        message = shared.messages.find(sought)
        if message is None:
            shared.driver.pause(rank, polling=True)
            message = shared.messages.find(sought)
        if status is not None:
            status.fill(message)
        return message is not None

    Iprobe = iprobe

    def sendrecv(
        self,
        sendobj: Any,
        dest: int,
        sendtag: int = 0,
        recvbuf: Any = None,
        source: int = ANY,
        recvtag: int = ANY,
        status: Status | None = None,
    ) -> Any:
        """Both at once."""
        receive, rank = self._receive(source, recvtag, "recv")
        request = self.isend(sendobj, dest, sendtag)
        found = _object(self._received(receive, rank, "sendrecv", status))
        request.wait()
        return found

    def Sendrecv(  # noqa: N802
        self,
        sendbuf: Any,
        dest: int,
        sendtag: int = 0,
        recvbuf: Any = None,
        source: int = ANY,
        recvtag: int = ANY,
        status: Status | None = None,
    ) -> None:
        """Both at once."""
        sent = view(sendbuf).copy()
        receive, rank = self._receive(source, recvtag, "Recv", recvbuf)
        request = self.Isend(sent, dest, sendtag)
        self._received(receive, rank, "Sendrecv", status)
        request.wait()

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


def _object(message: Message | None) -> Any:
    return None if message is None else pickle.loads(message.data)


def _copy(message: Message, into: np.ndarray[Any, Any]) -> None:
    data = message.data
    if not isinstance(data, np.ndarray):
        data = np.frombuffer(data, dtype=np.uint8)
    if data.nbytes > into.nbytes:
        raise MpiError(
            f"MPI_ERR_TRUNCATE: a message of {data.nbytes} bytes is received into {into.nbytes}"
        )
    into.view(np.uint8)[: data.nbytes] = np.ascontiguousarray(data).view(np.uint8)
