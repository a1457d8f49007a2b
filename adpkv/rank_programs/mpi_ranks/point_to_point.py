"""Messages of a communicator: objects and buffers, blocking and later, and probes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from adpkv.rank_programs.members import Rank
from adpkv.rank_programs.mpi_ranks.buffers import MpiError, view
from adpkv.rank_programs.mpi_ranks.communicator import PROC_NULL, Comm
from adpkv.rank_programs.mpi_ranks.matched import MatchedMessage, copied, loaded_object
from adpkv.rank_programs.mpi_ranks.messages import ANY, EAGER_BYTES, Message, Receive
from adpkv.rank_programs.mpi_ranks.peers import check_revoked, wait_for
from adpkv.rank_programs.mpi_ranks.persistent import PersistentRequest
from adpkv.rank_programs.mpi_ranks.requests import Request, Status

__all__ = ["PointToPoint"]


class PointToPoint(Comm):
    """A communicator, as far as it is about messages."""

    # -- sending -----------------------------------------------------------------------------

    def _send(
        self, data: Any, nbytes: int, dest: int, tag: int, *, waits: bool | None, kind: str
    ) -> tuple[Message | None, Rank]:
        """`waits` for its receive: True always, None never, False if it is large."""
        rank, shared = self._here(), self._shared()
        shared.driver.pause(rank)
        if dest == PROC_NULL:
            return None, rank
        self._one(dest)
        if tag < 0:
            raise MpiError(f"MPI_ERR_TAG: a message cannot have tag {tag}")
        group = self._group()
        check_revoked(shared.driver, rank, group, kind)
        eager = waits is None or (not waits and nbytes <= EAGER_BYTES)
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

    def bsend(self, obj: Any, dest: int, tag: int = 0) -> None:
        """An object, which is buffered."""
        data = pickle.dumps(obj)
        self._send(data, len(data), dest, tag, waits=None, kind="bsend")

    def ssend(self, obj: Any, dest: int, tag: int = 0) -> None:
        """An object; over once it is received."""
        data = pickle.dumps(obj)
        self._sent(*self._send(data, len(data), dest, tag, waits=True, kind="ssend"), "ssend")

    def isend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """An object, later."""
        data = pickle.dumps(obj)
        message, rank = self._send(data, len(data), dest, tag, waits=False, kind="isend")
        return self._request(message, rank, "isend")

    def ibsend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """An object, which is buffered, later."""
        data = pickle.dumps(obj)
        message, rank = self._send(data, len(data), dest, tag, waits=None, kind="ibsend")
        return self._request(message, rank, "ibsend")

    def issend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """An object, later; over once it is received."""
        data = pickle.dumps(obj)
        message, rank = self._send(data, len(data), dest, tag, waits=True, kind="issend")
        return self._request(message, rank, "issend")

    def Send(self, buf: Any, dest: int, tag: int = 0) -> None:  # noqa: N802
        """A buffer."""
        data = view(buf).copy()
        self._sent(*self._send(data, data.nbytes, dest, tag, waits=False, kind="Send"), "Send")

    Rsend = Send

    def Bsend(self, buf: Any, dest: int, tag: int = 0) -> None:  # noqa: N802
        """A buffer, which is copied into one of MPI's."""
        data = view(buf).copy()
        self._send(data, data.nbytes, dest, tag, waits=None, kind="Bsend")

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

    Irsend = Isend

    def Ibsend(self, buf: Any, dest: int, tag: int = 0) -> Request:  # noqa: N802
        """A buffer, which is copied into one of MPI's, later."""
        data = view(buf).copy()
        message, rank = self._send(data, data.nbytes, dest, tag, waits=None, kind="Ibsend")
        return self._request(message, rank, "Ibsend")

    def Issend(self, buf: Any, dest: int, tag: int = 0) -> Request:  # noqa: N802
        """A buffer, later; over once it is received."""
        data = view(buf)
        message, rank = self._send(data, data.nbytes, dest, tag, waits=True, kind="Issend")
        return self._request(message, rank, "Issend")

    def _persistent(self, begin: Callable[[], Request]) -> PersistentRequest:
        return PersistentRequest(self._shared().driver, begin)

    def Send_init(self, buf: Any, dest: int, tag: int = 0) -> PersistentRequest:  # noqa: N802
        """A buffer, each time that it is started."""
        return self._persistent(lambda: self.Isend(buf, dest, tag))

    Rsend_init = Send_init

    def Bsend_init(self, buf: Any, dest: int, tag: int = 0) -> PersistentRequest:  # noqa: N802
        """The same, copied into a buffer of MPI's."""
        return self._persistent(lambda: self.Ibsend(buf, dest, tag))

    def Ssend_init(self, buf: Any, dest: int, tag: int = 0) -> PersistentRequest:  # noqa: N802
        """The same, over once it is received."""
        return self._persistent(lambda: self.Issend(buf, dest, tag))

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
        if tag < ANY:
            raise MpiError(f"MPI_ERR_TAG: a message cannot have tag {tag}")
        check_revoked(shared.driver, rank, self._group(), kind)
        receive.probes = kind in ("probe", "mprobe")
        receive.claims = kind == "mprobe"
        if into is not None:
            receive.deliver = lambda message: copied(message, view(into))
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
        return loaded_object(self._received(*self._receive(source, tag, "recv"), "recv", status))

    def irecv(self, buf: Any = None, source: int = ANY, tag: int = ANY) -> Request:
        """An object, later."""
        receive, rank = self._receive(source, tag, "irecv")
        return self._receiving(receive, rank, "irecv", lambda: loaded_object(receive.message))

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

    def Recv_init(  # noqa: N802
        self, buf: Any, source: int = ANY, tag: int = ANY
    ) -> PersistentRequest:
        """A buffer, each time that it is started."""
        return self._persistent(lambda: self.Irecv(buf, source, tag))

    def probe(self, source: int = ANY, tag: int = ANY, status: Status | None = None) -> bool:
        """Wait for a message, and leave it."""
        self._received(*self._receive(source, tag, "probe"), "probe", status)
        return True

    Probe = probe

    def iprobe(self, source: int = ANY, tag: int = ANY, status: Status | None = None) -> bool:
        """Is there a message?"""
        return self._looked(source, tag, status, "iprobe")[0] is not None

    Iprobe = iprobe

    def _looked(
        self, source: int, tag: int, status: Status | None, kind: str
    ) -> tuple[Message | None, Rank]:
        rank, shared = self._here(), self._shared()
        sought = Receive(self._group().number, self.Get_rank(), source, tag)
        shared.driver.pause(rank)
        message = shared.messages.find(sought)
        if message is None:
            shared.driver.pause(rank, polling=True)
            message = shared.messages.find(sought)
        if message is not None:
            shared.messages.looked(rank, sought, kind, self._from(sought), message)
        if status is not None:
            status.fill(message)
        return message, rank

    def mprobe(
        self, source: int = ANY, tag: int = ANY, status: Status | None = None
    ) -> MatchedMessage:
        """Wait for a message, and keep it from all other receives."""
        receive, rank = self._receive(source, tag, "mprobe")
        message = self._received(receive, rank, "mprobe", status)
        shared = self._shared()
        return MatchedMessage(shared.driver, shared.messages, rank, message)

    Mprobe = mprobe

    def improbe(
        self, source: int = ANY, tag: int = ANY, status: Status | None = None
    ) -> MatchedMessage | None:
        """Is there a message? Then keep it from all other receives."""
        message, rank = self._looked(source, tag, status, "improbe")
        if message is None:
            return None
        shared = self._shared()
        shared.messages.claim(message)
        return MatchedMessage(shared.driver, shared.messages, rank, message)

    Improbe = improbe

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
        found = loaded_object(self._received(receive, rank, "sendrecv", status))
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
