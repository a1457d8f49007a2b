"""What torch does on a rank that waits for one that is gone.

Measured with torch 2.13 over Gloo, four processes, one killed: each that needs it gets RuntimeError
"Connection closed by peer" at once, and again from each later operation; a receive from any rank
ends with its timeout. NCCL's kernels wait; the watchdog ends the process when the group's timeout
is over.
"""

from __future__ import annotations

from typing import Final, NoReturn

from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.failure import Failure, What, lost
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Wait

__all__ = ["GLOO_SECONDS", "NCCL_SECONDS", "broken", "connection_closed"]

NCCL_SECONDS: Final = 600
GLOO_SECONDS: Final = 1800
"""How long a group waits, unless the program says otherwise: c10d's defaults."""


def connection_closed(gone: int) -> Exception:
    """Gloo's error about a process that is gone."""
    return lost(
        RuntimeError(
            f"[gloo/transport/tcp/pair.cc] Connection closed by peer (rank {gone}). This is"
            " typically caused by a remote worker crashing."
        ),
        gone,
    )


def broken(driver: Driver, rank: Rank, on: Wait, what: str, group: Group) -> NoReturn:
    """The rank has waited for what never comes, as long as its library waits. Returns never: an
    error with Gloo, the end of the process with NCCL."""
    world = driver.world
    gone = on.torn if on.done else on.missing(world)
    if not group.patience_ns:
        driver.refuse(rank)
        raise connection_closed(gone)
    if on.done:  # NCCL has no error to give: the kernel goes on waiting
        driver.wait(rank, Wait(), what, world.clock_ns + group.patience_ns)
    if world.strict:
        told = f"{group.patience_ns / 1e9:g} s after rank {gone} was gone NCCL's watchdog ends it"
        driver.fail(rank, Failure(What.EXCEPTION, rank.number, message=told))
    world.stop(rank, "aborted")
