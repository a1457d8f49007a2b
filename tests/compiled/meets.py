"""Collectives of a group of three of which this process is all members: what came of each, as a
line.

python -m tests.compiled.meets FOLDER [native]

With `native` the fields of a collective are found by name only, as those of a class that mypyc has
made. All but how long it took is the same in plain Python and with `quick.c`. On stderr it says how
many rounds of slots were Python's.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mpi4py import MPI

from adpkv.core.plan import FIRST_PLAN, Plan
from adpkv.errors import CollectiveMismatchError
from adpkv.executor.collectives import Collective, Step
from adpkv.flight_recorder import writer
from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.job_directory import slot_path
from adpkv.flight_recorder.reader import Ring
from adpkv.flight_recorder.slot_layout import HEAD_WORDS, Layout, paired
from adpkv.flight_recorder.slot_reader import last_slots
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi import driver as driver_module
from adpkv.worlds.mpi import group as group_module
from adpkv.worlds.mpi.call_site import CallSite
from adpkv.worlds.mpi.driver import Driver
from adpkv.worlds.mpi.exchange.segment import Segment
from adpkv.worlds.mpi.exchange.shared import SharedExchange
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.slots import NEW, PayloadCodec

NUMBER, SIZE, RECORDS = 4, 3, 5
KINDS = {"tp_broadcast": int, "tp_allgather": int, "tp_gather": int}
LATE_S = 0.002


class Native:
    """A collective without slots."""

    def __init__(self, *fields: Any) -> None:
        self._fields = dict(zip(Collective.__struct_fields__, fields, strict=True))

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def __await__(self) -> Iterator[Any]:
        return (yield self)

    @property
    def place(self) -> str:
        return str(self.site)


class Others:
    """The other two members. They say what this one says, unless they are told otherwise."""

    def __init__(self, segment: Segment, group: Group, index: int) -> None:
        self._segment, self._group = segment, group
        self._members = [member for member in range(SIZE) if member != index]
        self._digest = group._digest
        self._round = 0
        self._said: dict[str, Any] = {}

    def come(self, op: Any, said: Any, *, late: bool = False, elsewhere: bool = False) -> None:
        """All of them, before this member or after it."""
        self._round += 1
        write = partial(self._write, op, self._round, self._group.sequence + 1, said, elsewhere)
        if late:
            threading.Timer(LATE_S, write).start()
        else:
            write()

    def _write(self, op: Any, number: int, sequence: int, said: Any, elsewhere: bool) -> None:
        payload = PayloadCodec(KINDS).encode(op.kind, said) if op.kind in KINDS else b""
        new = self._said.get(op.site, (None,)) != (said,)
        self._said[op.site] = (said,)
        site = CallSite(op.kind, "elsewhere" if elsewhere else op.site, SIZE, 0)
        layout, memory = self._segment.layout, self._segment.memory
        tag = paired(NEW, len(payload)) if new else 0
        for member in self._members:
            if new:
                tail = layout.tail(number, member)
                memory[tail.start : tail.start + len(payload)] = payload
            HEAD_WORDS.pack_into(
                memory, layout.head(number, member).start, tag, paired(NUMBER, 0), sequence,
                op.iteration, site.code, self._digest(op.plan), number,
            )  # fmt: skip


def cases(others: Others, leads: bool) -> Iterator[Any]:
    """What the program awaits; each is met by the others, in some way."""
    plan = Plan(ending=True)
    none: Callable[[Any], Any] | None = None

    def meet(
        kind: str, at: int, said: Any, plan: Any = None, combine: Any = none, **how: Any
    ) -> Any:
        op = group_module.Collective(NUMBER, kind, f"{kind} here", at, plan, said, combine)
        others.come(op, 7 if kind == "tp_broadcast" else said, **how)
        return op

    for at in range(4):
        yield meet("tp_allgather", at, 1 + (at > 1))
    yield meet("tp_allgather", 4, 2, late=True)
    yield meet("tp_allgather", 5, 2, FIRST_PLAN)
    yield meet("tp_allgather", 6, 2, FIRST_PLAN)
    yield meet("tp_allgather", 7, 2, plan)
    yield meet("tp_allgather", 8, 2, plan, combine=sum)
    yield meet("tp_allgather", 9, 2, plan, combine=sum, late=True)
    for at in range(10, 13):
        yield meet("tp_broadcast", at, 7 if leads else 8)
        yield meet("tp_gather", at, 3)
        step = Step(NUMBER, "step", "forward", at, plan, 0, 0, 1, 0, lambda: None)
        others.come(step, None, late=at == 12)
        yield step
    yield meet("tp_allgather", 14, 2, plan, combine=lambda said: 1 // 0)


def main() -> None:
    """As the first member, then as the last."""
    folder = Path(sys.argv[1])
    if sys.argv[2:]:
        writer._WHAT[Native] = int(What.COLLECTIVE)
        driver_module.Collective = group_module.Collective = Native  # type: ignore[assignment, misc]
    for index in (0, SIZE - 1):
        told(folder / str(index), index)


def told(folder: Path, index: int) -> None:
    folder.mkdir()
    layout = Layout(NUMBER, 0, (0, 1, 2), (0, 1, 2))
    segment = Segment.create(slot_path(folder, NUMBER, 0, b"t" * 16), layout, b"t" * 16)
    watch = SimpleNamespace(Iprobe=lambda source: False)
    exchange = SharedExchange(
        segment,
        index,
        index,
        watch=watch,
        links=None,
        hosts=1,
        crowded=True,  # type: ignore[arg-type]
    )
    in_python, slots = [0], exchange.slots

    def counted(*args: Any) -> bool:
        in_python[0] += 1
        return slots(*args)

    exchange.slots = counted  # type: ignore[method-assign]
    recorder = FlightRecorder(
        folder / "ring", rank=index, size=SIZE, host="h", experiment="e", records=RECORDS
    )
    stats = CollectiveStats()
    group = Group(
        SimpleNamespace(rank=index, size=SIZE), NUMBER, range(SIZE), types=KINDS,  # type: ignore[arg-type]
        has_input=lambda: False, stats=stats, exchange=exchange, recorder=recorder,
        computed=recorder.computed,
    )  # fmt: skip
    driver, ring = Driver({NUMBER: group}, stats, recorder), Ring.open(folder / "ring")
    others = Others(segment, group, index)

    def look(what: Any) -> None:
        current = ring.current()
        assert current is not None
        heads = group.contributions_to(group.sequence)
        times = [bool(at) for at in (current.begin_ns, current.ready_ns, current.end_ns)]
        seen = (
            *times,
            current._replace(begin_ns=0, ready_ns=0, end_ns=0),
            bool(stats.last_step_ns),
        )
        print(what, stats.count, bool(stats.total_ns), group.sequence, group.payload_bytes, seen)
        print(heads and (heads.heads.hex(), heads.payloads), last_slots(folder))
        recorder.transferred(What.POST, "post", 1, 2, 3, 4, 5)
        print([r[:3] for r in ring.snapshot(RECORDS).records], ring.snapshot().names)

    async def program() -> None:
        for op in cases(others, index == 0):
            look(await op)

    def failing(last: Any, error: type[Exception]) -> None:
        try:
            driver.run(last())
        except error as found:
            look(f"{type(found).__name__}: {found}")

    failing(program, ZeroDivisionError)

    def raises(error: Exception) -> Callable[[], Any]:
        """A step of which this rank's own part ends with an error: it comes to no round."""

        def run() -> None:
            raise error

        async def steps() -> None:
            plan = group._plan
            await Step(NUMBER, "step", "forward", 15, plan, 0, 0, 1, 0, run)

        return steps

    for error in (ValueError("own"), MPI.Exception(MPI.ERR_OTHER)):
        failing(raises(error), type(error))

    async def elsewhere() -> None:
        op = group_module.Collective(NUMBER, "tp_allgather", "tp_allgather here", 15, None, 2, None)
        others.come(op, 2, elsewhere=True)
        await op

    failing(elsewhere, CollectiveMismatchError)
    time.sleep(2 * LATE_S)
    print(f"{in_python[0]} of {others._round} rounds were Python's", file=sys.stderr)


if __name__ == "__main__":
    main()
