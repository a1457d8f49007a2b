"""Our own rank API: what `async def program(rank)` gets.

    async def program(rank):
        found = await rank.tp_gather(rank.rank)

Each awaited call is one of all ranks, in the same order on all of them, but for messages. The names
are those of the executors that the product is about (contract, "group").

A rank may die (`adpkv check --kill`). Those that need it get RankLostError, and may go on without
it: `await rank.shrink()`, on all that are left.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from adpkv.errors import Place, RankLostError
from adpkv.rank_programs.adapter import NoLibrary
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import Died, lost
from adpkv.rank_programs.letters import Letter, Sought
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Arrival, Collective, Operation, Wait
from adpkv.rank_programs.world import World

__all__ = ["OwnRanks", "RankApi", "RankApis"]


class _Turn:
    """Another rank may go on."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


class _Ended:
    """Until something is done."""

    __slots__ = ("deadline_ns", "on", "rank", "what", "world")

    def __init__(self, world: World, rank: Rank, on: Wait, what: str, deadline_ns: int = 0) -> None:
        self.world, self.rank, self.on, self.what = world, rank, on, what
        self.deadline_ns = deadline_ns

    def __await__(self) -> Generator[None, None, bool]:
        rank, on, world = self.rank, self.on, self.world
        if not on.done:
            rank.on, rank.what, rank.deadline_ns = on, self.what, self.deadline_ns
            if world.gone:
                world.tell(rank, on)
            yield
            rank.on, rank.deadline_ns = None, 0
        return on.done and (on.torn < 0 or not world.torn(rank, on))


class _Message(NamedTuple):
    sender: int
    tag: int
    value: Any
    arrival: Arrival

    @property
    def got(self) -> tuple[int, int, Any]:
        """What its receiver knows of it."""
        return self[:3]


class _Receive(Wait):
    """A receive that has no message yet."""

    __slots__ = ("arrival", "group", "message", "source", "tag")

    def __init__(self, source: int | None, tag: int | None, group: Group) -> None:
        super().__init__()
        self.source, self.tag, self.group = source, tag, group
        self.message: _Message
        self.arrival: Arrival

    def view(self) -> Sought:
        arrival = self.arrival
        return Sought(arrival.rank, self.source, self.tag, self.group.number, arrival)

    def takes(self, message: _Message) -> bool:
        return self.source in (None, message.sender) and self.tag in (None, message.tag)

    def missing(self, world: World) -> int:
        """Its sender, or if that may be any, one of the group: nobody knows whether it was that."""
        for rank in world.gone:
            if rank == self.source or (self.source is None and rank in self.group.ranks):
                return rank
        return -1

    def told_ns(self, world: World) -> int:
        """At once."""
        told = self.group.revoked or self.missing(world) >= 0
        return max(1, world.clock_ns) if told else 0


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
        world.mailboxes.append(self)

    def letters(self) -> Iterator[Letter]:
        """What nobody has received."""
        for receiver, messages in enumerate(self.messages):
            for message in messages:
                yield self.view(message, receiver)

    def sought(self) -> Iterator[Sought]:
        """The receives that have nothing yet."""
        return (receive.view() for receives in self.receives for receive in receives)

    def view(self, message: _Message, receiver: int) -> Letter:
        """As all libraries have it."""
        group, arrival = self.group.number, message.arrival
        return Letter(message.sender, receiver, message.tag, group, arrival)

    def taken(self, receive: _Receive, message: _Message) -> None:
        """A receive has got it."""
        if self.world.on_taken is not None:
            sought = receive.view()
            self.world.on_taken(sought, self.view(message, sought.receiver))

    def of(self, rank: Rank) -> RankApi:
        """The end of one rank."""
        return RankApi(self, rank)


def _there(collective: Collective, arrivals: Sequence[Arrival]) -> None:
    found = {arrival.rank: arrival.payload for arrival in arrivals}
    collective.values = dict(sorted(found.items()))


def _all(collective: Collective, arrivals: Sequence[Arrival]) -> None:
    collective.values = [arrival.payload for arrival in arrivals]


