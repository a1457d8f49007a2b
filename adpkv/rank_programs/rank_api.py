"""Our own rank API: what `async def program(rank)` gets.

    async def program(rank):
        found = await rank.tp_gather(rank.rank)

Each awaited call is one of all ranks, in the same order on all of them, but for messages. The names
are those of the executors that the product is about (contract, "group").
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from adpkv.rank_programs.adapter import NoLibrary
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.operations import Arrival, Collective, Operation, Wait
from adpkv.rank_programs.world import Group, Rank, World

__all__ = ["OwnRanks", "RankApi", "RankApis"]


class _Turn:
    """Another rank may go on."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


class _Ended:
    """Until something is done."""

    __slots__ = ("deadline_ns", "on", "rank", "what")

    def __init__(self, rank: Rank, on: Wait, what: str, deadline_ns: int = 0) -> None:
        self.rank, self.on, self.what, self.deadline_ns = rank, on, what, deadline_ns

    def __await__(self) -> Generator[None, None, bool]:
        rank, on = self.rank, self.on
        if not on.done:
            rank.on, rank.what, rank.deadline_ns = on, self.what, self.deadline_ns
            yield
            rank.on, rank.deadline_ns = None, 0
        return on.done


_Message = tuple[int, int, Any]
"""Sender, tag, value."""


class _Receive(Wait):
    """A receive that has no message yet."""

    __slots__ = ("message", "source", "tag")

    def __init__(self, source: int | None, tag: int | None) -> None:
        super().__init__()
        self.source, self.tag = source, tag
        self.message: _Message

    def takes(self, message: _Message) -> bool:
        return self.source in (None, message[0]) and self.tag in (None, message[1])


def _copied(value: Any) -> Any:
    """What another process would get."""
    kind = type(value)
    if kind in (int, float, str, bytes, bool, type(None)):
        return value
    return pickle.loads(pickle.dumps(value))


class RankApis:
    """The ranks' ends of one schedule."""

    def __init__(self, driver: Driver, world: World) -> None:
        self.driver, self.world = driver, world
        self.group = world.group("the group", range(world.size))
        self.messages: list[list[_Message]] = [[] for _ in range(world.size)]
        """By receiver: what nobody has received."""
        self.receives: list[list[_Receive]] = [[] for _ in range(world.size)]
        """By receiver: what has no message."""

    def of(self, rank: Rank) -> RankApi:
        """The end of one rank."""
        return RankApi(self, rank)


def _all(collective: Collective, arrivals: Sequence[Arrival]) -> None:
    collective.values = [arrival.payload for arrival in arrivals]


class RankApi:
    """One rank's end: `rank`, `world_size`, and what all ranks do together."""

    def __init__(self, shared: RankApis, rank: Rank) -> None:
        self._shared, self._rank = shared, rank
        self.rank = rank.number
        self.world_size = shared.world.size
        self.tp_rank, self.tp_size = self.rank, self.world_size

    @property
    def clock(self) -> float:
        """Virtual time, in seconds. A little passes with each reading."""
        self._shared.driver.tick(self._rank)
        return self._shared.world.clock_ns / 1e9

    async def _meet(self, kind: str, key: tuple[Any, ...], text: str, value: Any) -> list[Any]:
        await _TURN
        shared, rank = self._shared, self._rank
        operation = Operation(kind, key, text)
        group: Group = shared.group
        found = shared.driver.arrive(rank, group, operation, value, _all)
        if not found.done:
            await _Ended(rank, found, kind)
        values: list[Any] = found.values
        return values

    async def tp_allgather(self, value: Any) -> list[Any]:
        """Everybody's value to everybody, in rank order."""
        values = await self._meet("tp_allgather", (), "", value)
        return [_copied(one) for one in values]

    async def tp_gather(self, value: Any, root: int = 0) -> list[Any] | None:
        """Everybody's value to the root; None on the others."""
        values = await self._meet("tp_gather", (root,), f"root {root}", value)
        return [_copied(one) for one in values] if self.rank == root else None

    async def tp_broadcast(self, value: Any = None, root: int = 0) -> Any:
        """The root's value to all."""
        values = await self._meet("tp_broadcast", (root,), f"root {root}", value)
        return _copied(values[root])

    async def barrier(self) -> None:
        """All come."""
        await self._meet("barrier", (), "", None)

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        if seconds <= 0:  # a poll: the others come first, and not for ever
            self._shared.driver.tick(self._rank)
            self._rank.polling = True
        await _TURN
        until = self._shared.world.clock_ns + max(1, int(seconds * 1e9))
        await _Ended(self._rank, Wait(), f"sleep({seconds:g})", until)

    async def send(self, value: Any, to: int, tag: int = 0) -> None:
        """A message, which is buffered."""
        await _TURN
        self._one(to)
        self._note(f"send to rank {to}")
        shared = self._shared
        message = (self.rank, tag, _copied(value))
        for receive in shared.receives[to]:
            if receive.takes(message):
                shared.receives[to].remove(receive)
                receive.message, receive.done = message, True
                return
        shared.messages[to].append(message)

    async def recv(self, source: int | None = None, tag: int | None = None) -> Any:
        """The next message of a rank; of any rank, or with any tag, if that is None."""
        await _TURN
        who = "any rank"
        if source is not None:
            self._one(source)
            who = f"rank {source}"
        self._note(f"recv from {who}")
        shared, receive = self._shared, _Receive(source, tag)
        first: dict[int, _Message] = {}
        for message in shared.messages[self.rank]:
            if receive.takes(message):
                first.setdefault(message[0], message)
        if first:
            chosen = first[shared.world.choose(list(first))]
            shared.messages[self.rank].remove(chosen)
            return chosen[2]
        shared.receives[self.rank].append(receive)
        await _Ended(self._rank, receive, f"recv from {who}")
        return receive.message[2]

    def _one(self, rank: int) -> None:
        if not hasattr(rank, "__index__"):
            raise TypeError(f"a rank is a number, not {rank!r}: send(value, to), recv(source)")
        if not 0 <= rank < self.world_size:
            raise ValueError(f"there is no rank {rank}: there are {self.world_size}")

    def _note(self, kind: str) -> None:
        world, rank = self._shared.world, self._rank
        world.progressed()
        code, line = world.files.place(sys._getframe(1))
        rank.history.append(Arrival(rank.number, Operation(kind), None, code, line))


class OwnRanks(NoLibrary):
    """The `Adapter` for programs over this API."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._shared: RankApis | None = None

    def begin(self, world: World) -> None:
        """A schedule begins."""
        self._shared = RankApis(self._driver, world)

    def enter_rank(self, rank: Rank) -> Mapping[str, Any]:
        """The rank's end, as the argument `rank`."""
        assert self._shared is not None
        return {"rank": self._shared.of(rank)}
