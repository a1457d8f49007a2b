"""What is brought to a run in place of ours, by a caller of the library or by its name, and what it
is made from in either world.

A port is kept by having what it names: a class of somebody else's need not know adpkv's. What is
missing is said before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from adpkv.config import Experiment
from adpkv.core.router import Load
from adpkv.core.values import RequestSpec
from adpkv.errors import UsageError
from adpkv.memory.port import Memory, Report
from adpkv.model.port import Model
from adpkv.plugins import kept, lacks
from adpkv.transport.port import Transport
from adpkv.transport.virtual import Timetable
from adpkv.workload.port import Workload

__all__ = [
    "OURS",
    "MemorySetting",
    "Policy",
    "Ports",
    "RealMemory",
    "RealTransportSetting",
    "TransportSetting",
    "VirtualMemory",
    "given",
    "maker",
]


class Policy(Protocol):
    """A router's policy: which rank of an instance gets a request that does not insist on one."""

    def choose(
        self, request: RequestSpec, loads: Sequence[Load], room: Sequence[int]
    ) -> int | None:
        """The index of a rank with room, or None to let it wait.

        Pure: every rank of the group asks with the same arguments and must get the same answer.

        Args:
            request: the oldest that waits and may move.
            loads: (open tokens, open requests) of each rank, those just assigned included.
            room: how many requests more each rank may own; 0 or less for none.
        """
        ...


class VirtualMemory(Memory, Protocol):
    """A memory in virtual time: the link of the virtual world tells it what lands."""

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease for which these blocks await a peer's write; 0 if they await none."""
        ...

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """A peer's bytes for lease `owner` landed in these blocks; not `whole`: a part of them."""
        ...


class RealMemory(Memory, Protocol):
    """A memory of a real rank whose bytes adpkv's own transport moves."""

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` neighbouring blocks, in place: C-contiguous and writable."""
        ...


@dataclass(frozen=True, slots=True)
class MemorySetting:
    """What a rank's memory is made from. `report(kind, detail, leases)` is told of violations;
    `world` is "virtual" or "mpi". The shape of a block is in `experiment.model`."""

    experiment: Experiment
    rank: int
    blocks: int
    block_tokens: int
    block_bytes: int
    report: Report
    world: str = "virtual"


@dataclass(frozen=True, slots=True)
class TransportSetting:
    """What a rank's end of the transport is made from, in virtual time."""

    world: ClassVar[str] = "virtual"
    experiment: Experiment
    rank: int
    memory: Memory
    timetable: Timetable
    has_failed: Callable[[int], bool]
    """Whether the process of a rank has failed by now."""
    ends: Mapping[int, Any]
    """The ends that were made so far, by rank: all of them once the run has begun."""

    def peer(self, rank: int) -> Any:
        """The end that was made for another rank: in virtual time all are in one process."""
        return self.ends[rank]

    def now_ns(self) -> int:
        """The world's time."""
        return self.timetable.clock()

    def later(self, at_ns: int, do: Callable[[], None]) -> None:
        """At a time of the world, do this."""
        self.timetable.later(at_ns, self.rank, lambda _: do(), None)

    def wake(self, rank: int) -> None:
        """A rank has something to `poll`: without it one that waits looks only when it must."""
        self.timetable.arrival(rank)


@dataclass(frozen=True, slots=True)
class RealTransportSetting:
    """What a rank's end of the transport is made from, among real ranks. Each has its own
    process."""

    world: ClassVar[str] = "mpi"
    experiment: Experiment
    rank: int
    memory: Memory
    """What the rank's blocks are in; adpkv's own has `view(first, count)`, their bytes in place."""
    communicator: Any
    """An `mpi4py.MPI.Intracomm` of all ranks that carries nothing but the transport's messages. It
    returns errors as exceptions, and nobody may wait in it."""
    clock: Callable[[], int]
    has_failed: Callable[[int], bool]
    """Whether the ranks have agreed that the process of a rank has failed."""

    def now_ns(self) -> int:
        """This rank's clock."""
        return self.clock()

    def wake(self, rank: int) -> None:
        """Nothing: a real rank that waits asks its transport `ready`."""


@dataclass(frozen=True, slots=True)
class Ports:
    """None where ours is meant."""

    workload: Workload | None = None
    model: Model | None = None
    policy: Policy | None = None
    memory: Callable[[MemorySetting], Any] | None = None
    transport: Callable[[Any], Transport] | None = None


OURS = Ports()


def given(name: str, brought: Any, port: type, experiment: Experiment) -> Any:
    """The caller's object, or what the caller's maker makes of the experiment, if it has all that
    the port names.

    Raises:
        UsageError: it has not, and what is missing.
    """
    if callable(brought) and lacks(brought, port):
        try:
            brought = brought(experiment)
        except TypeError as error:
            raise UsageError(f"{name}: none can be made of an experiment: {error}") from error
    return kept(name, brought, port)


def maker(name: str, brought: Any) -> Any:
    """The caller's maker of something for each rank, or None.

    Raises:
        UsageError: it makes nothing.
    """
    if brought is not None and not callable(brought):
        raise UsageError(f"{name}: {type(brought).__name__} makes none: it cannot be called")
    return brought
