"""Custom ports: what a caller of the library or an experiment puts in place of ours, and the
settings from which each rank's port is created.

A class implements a port by having its methods and attributes; it need not import adpkv. What is
missing is reported before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from adpkv.config import Experiment
from adpkv.core.router import Load, Router, routed_by
from adpkv.core.values import RequestSpec
from adpkv.errors import UsageError
from adpkv.memory.port import Memory, Region, Report, ReuseWatch
from adpkv.model.own import OwnModel
from adpkv.model.port import Model
from adpkv.plugins import (
    MEMORY,
    POLICY,
    TRANSPORT,
    OwnPort,
    Slot,
    bare,
    check_port,
    is_ours,
    missing_names,
    raised,
)
from adpkv.transport.port import Transport
from adpkv.transport.virtual import Timetable
from adpkv.workload.own import OwnWorkload
from adpkv.workload.port import Workload

__all__ = [
    "OURS",
    "FailureAware",
    "MemorySetting",
    "Policy",
    "Ports",
    "RealMemory",
    "RealTransportSetting",
    "TransportSetting",
    "VirtualMemory",
    "bare",
    "given",
    "maker",
    "own_memory",
    "own_transport",
    "router_of",
]


class Policy(Protocol):
    """A router's policy: which rank of an instance gets a request that names no rank itself."""

    def choose(
        self, request: RequestSpec, loads: Sequence[Load], room: Sequence[int]
    ) -> int | None:
        """The index of a rank with room, or None to let the request wait.

        It must be pure: every rank of the group calls it with the same arguments and must get the
        same answer.

        Args:
            request: the oldest waiting request that may be routed now.
            loads: (open tokens, open requests) of each rank, with what was just assigned.
            room: how many more requests each rank may own; 0 or less for none.
        """
        ...


class VirtualMemory(Memory, Protocol):
    """A memory in virtual time: the link of the virtual world reports to it which bytes land."""

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease for which these blocks await a peer's write; 0 if they await none."""
        ...

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """A peer's bytes for lease `owner` landed in these blocks; if not `whole`, only a part of
        them."""
        ...


