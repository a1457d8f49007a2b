"""What a rank program awaits: the ranks of a group meet, or time passes. Nothing else.

A program yields one of these and is resumed with the result by its world, which is the interpreter
(`worlds/mpi`, `worlds/virtual`). There is no asyncio underneath. Whoever reads the loop sees every
synchronisation point, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

import msgspec

from adpkv.core.token_gaps import TokenGaps
from adpkv.model.port import Batch

__all__ = [
    "WORLD",
    "Collective",
    "CollectiveCounts",
    "Elapsed",
    "Gone",
    "Operation",
    "Pause",
    "Receive",
    "Step",
    "Wait",
]

WORLD: Final = -1
"""The group of all ranks of the job; instance groups are numbered from 0."""


class CollectiveCounts(NamedTuple):
    """What a world counts of one rank's collectives. `met` is all of them, waits included, and
    `trace` the digest of which they were; both 0 in a world that matches all of them by value."""

    collectives: int
    collectives_ns: int
    mismatches: int
    met: int = 0
    trace: int = 0
    gaps: TokenGaps | None = None
    """Between the tokens that its clients get, or those of its whole group: then of one rank only.
    It goes on counting."""


class Operation(msgspec.Struct, gc=False):
    """All members of `group` must come to the same kind, site and iteration with the same plan.

    `plan` is the last plan that this rank agreed to: by identity in the virtual world, by digest
    on the wire, so that ranks which decided differently are seen at the next collective (contract
    5.8).
    """

    group: int
    kind: str
    site: str
    iteration: int
    plan: Any

    def __await__(self) -> Generator[Operation, Any, Any]:
        return (yield self)

    @property
    def place(self) -> str:
        """The site, for people."""
        return self.site


class Collective(Operation, gc=False):
    """A small collective: each member brings `payload`, the result depends on `kind`.

    | kind | result |
    |---|---|
    | `tp_broadcast` | the leader's payload, on every rank |
    | `tp_allgather`, `world_allgather` | `combine(payloads in rank order)`, on every rank |
    | `tp_gather` | the payloads in rank order on the leader, None elsewhere |

    `combine` must be a pure function: a world may call it once and share the result.
    """

    payload: Any
    combine: Callable[[tuple[Any, ...]], Any] | None = None


class Elapsed(NamedTuple):
    """What passed while a rank stood in a step or a wait: the result of both.

    In the real world one step or none, and no iteration. In virtual time a quiet rank may have been
    left out of iterations that concerned others only; so it learns here where the group is.
    """

    steps: int
    iteration: int
    plan: Any


class Step(Operation, gc=False):
    """One forward step of the whole group; in quiet stretches of virtual time, many.

    The k-th step of a stretch takes this rank `base + k * slope` of its model's ticks, and the
    group as long as its slowest member. A stretch ends at the first step boundary at or after
    `until_ns` of any member or the arrival of anything for any member, and after `most` steps of
    any member.
    `run` does this rank's real part of one step, where the world is real.

    `says` is what this rank will bring to the next `tp_allgather` if nothing concerns it until
    then; it has no messages for the broadcast and nothing to gather then. None: it must be asked
    after each step. Result: an `Elapsed`.

    `batch` is what this rank is about to compute where all members must compute the same (tensor
    parallelism): part of the collective's place, so that members that differ are seen here instead
    of hanging inside the step. None where each has its own.

    With each step clients get `tokens` tokens from this rank; `waited` is for each request that
    gets its second one with the first of them, how long it has had its first.

    `computes`: this rank has something to compute in it. So the step is progress, also where it
    costs no time: a workload has only so many tokens.
    """

    base: int
    slope: int
    most: int
    until_ns: int
    run: Callable[[], None]
    says: Any = None
    batch: Batch | None = None
    computes: bool = False
    tokens: int = 0
    waited: tuple[int, ...] = ()

    @property
    def place(self) -> str:
        """The site, with what must be equal there."""
        return self.site if self.batch is None else f"{self.site}[{_told(self.batch)}]"

    def batch_after(self, steps: int) -> Batch | None:
        """What it computes after so many steps in a row."""
        batch = self.batch
        if batch is None or not steps:
            return batch
        tokens = batch.context_tokens + steps * batch.sequences
        return msgspec.structs.replace(batch, context_tokens=tokens)


def _told(batch: Batch) -> str:
    """All of it, as this text is what a link compares."""
    told = []
    if batch.prefill_tokens:
        told.append(f"{batch.prefill_tokens} prompt tokens with {batch.prefill_pairs} pairs")
    if batch.sequences:
        told.append(f"{batch.sequences} sequences over {batch.context_tokens} tokens")
    return ", ".join(told) or "nothing"


class Wait(Operation, gc=False):
    """The group waits, at most the smallest `limit_ns` of its members; input for any member
    (messages, a transfer's end, a signal) ends it at once. In virtual time, equal waits in a row
    may be made as one, up to the first boundary at or after `until_ns` of any member. `says` as for
    a step. Result: an `Elapsed`."""

    limit_ns: int
    until_ns: int
    says: Any = None


class Pause(Operation, gc=False):
    """This rank alone stands still, until `over()` or `until_ns`; whoever meets it waits. `kind`
    and `site` say what it is doing, for a person who asks.

    The contract's loop never pauses: whatever it waits for, it waits for together with its group
    (5.6). A process that is stopped does, and so do historical policies. `over` is asked when
    something has arrived for this rank. Result: None.
    """

    until_ns: int
    over: Callable[[], bool]


class Gone(Operation, gc=False):
    """This rank's process is gone: it never comes back from here, and never said so."""


class Receive(msgspec.Struct, gc=False):
    """The coordinator's only await: wait for messages, at most until `until_ns` of its own clock.
    Result: the list of messages, in order of arrival, empty at the time limit."""

    until_ns: int

    def __await__(self) -> Generator[Receive, Any, Any]:
        return (yield self)
