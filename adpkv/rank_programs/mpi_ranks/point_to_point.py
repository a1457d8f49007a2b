"""Messages of a communicator: objects and buffers, blocking and later, and probes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from adpkv.rank_programs.mpi_ranks.buffers import MpiError, view
from adpkv.rank_programs.mpi_ranks.communicator import PROC_NULL, Comm
from adpkv.rank_programs.mpi_ranks.messages import ANY, EAGER_BYTES, Message, Receive
from adpkv.rank_programs.mpi_ranks.peers import check_revoked, wait_for
from adpkv.rank_programs.mpi_ranks.requests import Request, Status
from adpkv.rank_programs.world import Rank

__all__ = ["PointToPoint"]


class PointToPoint(Comm):
    """A communicator, as far as it is about messages."""

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
        text = f"{self._to(message)}, {nbytes} bytes"
        shared.messages.send(rank, message, kind, text, eager=eager)
        return message, rank

    def _sent(self, message: Message | None, rank: Rank, kind: str) -> None:
        if message is not None:
            wait_for(self._shared().driver, rank, message, f"{kind} {self._to(message)}")

    def _to(self, message: Message) -> str:
        return f"to rank {self._group().ranks[message.to]}, tag {message.tag}"

    def _request(self, message: Message | None, rank: Rank, kind: str) -> Request:
        driver = self._shared().driver
        if message is None:
            return Request.null(driver)
        told = f"{kind} {self._to(message)}"
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
        shared.messages.receive(rank, receive, kind, self._from(receive))
        return receive, rank

    def _from(self, receive: Receive) -> str:
        source, tag = receive.source, receive.tag
        who = "any rank" if source == ANY else f"rank {self._group().ranks[source]}"
        return f"from {who}" + (f", tag {tag}" if tag != ANY else "")

    def _received(
        self, receive: Receive, rank: Rank, kind: str, status: Status | None
    ) -> Message | None:
        if receive.source != PROC_NULL:
            told = f"{kind} {self._from(receive)}"
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
        told = f"{kind} {self._from(receive)}"
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
        if message is not None:
            shared.messages.looked(rank, sought, "iprobe", self._from(sought), message)
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
        receive, rank = self._receive(source, recvtag, "sendrecv")
        data = pickle.dumps(sendobj)
        sent, _ = self._send(data, len(data), dest, sendtag, waits=False, kind="sendrecv")
        found = _object(self._received(receive, rank, "sendrecv", status))
        self._sent(sent, rank, "sendrecv")
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
        receive, rank = self._receive(source, recvtag, "Sendrecv", recvbuf)
        message, _ = self._send(sent, sent.nbytes, dest, sendtag, waits=False, kind="Sendrecv")
        self._received(receive, rank, "Sendrecv", status)
        self._sent(message, rank, "Sendrecv")


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