class RealMemory(Memory, Protocol):
    """A memory of a real rank whose bytes adpkv's own transport moves."""

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` consecutive blocks from block `first` on, in place: C-contiguous and
        writable. Memory of a device has none."""
        ...

    def region(self) -> Region:
        """All blocks together, block after block: where they are, and on which device."""
        ...


class FailureAware(Protocol):
    """What a custom transport may have besides its port."""

    def on_rank_failure(self, ranks: list[int]) -> None:
        """These ranks have failed. Transfers with them that it does not end stay in doubt."""
        ...


class MemorySetting(msgspec.Struct, frozen=True):
    """What a rank's memory is created from.

    Args:
        experiment: the whole experiment; the shape of a block follows from `experiment.model`.
        rank: the world rank.
        blocks: how many KV blocks the memory has.
        block_tokens: the tokens of one block.
        block_bytes: the bytes of one block.
        report: `report(kind, detail, leases)`, to be called for each violation.
        world: "virtual" or "mpi".
    """

    experiment: Experiment
    rank: int
    blocks: int
    block_tokens: int
    block_bytes: int
    report: Report
    world: str = "virtual"


class TransportSetting(msgspec.Struct, frozen=True):
    """What a rank's end of the transport is created from, in virtual time.

    Args:
        experiment: the whole experiment.
        rank: the world rank.
        memory: the rank's memory.
        timetable: the world's clock and events; `now_ns`, `later` and `wake` are its short forms.
    """

    world: ClassVar[str] = "virtual"
    experiment: Experiment
    rank: int
    memory: Memory
    timetable: Timetable
    has_failed: Callable[[int], bool]
    """Whether the process of a rank has failed by now."""
    ends: Mapping[int, Any]
    """The ends that were created so far, by rank; complete once the run has begun."""

    def peer(self, rank: int) -> Any:
        """Another rank's end: in virtual time all are in one process."""
        return self.ends[rank]

    def now_ns(self) -> int:
        """The world's time in nanoseconds."""
        return self.timetable.clock()

    def later(self, at_ns: int, do: Callable[[], None]) -> None:
        """Call `do()` at the world's time `at_ns`."""

        def called(_: object) -> None:
            try:
                do()
            except (Exception, SystemExit) as error:
                if is_ours(error):
                    raise
                who = _who(TRANSPORT, self.experiment.transceiver.transport, "a transport")
                raise UsageError(f"{who}: later {raised(error)}") from error

        self.timetable.later(at_ns, self.rank, called, None)

    def wake(self, rank: int) -> None:
        """Tell the world that `poll` of this rank will return something. Without this call a
        waiting rank polls only when its next deadline is due."""
        self.timetable.arrival(rank)


class RealTransportSetting(msgspec.Struct, frozen=True):
    """What a rank's end of the transport is created from, under MPI, where each rank has its own
    process."""

    world: ClassVar[str] = "mpi"
    experiment: Experiment
    rank: int
    memory: Memory
    """The rank's memory. adpkv's own memory has `view(first, count)`, the bytes of blocks in
    place."""
    communicator: Any
    """An `mpi4py.MPI.Intracomm` of all ranks that carries nothing but this transport's messages. It
    returns errors as exceptions. No call on it may block."""
    clock: Callable[[], int]
    has_failed: Callable[[int], bool]
    """Whether the ranks have agreed that this rank's process has failed."""

    def now_ns(self) -> int:
        """This rank's clock in nanoseconds."""
        return self.clock()

    def wake(self, rank: int) -> None:
        """Does nothing: a waiting rank asks its transport's `ready` periodically."""


class Ports(msgspec.Struct, frozen=True):
    """The ports that a caller passes in; None stands for ours. `memory` and `transport` are makers
    that are called once for each rank."""

    workload: Workload | None = None
    model: Model | None = None
    policy: Policy | None = None
    memory: Callable[[MemorySetting], Any] | None = None
    transport: Callable[[Any], Transport] | None = None


OURS = Ports()


def given(name: str, brought: Any, port: type, experiment: Experiment) -> Any:
    """The caller's object, or what the caller's factory makes of the experiment, checked against
    the port.

    Raises:
        UsageError: it lacks something that the port has; the message lists what.
    """
    if callable(brought) and missing_names(brought, port):
        try:
            brought = brought(experiment)
        except TypeError as error:
            raise UsageError(f"{name}: cannot be created from an experiment: {error}") from error
    found = check_port(name, brought, port)
    who = f"{name}: {type(found).__name__}"
    if port is Workload:
        return OwnWorkload(who, found)
    return OwnModel(who, found) if port is Model else found


def maker(name: str, brought: Any) -> Any:
    """The caller's factory of a port for each rank, or None.

    Raises:
        UsageError: it cannot be called.
    """
    if brought is not None and not callable(brought):
        raise UsageError(f"{name}: {type(brought).__name__} cannot be called to create one")
    return brought


def own_memory(memory: Any, experiment: Experiment) -> Any:
    """A caller's memory, whose errors are told as its own."""
    who = _who(MEMORY, experiment.kv_cache.memory, type(memory).__name__)
    return OwnPort(who, memory, VirtualMemory, RealMemory, ReuseWatch)


def own_transport(
    transport: Any, experiment: Experiment, passes: tuple[type[BaseException], ...] = ()
) -> Any:
    """A caller's end of a transport, whose errors are told as its own, but for those that pass."""
    who = _who(TRANSPORT, experiment.transceiver.transport, type(transport).__name__)
    return OwnPort(who, transport, Transport, FailureAware, passes=passes)


def _who(slot: Slot, named: str, otherwise: str) -> str:
    """A caller's port in the text of an error: by its name in the experiment, if it has one."""
    return f"{slot.key}: {otherwise if named in slot.ours else named}"


def router_of(policy: Policy | None, experiment: Experiment) -> Router | None:
    """A router with the caller's policy; None for ours. An error of the policy is told as its own:
    with the policy's name, and where it was raised."""
    if policy is None:
        return None
    who = _who(POLICY, experiment.router.policy, type(policy).__name__)

    def choose(request: RequestSpec, loads: Sequence[Load], room: Sequence[int]) -> int | None:
        try:
            return policy.choose(request, loads, room)
        except Exception as error:
            raise UsageError(f"{who} {raised(error)}") from error

    return routed_by(choose, who)
