"""A rank program that only meets: each case of `tests/real_ranks/test_mpi_collectives.py` by its
name, one after the other.

python -m tests.real_ranks.programs.collectives mpi|shared_memory CASE...
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
from mpi4py import MPI

from adpkv.executor.collectives import WORLD, Collective, Elapsed, Step, Wait
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.driver import Driver, guarded
from adpkv.worlds.mpi.exchange.opening import ExchangeMaker
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.oversubscription import cores, local_ranks
from tests.real_ranks.programs.private import private_folder


class Word(msgspec.Struct, frozen=True):
    """A payload."""

    rank: int
    text: str = ""


TYPES: dict[str, object] = {
    "tp_broadcast": tuple[Word, ...],
    "tp_allgather": Word,
    "tp_gather": tuple[Word, ...],
    "world_allgather": Word,
}

LONG = "x" * 100_000
OWN = 7
"""The number of this rank's own group."""


class Rig:
    """What a case works with."""

    def __init__(self, collectives: Any) -> None:
        world = MPI.COMM_WORLD
        self.rank, self.size = world.rank, world.size
        half = self.size // 2
        low = self.rank < half
        self.members = range(half) if low else range(half, self.size)
        self.place = self.rank - self.members.start
        self.has_input = False
        self.stats = CollectiveStats()

        def group(
            folder: Path, comm: MPI.Comm, number: int, ranks: range, recorder: FlightRecorder
        ) -> Group:
            crowded = local_ranks(os.environ) > cores()
            exchange = ExchangeMaker(collectives, folder, crowded).open(comm, number, 0, ranks)
            return Group(
                comm, number, ranks, types=TYPES, has_input=lambda: self.has_input,
                stats=self.stats, exchange=exchange, recorder=recorder,
            )  # fmt: skip

        with private_folder() as folder:
            recorder = FlightRecorder(
                folder / f"{self.rank}.ring", rank=self.rank, size=self.size,
                host="here", experiment="", records=16,
            )  # fmt: skip
            own = world.Split(0 if low else 1, self.rank)
            groups = {
                OWN: group(folder, own, OWN, self.members, recorder),
                WORLD: group(folder, world, WORLD, range(self.size), recorder),
            }
        self.driver = Driver(groups, self.stats, recorder)

    def join(self, kind: str, payload: Any, at: int = 0, site: str = "", **more: Any) -> Collective:
        group = WORLD if kind.startswith("world") else OWN
        return Collective(group, kind, site or kind, at, more.pop("plan", None), payload, **more)


async def results(rig: Rig) -> None:
    """Each kind gives what its contract says, with nothing, little and much to say."""
    for at, text in enumerate(["", "short", "short", LONG, "", LONG, "y" * 180, "z" * 240, LONG]):
        own = Word(rig.rank, text)
        everybody = tuple(Word(rank, text) for rank in rig.members)
        said = (own,) if text else ()

        got = await rig.join("tp_broadcast", said if rig.place == 0 else (), at)
        assert got == ((everybody[0],) if text else ())

        assert await rig.join("tp_allgather", own, at) == everybody
        total = await rig.join(
            "tp_allgather", own, at, combine=lambda words: sum(word.rank for word in words)
        )
        assert total == sum(rig.members)

        gathered = await rig.join("tp_gather", said, at)
        assert gathered == (
            None if rig.place else tuple((word,) if text else () for word in everybody)
        )

        world = await rig.join("world_allgather", own, at)
        assert world == tuple(Word(rank, text) for rank in range(rig.size))


async def much_more(rig: Rig) -> None:
    """Long payloads of all members, of different lengths; with none at all between them."""
    for at in range(3):
        texts = {rank: chr(97 + rank) * (600_000 + 1_000 * rank + at) for rank in rig.members}
        texts[rig.members[0]] = "short"
        got = await rig.join("tp_allgather", Word(rig.rank, texts[rig.rank]), at)
        assert got == tuple(Word(rank, texts[rank]) for rank in rig.members)
        assert await rig.join("tp_gather", (), at) in (None, ((),) * len(rig.members))


async def said_again(rig: Rig) -> None:
    """What is said again is neither sent nor decoded again; what one says anew is, of it alone."""
    exchange, lengths = rig.driver.groups[OWN]._exchange, list[Any]()
    payloads = exchange.payloads
    exchange.payloads = lambda own, told: lengths.append(told) or payloads(own, told)  # type: ignore[method-assign, func-returns-value]
    first, before = rig.members[0], tuple[Word, ...]()
    for at, text in enumerate([LONG, LONG, "short", "short", LONG]):
        said = {rank: Word(rank, text if rank == first else LONG) for rank in rig.members}
        heard = await rig.join("tp_allgather", said[rig.rank], at, "again")
        assert heard == tuple(said.values())
        assert [a is b for a, b in zip(heard, before, strict=False)].count(False) == (at in (2, 4))
        before = heard
    del exchange.payloads  # type: ignore[method-assign]
    assert [sum(map(bool, told)) for told in lengths] == [len(rig.members), 1]


