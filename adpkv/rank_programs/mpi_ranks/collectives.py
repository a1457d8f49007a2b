"""`MPI.Intracomm`: collectives of buffers, and communicators made from others.

What a collective writes into buffers is made whole first: a buffer may be part of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adpkv.diagnosis.names import named
from adpkv.rank_programs.members import Group
from adpkv.rank_programs.mpi_ranks.buffers import IN_PLACE, blocks, view
from adpkv.rank_programs.mpi_ranks.communicator import Shared
from adpkv.rank_programs.mpi_ranks.group import UNDEFINED, GroupOfRanks
from adpkv.rank_programs.mpi_ranks.object_collectives import SUM, ObjectCollectives, loaded
from adpkv.rank_programs.mpi_ranks.peers import Living
from adpkv.rank_programs.mpi_ranks.persistent import PersistentRequest
from adpkv.rank_programs.mpi_ranks.reductions import Op
from adpkv.rank_programs.mpi_ranks.requests import Request
from adpkv.rank_programs.operations import Arrival, Collective

__all__ = ["Intracomm", "whole"]

Arrays = Sequence[np.ndarray[Any, Any]]


def _text(arrays: Arrays) -> str:
    size = sum(array.size for array in arrays)
    return f"{size} {arrays[0].dtype}" if arrays else "nothing"


def _write(into: Arrays, what: Arrays) -> None:
    for target, data in zip(into, what, strict=True):
        if target.nbytes < data.nbytes:
            raise ValueError(f"MPI_ERR_TRUNCATE: {data.nbytes} bytes into {target.nbytes}")
        target.view(np.uint8)[: data.nbytes] = np.ascontiguousarray(data).view(np.uint8)


class Intracomm(ObjectCollectives):
    """A communicator."""

    # -- buffers -----------------------------------------------------------------------------

    def _buffers(
        self,
        kind: str,
        given: Arrays,
        into: Arrays,
        plan: Callable[[list[Arrays], int], Arrays | None],
        *key: Any,
        text: str = "",
    ) -> Request:
        """All bring arrays; `plan` says which arrays a member's own become."""

        def combine(collective: Collective, arrivals: Sequence[Arrival]) -> None:
            brought = [arrival.payload[0] for arrival in arrivals]
            # A member without a place to write to, as with MPI.IN_PLACE, gets nothing.
            planned = [
                plan(brought, number) if arrival.payload[1] else None
                for number, arrival in enumerate(arrivals)
            ]
            whole = [None if p is None else [np.array(a) for a in p] for p in planned]
            for arrival, what in zip(arrivals, whole, strict=True):
                if what is not None:
                    _write(arrival.payload[1], what)

        told = ", ".join(part for part in (_text(given), text) if part)
        found, rank, arrival = self._come(kind, key, told, (given, into), combine)
        return Request(self._shared().driver, rank, found, kind, lambda: None, arrival)

    def Ibcast(self, buf: Any, root: int = 0) -> Request:  # noqa: N802
        """The root's buffer to all, later."""
        mine, text = [view(buf)], self._root(root)

        def plan(brought: list[Arrays], number: int) -> Arrays | None:
            return None if number == root else brought[root]

        return self._buffers("Bcast", mine, mine, plan, root, mine[0].nbytes, text=text)

    def Bcast(self, buf: Any, root: int = 0) -> None:  # noqa: N802
        """The root's buffer to all."""
        self.Ibcast(buf, root).wait()

    def _gathered(self, kind: str, send: Any, recv: Any, root: int) -> Request:
        """Everybody's buffer to the root, or to everybody where that is -1."""
        number, size = self.Get_rank(), self.Get_size()
        text = self._root(root) if root >= 0 else ""
        into: Arrays = blocks(recv, size) if root < 0 or number == root else []
        mine = into[number] if send is IN_PLACE else view(send)
        key = () if kind[-1] == "v" else (mine.nbytes,)

        def plan(brought: list[Arrays], member: int) -> Arrays | None:
            return [b[0] for b in brought] if root in (-1, member) else None

        return self._buffers(kind, [mine], into, plan, root, *key, text=text)

    def Igather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:  # noqa: N802
        """Everybody's buffer to the root, later."""
        return self._gathered("Gather", sendbuf, recvbuf, root)

    def Gather(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:  # noqa: N802
        """Everybody's buffer to the root."""
        self.Igather(sendbuf, recvbuf, root).wait()

    def Igatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:  # noqa: N802
        """The same with counts of their own, later."""
        return self._gathered("Gatherv", sendbuf, recvbuf, root)

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:  # noqa: N802
        """The same with counts of their own."""
        self.Igatherv(sendbuf, recvbuf, root).wait()

    def Iallgather(self, sendbuf: Any, recvbuf: Any) -> Request:  # noqa: N802
        """Everybody's buffer to everybody, later."""
        return self._gathered("Allgather", sendbuf, recvbuf, -1)

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
        """Everybody's buffer to everybody."""
        self.Iallgather(sendbuf, recvbuf).wait()

    def Iallgatherv(self, sendbuf: Any, recvbuf: Any) -> Request:  # noqa: N802
        """The same with counts of their own, later."""
        return self._gathered("Allgatherv", sendbuf, recvbuf, -1)

    def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
        """The same with counts of their own."""
        self.Iallgatherv(sendbuf, recvbuf).wait()

    def _scattered(self, kind: str, send: Any, recv: Any, root: int) -> Request:
        number, text = self.Get_rank(), self._root(root)
        given: Arrays = blocks(send, self.Get_size()) if number == root else []
        into = [] if recv is IN_PLACE else [view(recv)]

        def plan(brought: list[Arrays], member: int) -> Arrays | None:
            return [brought[root][member]]

        part = into[0] if into else given[number]
        key = () if kind[-1] == "v" else (part.nbytes,)
        return self._buffers(kind, given, into, plan, root, *key, text=text)

    def Scatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:  # noqa: N802
        """A part of the root's buffer to each."""
        self._scattered("Scatter", sendbuf, recvbuf, root).wait()

    def Iscatter(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:  # noqa: N802
        """The same, later."""
        return self._scattered("Scatter", sendbuf, recvbuf, root)

    def Iscatterv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> Request:  # noqa: N802
        """The same with counts of their own, later."""
        return self._scattered("Scatterv", sendbuf, recvbuf, root)

    def Scatterv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:  # noqa: N802
        """The same with counts of their own."""
        self.Iscatterv(sendbuf, recvbuf, root).wait()

    def _exchanged(self, kind: str, send: Any, recv: Any) -> Request:
        size = self.Get_size()
        into = blocks(recv, size)
        given = into if send is IN_PLACE else blocks(send, size)
        key = () if kind[-1] == "v" else (given[0].nbytes,)

        def plan(brought: list[Arrays], member: int) -> Arrays | None:
            return [b[member] for b in brought]

        return self._buffers(kind, given, into, plan, *key)

    def Ialltoall(self, sendbuf: Any, recvbuf: Any) -> Request:  # noqa: N802
        """A part from each to each, later."""
        return self._exchanged("Alltoall", sendbuf, recvbuf)

    def Alltoall(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
        """A part from each to each."""
        self.Ialltoall(sendbuf, recvbuf).wait()

    def Ialltoallv(self, sendbuf: Any, recvbuf: Any) -> Request:  # noqa: N802
        """The same with counts of their own, later."""
        return self._exchanged("Alltoallv", sendbuf, recvbuf)

    def Alltoallv(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
        """The same with counts of their own."""
        self.Ialltoallv(sendbuf, recvbuf).wait()

    def _reduced(
        self, kind: str, send: Any, recv: Any, op: Op, members: Callable[[int], range | None],
        *key: Any, text: str = ""
    ) -> Request:  # fmt: skip
        """`members`: whose buffers a member's own becomes the reduction of; None for nobody's."""
        into: Arrays = [] if recv is None else [view(recv)]
        mine = into[0] if send is IN_PLACE else view(send)

        def plan(brought: list[Arrays], number: int) -> Arrays | None:
            whose = members(number)
            return None if whose is None else [op.arrays([brought[m][0] for m in whose])]

        told = ", ".join(part for part in (op.name, text) if part)
        return self._buffers(kind, [mine], into, plan, op.name, mine.nbytes, *key, text=told)

    def Ireduce(  # noqa: N802
        self, sendbuf: Any, recvbuf: Any, op: Op = SUM, root: int = 0
    ) -> Request:
        """All buffers as one, for the root, later."""
        size, mine = self.Get_size(), self.Get_rank() == root
        text = self._root(root)
        return self._reduced(
            "Reduce", sendbuf, recvbuf if mine else None, op,
            lambda number: range(size) if number == root else None, root, text=text,
        )  # fmt: skip

    def Reduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM, root: int = 0) -> None:  # noqa: N802
        """All buffers as one, for the root."""
        self.Ireduce(sendbuf, recvbuf, op, root).wait()

    def Iallreduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:  # noqa: N802
        """All buffers as one, later."""
        size = self.Get_size()
        return self._reduced("Allreduce", sendbuf, recvbuf, op, lambda number: range(size))

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:  # noqa: N802
        """All buffers as one."""
        self.Iallreduce(sendbuf, recvbuf, op).wait()

    def Iscan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:  # noqa: N802
        """The buffers up to one's own as one, later."""
        return self._reduced("Scan", sendbuf, recvbuf, op, lambda number: range(number + 1))

    def Scan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:  # noqa: N802
        """The buffers up to one's own as one."""
        self.Iscan(sendbuf, recvbuf, op).wait()

    def Iexscan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> Request:  # noqa: N802
        """The buffers before one's own as one, later."""
        return self._reduced(
            "Exscan", sendbuf, recvbuf, op, lambda number: range(number) if number else None
        )

    def Exscan(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:  # noqa: N802
        """The buffers before one's own as one."""
        self.Iexscan(sendbuf, recvbuf, op).wait()

    def Reduce_scatter_block(self, sendbuf: Any, recvbuf: Any, op: Op = SUM) -> None:  # noqa: N802
        """The reduction of one part for each."""
        self.Ireduce_scatter_block(sendbuf, recvbuf, op).wait()

    def Ireduce_scatter_block(  # noqa: N802
        self, sendbuf: Any, recvbuf: Any, op: Op = SUM
    ) -> Request:
        """The reduction of one part for each, later."""
        size, into = self.Get_size(), [view(recvbuf)]
        given = blocks(sendbuf, size)

        def plan(brought: list[Arrays], number: int) -> Arrays | None:
            return [op.arrays([b[number] for b in brought])]

        key = (op.name, given[0].nbytes)
        return self._buffers("Reduce_scatter_block", given, into, plan, *key, text=op.name)

    # -- new communicators ---------------------------------------------------------------------

    def _new(self, ranks: Sequence[int], label: str) -> Intracomm:
        shared = self._shared()
        group = shared.world.group(label, ranks)
        group.raising |= self._group().raising & set(ranks)
        return Intracomm(self._shared, lambda: group)

    def _numbered(self, kind: str, which: str = "") -> str:
        """A name that all members find for the next communicator made of this one: its position."""
        rank, group = self._here(), self._group()
        return f"{kind} {rank.counts.get(group.number, 0)}{which} of {group.name}"

    def Split(self, color: int = 0, key: int = 0) -> Intracomm | None:  # noqa: N802
        """One communicator for each colour, in the order of the keys."""
        found = self._objects("Split", (color, key), lambda values, number: values).wait()
        if color == UNDEFINED:
            return None
        pairs = [loaded(value) for value in found]
        ranks = self._group().ranks
        order = sorted((k, n) for n, (c, k) in enumerate(pairs) if c == color)
        label = self._numbered("split", f" (colour {color})")
        return self._new([ranks[number] for _, number in order], label)

    def Split_type(  # noqa: N802
        self, split_type: int = 0, key: int = 0, info: Any = None
    ) -> Intracomm | None:
        """All ranks are on one host."""
        return self.Split(0, key)

    def Dup(self, info: Any = None) -> Intracomm:  # noqa: N802
        """One of the same members."""
        self._objects("Dup", None, lambda values, number: None).wait()
        return self._new(self._group().ranks, self._numbered("dup"))

    Clone = Dup

    def Shrink(self) -> Intracomm:  # noqa: N802
        """One of the members that live, all of which call it."""
        driver = self._shared().driver
        found = Living(driver, self._here, self._group()).meet("Shrink", None)
        left = [rank for rank in self._group().ranks if rank in found]
        return self._new(left, f"what is left of {self._group().name}: {left}")

    def Create(self, group: GroupOfRanks) -> Intracomm | None:  # noqa: N802
        """One of these members; all members of this one call it."""
        self._objects("Create", None, lambda values, number: None).wait()
        label = f"{self._numbered('create')}: {named(group.ranks)}"
        return self._new(group.ranks, label) if self._here().number in group.ranks else None

    def Create_group(self, group: GroupOfRanks, tag: int = 0) -> Intracomm | None:  # noqa: N802
        """One of these members, who alone call it."""
        shared, rank = self._shared(), self._here()
        name = f"group of {self._group().name}, tag {tag}: {named(group.ranks)}"
        made = shared.world.group(name, group.ranks)
        number = rank.counts.get(made.number, 0)
        whole = Intracomm(self._shared, lambda: made)
        whole._objects("Create_group", None, lambda values, member: None).wait()
        label = f"group {number + 1} of {self._group().name}, tag {tag}: {named(group.ranks)}"
        return self._new(group.ranks, label)


_LATER = (
    "barrier", "bcast", "gather", "gatherv", "allgather", "allgatherv", "scatter", "scatterv",
    "alltoall", "alltoallv", "reduce", "allreduce", "scan", "exscan", "reduce_scatter_block",
)  # fmt: skip
"""Collectives that end later, which can be persistent too."""


def _persistent(name: str) -> Callable[..., PersistentRequest]:
    def init(self: Intracomm, *arguments: Any, **named: Any) -> PersistentRequest:
        return self._persistent(lambda: getattr(self, f"I{name}")(*arguments, **named))

    init.__doc__ = f"`I{name}`, each time that it is started."
    return init


for _name in _LATER:
    setattr(Intracomm, f"{_name.capitalize()}_init", _persistent(_name))


def whole(shared: Callable[[], Shared]) -> Intracomm:
    """`MPI.COMM_WORLD`."""

    def group() -> Group:
        world = shared().world
        return world.group("MPI.COMM_WORLD", range(world.size))

    return Intracomm(shared, group)
