"""The object that TensorRT-LLM's executor is given to reach its peers: `dist`.

Its shape: `rank`, `world_size`, and per kind of parallelism (tensor, pipeline, context) a rank, a
size, and the collectives. All ranks are one tensor-parallel group here; pipeline and context groups
have one member each.
"""

from __future__ import annotations

from typing import Any

from adpkv.rank_programs.mpi_ranks.collectives import Intracomm

__all__ = ["ExecutorObject"]


class ExecutorObject:
    """One rank's `dist`."""

    def __init__(self, comm: Intracomm, rank: int) -> None:
        self._comm = comm
        self.rank = self.tp_rank = rank
        self.pp_rank = self.cp_rank = 0
        self.pp_size = self.cp_size = 1

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self._comm.Get_size()

    tp_size = world_size

    @property
    def has_tp(self) -> bool:
        """Is there more than one rank?"""
        return self.world_size > 1

    has_pp = has_cp = False
    is_first_pp_rank = is_last_pp_rank = True

    def barrier(self) -> None:
        """All come."""
        self._comm.barrier()

    tp_barrier = barrier

    def broadcast(self, obj: Any, root: int = 0, **_: Any) -> Any:
        """The root's value to all."""
        return self._comm.bcast(obj, root)

    tp_broadcast = broadcast

    def allgather(self, obj: Any, *_: Any, **__: Any) -> list[Any]:
        """Everybody's value to everybody."""
        found: list[Any] = self._comm.allgather(obj)
        return found

    tp_allgather = allgather

    def gather(self, obj: Any, root: int = 0) -> list[Any] | None:
        """Everybody's value to the root."""
        found: list[Any] | None = self._comm.gather(obj, root)
        return found

    tp_gather = gather

    def pp_broadcast(self, obj: Any, root: int = 0) -> Any:
        """A group of one."""
        return obj

    cp_broadcast = pp_broadcast

    def pp_gather(self, obj: Any, root: int = 0) -> list[Any]:
        """A group of one."""
        return [obj]

    cp_gather = pp_allgather = cp_allgather = pp_gather

    def send_object(self, obj: Any, dest: int, tag: int = 0) -> None:
        """A message."""
        self._comm.send(obj, dest, tag)

    def recv_object(self, source: int, tag: int = 0) -> Any:
        """The next message."""
        return self._comm.recv(source=source, tag=tag)

    def isend_object(self, obj: Any, dest: int, tag: int = 0) -> Any:
        """A message, later."""
        return self._comm.isend(obj, dest, tag)