async def one_speaks(rig: Rig) -> None:
    """Only one rank has something to say, and it is long; afterwards nobody has."""
    last = len(rig.members) - 1
    for at in range(3):
        said = (Word(rig.rank, LONG),) if rig.place == last and at != 1 else ()
        gathered = await rig.join("tp_gather", said, at)
        if rig.place == 0:
            expected = (Word(rig.members[last], LONG),) if at != 1 else ()
            assert gathered == ((),) * last + (expected,)
        got = await rig.join("tp_allgather", Word(rig.rank), at)
        assert got == tuple(Word(rank) for rank in rig.members)


async def step(rig: Rig) -> None:
    """Every rank runs its part, then all go on together."""
    ran: list[int] = []
    made = await Step(OWN, "step", "forward", 3, None, 1, 0, 99, 0, lambda: ran.append(1))
    assert made == Elapsed(1, 3, None)
    assert ran == [1]


async def counted(rig: Rig) -> None:
    """Collectives are counted, waits are none, and time in them adds up."""
    before = rig.driver.counts()
    await rig.join("tp_gather", ())
    await Step(OWN, "step", "forward", 3, None, 1, 0, 99, 0, lambda: None)
    await Wait(OWN, "wait", "wait", 3, None, 0, 0)
    await rig.join("world_allgather", Word(rig.rank))
    count, total_ns, mismatches, *_ = rig.driver.counts()
    assert count - before[0] == 3
    assert total_ns > before[1]
    assert mismatches == 0


async def has_input(rig: Rig) -> None:
    """Input of any one member ends a long wait of all; the next wait is not ended by old input."""
    for teller in range(len(rig.members)):
        rig.has_input = rig.place == teller
        await Wait(OWN, "wait", "wait", teller, None, 3_600_000_000_000, 0)
        rig.has_input = False
        await rig.join("tp_gather", (), teller)
    for at in range(20):
        rig.has_input = True  # all at once: each wakes the others, and all those words are stale
        await Wait(OWN, "wait", "wait", at, None, 3_600_000_000_000, 0)
        await rig.join("tp_gather", (), at)
    rig.has_input = False
    began_ns = time.perf_counter_ns()
    await Wait(OWN, "wait", "wait", 99, None, 30_000_000, 0)
    assert time.perf_counter_ns() - began_ns >= 20_000_000 or rig.place


async def smallest_limit(rig: Rig) -> None:
    """The smallest limit of any member counts for all."""
    hour_ns = 3_600_000_000_000
    await Wait(OWN, "wait", "wait", 0, None, 1_000_000 if rig.place == 1 else hour_ns, 0)
    await rig.join("tp_gather", ())


async def kind_differs(rig: Rig) -> None:
    """Scenario 13: one rank in a response gather, the others in another all-gather."""
    await rig.join("tp_gather", (), 4, "flush")
    if rig.rank == 1:
        await rig.join("tp_gather", (Word(1, "invalid request"),), 5, "respond")
    await rig.join("tp_allgather", Word(rig.rank), 5, "sync")


async def third_absent(rig: Rig) -> None:
    """One rank is in another collective, and one never comes: who waits for it sees the first."""
    if rig.place == 2:
        time.sleep(3_600)
    site = "respond" if rig.place == 1 else "sync"
    await rig.join("tp_allgather", Word(rig.rank), 5, site)


async def plan_differs(rig: Rig) -> None:
    """Same place, but one rank agreed to something else before."""
    await rig.join("tp_gather", (), 4, "flush", plan=Word(0 if rig.rank == 1 else 1))
    # The other group goes on, to the barrier at the end: an error there could be told first.
    assert rig.rank >= 2, "nobody noticed"


async def waits_elsewhere(rig: Rig) -> None:
    """One rank runs a step while the others wait: seen when the wait is over."""
    if rig.rank == 1:
        await Step(OWN, "step", "forward", 6, None, 1, 0, 1, 0, lambda: None)
    await Wait(OWN, "wait", "wait", 6, None, 5_000_000, 0)
    await rig.join("tp_broadcast", (), 7, "intake")


async def one_fails(rig: Rig) -> None:
    """An exception on one rank must not leave the others waiting."""
    if rig.rank == 2:
        raise RuntimeError("a planted failure")
    await rig.join("world_allgather", Word(rig.rank))


async def too_much(rig: Rig) -> None:
    """A payload beyond the limit is refused before anybody meets."""
    await rig.join("tp_gather", (Word(rig.rank, "x" * (17 << 20)),))


CASES: dict[str, Callable[[Rig], Coroutine[Any, Any, None]]] = {
    case.__name__: case
    for case in (
        results,
        much_more,
        said_again,
        one_speaks,
        step,
        counted,
        has_input,
        smallest_limit,
        kind_differs,
        third_absent,
        plan_differs,
        waits_elsewhere,
        one_fails,
        too_much,
    )
}


async def told(rig: Rig, names: list[str]) -> None:
    """Each case, and that all ranks have come to its end."""
    for name in names:
        await CASES[name](rig)
        await rig.join("world_allgather", Word(rig.rank), site=name)
        if rig.rank == 0:
            print(f"passed {name}", flush=True)


def main() -> int:
    rig = Rig(sys.argv[1])
    who = f"rank {rig.rank}"
    guarded(
        who,
        lambda: rig.driver.run(told(rig, sys.argv[2:])),
        lambda error: f"adpkv: {error}" if rig.driver.leads() else "",
    )
    MPI.COMM_WORLD.Barrier()
    return 0


if __name__ == "__main__":
    sys.exit(main())
