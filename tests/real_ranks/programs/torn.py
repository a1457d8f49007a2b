"""A collective completes for all but one rank, which gets an error: nobody has failed, all go on.

python -m tests.real_ranks.programs.torn FOLDER RANK SITE|last LINK COLLECTIVES
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.executor.collectives import WORLD
from adpkv.worlds.mpi.group import Group
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import Script, arrival, setting

FROM = 5


class Torn:
    """An exchange whose rounds complete, and say that they did not."""

    def __init__(self, inner: Any, link: str) -> None:
        self._inner, self._link = inner, link

    def slots(self, *what: Any) -> Any:
        nothing_new = self._inner.slots(*what)
        if self._link == "slots":
            raise MPI.Exception(MPI.ERR_OTHER)
        return nothing_new

    def payloads(self, own: Any, lengths: Any) -> Any:
        self._inner.payloads(own, lengths)
        raise MPI.Exception(MPI.ERR_OTHER)


def tear(rank: int, site: str, link: str) -> None:
    """Let one collective of this rank fail, once."""
    meet, second_round, torn = Group._exchange_slots, Group._second_round, []

    def here(group: Group) -> bool:
        return MPI.COMM_WORLD.rank == rank and not torn and group.number != WORLD

    def is_it(op: Any) -> bool:
        if site == "last":  # before the ranks report, and leave
            return op.site == "flush" and op.plan.leave
        return op.site == site and op.iteration >= FROM

    def broken(group: Group, work: Any, *args: Any) -> Any:
        torn.append(link)
        whole, slots = group._exchange, group._slots
        group._exchange = Torn(whole, link)  # type: ignore[assignment]
        group._slots = group._exchange.slots
        try:
            return work(group, *args)
        finally:
            group._exchange, group._slots = whole, slots

    def met(group: Group, op: Any, payload: Any, rest: str = "") -> Any:
        if here(group) and link == "slots" and is_it(op):
            return broken(group, meet, op, payload, rest)
        return meet(group, op, payload, rest)

    def second(group: Group, at: Any, lengths: Any) -> Any:
        if here(group) and link == "wide":
            return broken(group, second_round, at, lengths)
        return second_round(group, at, lengths)

    Group._exchange_slots, Group._second_round = met, second  # type: ignore[method-assign]
    if MPI.COMM_WORLD.rank == rank:
        Group._be_quick = lambda *_: None  # type: ignore[method-assign]


def main() -> int:
    folder, rank, site, link, collectives = sys.argv[1:6]
    tear(int(rank), site, link)
    # In bursts, so that a broadcast is too long for a slot.
    arrivals = [arrival(100 * (i // 20), 32, 4 + i % 9, wanted=i % 4) for i in range(60)]
    data = setting("torn", 4, 4)
    data["topology"]["collectives"] = collectives
    return run(
        parse(data, "torn"),
        out=Path(folder) / "out",
        quiet=True,
        workload=Script(arrivals) if MPI.COMM_WORLD.rank == 0 else None,
    )


if __name__ == "__main__":
    sys.exit(main())
