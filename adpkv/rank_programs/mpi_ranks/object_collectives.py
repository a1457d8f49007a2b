"""Collectives of objects: values are pickled, so that each rank has its own."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from adpkv.rank_programs.mpi_ranks.point_to_point import PointToPoint
from adpkv.rank_programs.mpi_ranks.reductions import OPS, Op
from adpkv.rank_programs.mpi_ranks.requests import Request
from adpkv.rank_programs.operations import Arrival, Collective

__all__ = ["SUM", "ObjectCollectives", "loaded"]

SUM = OPS["SUM"]

Values = list[Any]


def _values(collective: Collective, arrivals: Sequence[Arrival]) -> None:
    collective.values = [arrival.payload for arrival in arrivals]


def loaded(data: bytes) -> Any:
    """The value that was pickled."""
    return pickle.loads(data)


class ObjectCollectives(PointToPoint):
    """A communicator, as far as it is about objects."""

    def _objects(
        self, kind: str, value: Any, finish: Callable[[Values, int], Any], *key: Any, text: str = ""
    ) -> Request:
        """All bring a value; `finish` makes a member's result of all of them."""
        number, data = self.Get_rank(), pickle.dumps(value)
        found, rank, arrival = self._come(kind, key, text, data, _values)
        driver = self._shared().driver
        return Request(
            driver, rank, found, kind, lambda: finish(list(found.values), number), arrival
        )

    def _root(self, root: int) -> str:
        self._one(root)
        return f"root {self._group().ranks[root]}"

    def ibarrier(self) -> Request:
        """All come, later."""
        return self._objects("barrier", None, lambda values, number: None)

    Ibarrier = ibarrier

    def barrier(self) -> None:
        """All come."""
        self.ibarrier().wait()

    Barrier = barrier

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """The root's value to all."""
        text = self._root(root)
        given = obj if self.Get_rank() == root else None

        def finish(values: Values, number: int) -> Any:
            return obj if number == root else loaded(values[root])

        return self._objects("bcast", given, finish, root, text=text).wait()

    def gather(self, sendobj: Any, root: int = 0) -> Any:
        """Everybody's value to the root."""
        text = self._root(root)

        def finish(values: Values, number: int) -> Any:
            return [loaded(value) for value in values] if number == root else None

        return self._objects("gather", sendobj, finish, root, text=text).wait()

    def allgather(self, sendobj: Any) -> Any:
        """Everybody's value to everybody."""

        def finish(values: Values, number: int) -> Any:
            return [loaded(value) for value in values]

        return self._objects("allgather", sendobj, finish).wait()

    def scatter(self, sendobj: Any, root: int = 0) -> Any:
        """A value for each from the root."""
        text = self._root(root)
        mine = self.Get_rank() == root
        if mine and len(sendobj) != self.Get_size():
            raise ValueError(f"expecting {self.Get_size()} items, got {len(sendobj)}")

        def finish(values: Values, number: int) -> Any:
            return loaded(values[root])[number]

        given = list(sendobj) if mine else None
        return self._objects("scatter", given, finish, root, text=text).wait()

    def alltoall(self, sendobj: Any) -> Any:
        """A value from each to each."""
        if len(sendobj) != self.Get_size():
            raise ValueError(f"expecting {self.Get_size()} items, got {len(sendobj)}")

        def finish(values: Values, number: int) -> Any:
            return [loaded(value)[number] for value in values]

        return self._objects("alltoall", list(sendobj), finish).wait()

    def reduce(self, sendobj: Any, op: Op = SUM, root: int = 0) -> Any:
        """All values as one, for the root."""
        text = f"{op.name}, {self._root(root)}"

        def finish(values: Values, number: int) -> Any:
            return op.objects([loaded(v) for v in values]) if number == root else None

        return self._objects("reduce", sendobj, finish, op.name, root, text=text).wait()

    def allreduce(self, sendobj: Any, op: Op = SUM) -> Any:
        """All values as one."""

        def finish(values: Values, number: int) -> Any:
            return op.objects([loaded(value) for value in values])

        return self._objects("allreduce", sendobj, finish, op.name, text=op.name).wait()

    def scan(self, sendobj: Any, op: Op = SUM) -> Any:
        """The values up to one's own as one."""

        def finish(values: Values, number: int) -> Any:
            return op.objects([loaded(value) for value in values[: number + 1]])

        return self._objects("scan", sendobj, finish, op.name, text=op.name).wait()

    def exscan(self, sendobj: Any, op: Op = SUM) -> Any:
        """The values before one's own as one; None on the first."""

        def finish(values: Values, number: int) -> Any:
            return op.objects([loaded(value) for value in values[:number]]) if number else None

        return self._objects("exscan", sendobj, finish, op.name, text=op.name).wait()
