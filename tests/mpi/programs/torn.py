"""A collective completes for all but one rank, which gets an error: nobody has failed, all go on.

python -m tests.mpi.programs.torn FOLDER RANK SITE|last LINK
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
    """A communicator whose collectives complete, and say that they did not."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def Allgather(self, *args: Any) -> None:  # noqa: N802 - MPI's name
        self._inner.Allgather(*args)
        raise MPI.Exception(MPI.ERR_OTHER)

    def Allgatherv(self, *args: Any) -> None:  # noqa: N802 - MPI's name
        self._inner.Allgatherv(*args)
        raise MPI.Exception(MPI.ERR_OTHER)


def tear(rank: int, site: str, link: str) -> None:
    """Let one collective of this rank fail, once."""
    meet, second_round, torn = Group._exchange_slots, Group._second_round, []

    def here(group: Group) -> bool:
        return MPI.COMM_WORLD.rank == rank and not torn and group._place[0] != WORLD

    def is_it(op: Any) -> bool:
        if site == "last":  # before the ranks report, and leave
            return op.site == "flush" and op.plan.leave
        return op.site == site and op.iteration >= FROM

    def met(group: Group, op: Any, payload: Any, rest: str = "") -> Any:
        hit = here(group) and link == "slots" and is_it(op)
        if not hit:
            return meet(group, op, payload, rest)
        torn.append(op.iteration)
        whole, group._slots = group._slots, Torn(group._slots)  # type: ignore[assignment]
        try:
            return meet(group, op, payload, rest)
        finally:
            group._slots = whole

    def second(group: Group, at: Any, lengths: Any) -> Any:
        if not (here(group) and link == "wide"):
            return second_round(group, at, lengths)
        torn.append(at.kind)
        whole, group._wide = group._wide, Torn(group._wide)  # type: ignore[assignment]
        try:
            return second_round(group, at, lengths)
        finally:
            group._wide = whole

    Group._exchange_slots, Group._second_round = met, second  # type: ignore[method-assign]


def main() -> int:
    folder, rank, site, link = sys.argv[1:5]
    tear(int(rank), site, link)
    # In bursts, so that a broadcast is too long for a slot.
    arrivals = [arrival(100 * (i // 20), 32, 4 + i % 9, wanted=i % 4) for i in range(60)]
    return run(
        parse(setting("torn", 4, 4), "torn"),
        out=Path(folder) / "out",
        quiet=True,
        workload=Script(arrivals) if MPI.COMM_WORLD.rank == 0 else None,
    )


if __name__ == "__main__":
    sys.exit(main())