class RankApi:
    """One rank's end: `rank`, `world_size`, and what all ranks do together."""

    def __init__(self, shared: RankApis, rank: Rank) -> None:
        self._shared, self._rank = shared, rank
        self._group: Group = shared.group
        self.rank = rank.number
        self.world_size = shared.world.size
        self.tp_rank, self.tp_size = self.rank, self.world_size

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members of its group: all ranks, until it shrinks."""
        return self._group.ranks

    @property
    def clock(self) -> float:
        """Virtual time, in seconds. A little passes with each reading."""
        self._shared.driver.tick(self._rank)
        return self._shared.world.clock_ns / 1e9

    async def _meet(self, kind: str, key: tuple[Any, ...], text: str, value: Any) -> list[Any]:
        shared, rank = self._shared, self._rank
        rank.intends = "meet"
        await _TURN
        try:
            operation = Operation(kind, key, text)
            found = shared.driver.arrive(rank, self._group, operation, value, _all)
        except Died:
            await _TURN  # for ever: nothing of a killed process runs
        if not found.done or found.torn >= 0:  # noqa: SIM102
            if not await _Ended(shared.world, rank, found, kind):
                self._lost(found, kind, found.position)
        values: list[Any] = found.values
        self._gets(values)
        return values

    def _gets(self, what: Any) -> None:
        world = self._shared.world
        if world.on_input is not None:
            world.on_input(self._rank, what)

    def _lost(self, on: Wait, kind: str, position: int = 0) -> NoReturn:
        world = self._shared.world
        gone = on.torn if on.done else on.missing(world)
        if gone < 0:  # it was told to come to `shrink`
            gone = world.gone[0]
        code, line = world.files.place(sys._getframe(1))
        self._gets(("lost", gone))
        world.refuse(self._rank)
        site = f"{os.path.basename(code.co_filename)}:{line}" if code is not None else "nowhere"
        raise lost(RankLostError(gone, Place(self.rank, kind, site, position)), gone)

    async def shrink(self) -> tuple[int, ...]:
        """Go on without those that are gone: all members that live come, and are the group from
        now on. Who waits in the old group for a member that is here, gets RankLostError. The ranks
        keep their numbers; a value for each comes in the order of `ranks`, which this returns."""
        old, world = self._group, self._shared.world
        left = tuple(await self._living("shrink", None))
        if left != old.ranks:
            self._group = world.group(f"the group of {', '.join(map(str, left))}", left)
        return left

    async def agree(self, flag: bool) -> bool:
        """All members that live come, and know then whether each of them brought true: the same on
        all, whoever dies meanwhile."""
        return all((await self._living("agree", bool(flag))).values())

    async def _living(self, kind: str, value: Any) -> dict[int, Any]:
        """By rank: what each member brought that lived to bring it."""
        shared, rank, group = self._shared, self._rank, self._group
        world = shared.world
        rank.intends = "meet"
        await _TURN
        living = world.group(f"the living of {group.name}", group.ranks)
        living.living = True
        if not group.revoked and any(gone in group.ranks for gone in world.gone):
            # Nobody waits on in it for a member that has come here.
            group.revoked = True
            world.tell_all()
        try:
            found = shared.driver.arrive(rank, living, Operation(kind), value, _there)
        except Died:
            await _TURN
        await _Ended(world, rank, found, kind)
        values: dict[int, Any] = found.values
        self._gets(values)
        return values

    async def tp_allgather(self, value: Any) -> list[Any]:
        """Everybody's value to everybody, in rank order."""
        values = await self._meet("tp_allgather", (), "", value)
        return [_copied(one) for one in values]

    async def tp_gather(self, value: Any, root: int = 0) -> list[Any] | None:
        """Everybody's value to the root; None on the others."""
        self._one(root)
        values = await self._meet("tp_gather", (root,), f"root {root}", value)
        return [_copied(one) for one in values] if self.rank == root else None

    async def tp_broadcast(self, value: Any = None, root: int = 0) -> Any:
        """The root's value to all."""
        self._one(root)
        values = await self._meet("tp_broadcast", (root,), f"root {root}", value)
        return _copied(values[self._group.ranks.index(root)])

    async def barrier(self) -> None:
        """All come."""
        await self._meet("barrier", (), "", None)

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._rank.intends = "meet"  # time passes once nobody can go on: nobody else's step
        if seconds <= 0:  # a poll: the others come first, and not for ever
            self._shared.driver.tick(self._rank)
            self._rank.polling = True
        await _TURN
        until = self._shared.world.clock_ns + max(1, int(seconds * 1e9))
        await _Ended(self._shared.world, self._rank, Wait(), f"sleep({seconds:g})", until)

    async def send(self, value: Any, to: int, tag: int = 0) -> None:
        """A message, which is buffered."""
        self._rank.intends = "message"
        await _TURN
        self._one(to)
        try:
            arrival = self._note(f"send to rank {to}", f"tag {tag}" if tag else "")
        except Died:
            await _TURN
        shared = self._shared
        if to in shared.world.gone:
            self._lost(_Receive(to, None, self._group), f"send to rank {to}")
        message = _Message(self.rank, tag, _copied(value), arrival)
        if shared.world.on_letter is not None:
            shared.world.on_letter(shared.view(message, to))
        for receive in shared.receives[to]:
            if receive.takes(message):
                shared.receives[to].remove(receive)
                shared.taken(receive, message)
                receive.message, receive.done = message, True
                return
        shared.messages[to].append(message)

    async def recv(self, source: int | None = None, tag: int | None = None) -> Any:
        """The next message of a rank; of any rank, or with any tag, if that is None."""
        self._rank.intends = "message"
        await _TURN
        who = "any rank"
        if source is not None:
            self._one(source)
            who = f"rank {source}"
        told = "" if tag is None else f"tag {tag}"
        shared, receive = self._shared, _Receive(source, tag, self._group)
        try:
            receive.arrival = self._note(f"recv from {who}", told)
        except Died:
            await _TURN
        what = f"recv from {who}" + (f", {told}" if told else "")
        first: dict[int, _Message] = {}
        for message in shared.messages[self.rank]:
            if receive.takes(message):
                first.setdefault(message.sender, message)
        if first:
            chosen = first[shared.world.choose(list(first))]
            shared.messages[self.rank].remove(chosen)
            shared.taken(receive, chosen)
            self._gets(chosen.got)
            return chosen.value
        shared.receives[self.rank].append(receive)
        if not await _Ended(shared.world, self._rank, receive, what):
            shared.receives[self.rank].remove(receive)
            self._lost(receive, what)
        self._gets(receive.message.got)
        return receive.message.value

    def kill(self, rank: int) -> None:
        """The process of this rank dies here, as by SIGKILL; on the others nothing happens."""
        if rank == self.rank:
            self._shared.world.kill(self._rank, sys._getframe(1))

    def _one(self, rank: int) -> None:
        if not hasattr(rank, "__index__"):
            raise TypeError(f"a rank is a number, not {rank!r}: send(value, to), recv(source)")
        if not 0 <= rank < self.world_size:
            raise ValueError(f"there is no rank {rank}: there are {self.world_size}")

    def _note(self, kind: str, text: str) -> Arrival:
        operation = Operation(kind, (), text)
        return self._shared.world.note(self._rank, operation, sys._getframe(1))


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
