"""What a caller of the library brings to a simulation in place of ours, and whether it can be used.

A port is kept by having what it names: a class of the caller's need not know adpkv's. What is
missing is said before anything runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from adpkv.config import Experiment
from adpkv.core.router import Load
from adpkv.core.values import RequestSpec
from adpkv.errors import UsageError
from adpkv.memory.port import Memory, Report
from adpkv.model.port import Model
from adpkv.transport.port import Transport
from adpkv.transport.virtual import Timetable
from adpkv.workload.port import Workload

__all__ = [
    "OURS",
    "MemorySetting",
    "Policy",
    "Ports",
    "TransportSetting",
    "VirtualMemory",
    "kept",
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
    """A memory in virtual time: the wire of the virtual world tells it what lands."""

    def awaited(self, blocks: Sequence[int]) -> int:
        """The lease for which these blocks await a peer's write; 0 if they await none."""
        ...

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """A peer's bytes for lease `owner` landed in these blocks; not `whole`: a part of them."""
        ...


@dataclass(frozen=True, slots=True)
class MemorySetting:
    """What a rank's memory is made from. `report(kind, detail, leases)` is told of violations."""

    experiment: Experiment
    rank: int
    blocks: int
    block_tokens: int
    block_bytes: int
    report: Report


@dataclass(frozen=True, slots=True)
class TransportSetting:
    """What a rank's end of the wire is made from, in virtual time. Ranks come in their order, so a
    maker that is one object can hold what they share."""

    experiment: Experiment
    rank: int
    memory: Memory
    timetable: Timetable
    is_dead: Callable[[int], bool]
    """Whether the process of a rank is dead by now."""

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
class Ports:
    """None where ours is meant."""

    workload: Workload | None = None
    model: Model | None = None
    policy: Policy | None = None
    memory: Callable[[MemorySetting], VirtualMemory] | None = None
    transport: Callable[[TransportSetting], Transport] | None = None


OURS = Ports()


def kept(name: str, brought: Any, port: type, experiment: Experiment | None = None) -> Any:
    """The caller's object, or what the caller's maker makes of the experiment, if it has all that
    the port names.

    Raises:
        UsageError: it has not, and what is missing.
    """
    if experiment is not None and callable(brought) and _missing(brought, port):
        try:
            brought = brought(experiment)
        except TypeError as error:
            raise UsageError(f"{name}: none can be made of an experiment: {error}") from error
    missing = _missing(brought, port)
    if missing:
        raise UsageError(
            f"{name}: {type(brought).__name__} keeps no {port.__name__} port: it has no"
            f" {', '.join(missing)} (adpkv.ports.{port.__name__} says what each is)"
        )
    return brought


def maker(name: str, brought: Any) -> Any:
    """The caller's maker of something for each rank, or None.

    Raises:
        UsageError: it makes nothing.
    """
    if brought is not None and not callable(brought):
        raise UsageError(f"{name}: {type(brought).__name__} makes none: it cannot be called")
    return brought


def _missing(brought: object, port: type) -> list[str]:
    """Names of the port that an object has not; a class is none."""
    methods = {
        name
        for base in port.__mro__
        for name, value in vars(base).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }
    attributes = {name for base in port.__mro__ for name in _annotated(base)}
    names = sorted(methods | attributes)
    return names if isinstance(brought, type) else [n for n in names if not hasattr(brought, n)]


def _annotated(base: type) -> list[str]:
    found = cast("dict[str, Any]", vars(base).get("__annotations__", {}))
    return [name for name in found if not name.startswith("_")]
