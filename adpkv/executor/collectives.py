"""What a rank program may await: a collective of its group, or that time passes.

A program yields one of these operations, and its world (`worlds/mpi` or `worlds/virtual`) performs
it and resumes the program with the result. There is no asyncio underneath. So every `await` in the
loop is a synchronisation point, and there are no others.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

import msgspec

from adpkv.core.token_gaps import TokenGaps
from adpkv.model.port import Batch

__all__ = [
    "NO_WORK",
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


NO_WORK: Final = Batch()


class CollectiveCounts(NamedTuple):
    """What a world counts of one rank's collectives.

    `collectives` and `collectives_ns` are the small ones and the time spent in them. `trace_length`
    counts all, steps and waits included, and `trace` is a digest of the waits in their order, which
    nothing else compares; both are 0 in a world that compares every collective directly.
    """

    collectives: int
    collectives_ns: int
    mismatches: int
    trace_length: int = 0
    trace: int = 0
    gaps: TokenGaps | None = None
    """The gaps between the tokens that clients get from this rank, or from its whole group; then
    only one rank of the group has them. The object goes on counting."""


class Operation(msgspec.Struct, gc=False):
    """Base of all operations: all members of `group` must join one of the same `kind`, `site` and
    `iteration`, with the same `plan`.

    `site` names the place in the code. `plan` is the last plan that this rank agreed to. The
    virtual world compares plans by identity; under MPI their digests are compared. So ranks that
    decided differently are detected at the next collective (contract 5.8).
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
        """The site, as it is compared and shown."""
        return self.site


class Collective(Operation, gc=False):
    """A small collective: each member contributes `payload`; the result depends on `kind`.

    | kind | result |
    |---|---|
    | `tp_broadcast` | the leader's payload, on every rank |
    | `tp_allgather`, `world_allgather` | `combine(payloads in rank order)`, on every rank |
    | `tp_gather` | the payloads in rank order on the leader, None elsewhere |

    `combine` must be a pure function: a world may call it once and share the result.
    """

    payload: Any
    combine: Callable[[tuple[Any, ...]], Any] | None = None


class Elapsed(msgspec.Struct, frozen=True, gc=False):
    """The result of a step or a wait: the forward steps made, and the iteration and plan that the
    group has reached.

    Under MPI that is one step or none, in the same iteration. In virtual time the group may have
    made several iterations without a rank whose status did not change; the rank learns here where
    the group is.
    """

    steps: int
    iteration: int
    plan: Any


class Step(Operation, gc=False):
    """One forward step of the whole group; in virtual time, perhaps many steps in a row (a
    *stretch*). Result: an `Elapsed`.

    The k-th step of a stretch, from 0, takes this rank `base + k * slope` ticks of its model, and
    the group as long as its slowest member. A stretch ends at the first step boundary at or after
    any member's `until_ns` or the arrival of input for any member, and after the smallest `most` of
    the members. Under MPI one step is made, by calling `run`.

    `quiet_status` is the status that this rank will contribute to the next `tp_allgather` if
    nothing concerns it until then; it then has nothing to broadcast or gather either. None: this
    rank must take part in an iteration after each step.

    `batch` is set if all members must compute the same batch (tensor parallelism). It is part of
    `place`, so that members with different batches are detected before the step instead of hanging
    inside it. None if each member has its own batch.

    `tokens`: how many tokens clients get from this rank with each step. `waited`: for each request
    that is new to the batch, how many nanoseconds it has had its first token.

    `work` is this rank's own batch, for whoever records what was computed.

    `computes`: this rank has something to compute. Such a step counts as progress even if it takes
    no time, as a workload has a finite number of tokens.
    """

    base: int
    slope: int
    most: int
    until_ns: int
    run: Callable[[], None]
    quiet_status: Any = None
    batch: Batch | None = None
    computes: bool = False
    tokens: int = 0
    waited: tuple[int, ...] = ()
    work: Batch = NO_WORK

    @property
    def place(self) -> str:
        """The site, with the batch if it must be equal on all members."""
        return self.site if self.batch is None else self.place_with(self.batch)

    def place_with(self, batch: Batch) -> str:
        """The site with this batch."""
        return f"{self.site}[{_text(batch)}]"

    def after(self, steps: int, iteration: int, plan: Any) -> Step:
        """What a quiet member awaits that has made `steps` steps: it is where its group is by
        then."""
        at = (self.group, self.kind, self.site, iteration, plan)
        cost = (self.base, self.slope, self.most, self.until_ns)
        return Step(*at, *cost, self.run, self.quiet_status, self.batch_after(steps))

    def batch_after(self, steps: int) -> Batch | None:
        """The batch after `steps` steps in a row."""
        batch = self.batch
        if batch is None or not steps:
            return batch
        # Chunks of a long prompt, or decoded tokens; no batch has both.
        pairs = batch.prefill_pairs + steps * batch.prefill_tokens**2
        tokens = batch.context_tokens + steps * batch.sequences
        return Batch(batch.prefill_tokens, pairs, batch.sequences, tokens)


def _text(batch: Batch) -> str:
    """The whole batch as text: two batches are compared by it."""
    parts = []
    if batch.prefill_tokens:
        parts.append(f"{batch.prefill_tokens} prompt tokens with {batch.prefill_pairs} pairs")
    if batch.sequences:
        parts.append(f"{batch.sequences} sequences over {batch.context_tokens} tokens")
    return ", ".join(parts) or "nothing"


class Wait(Operation, gc=False):
    """The group waits, at most for the smallest `limit_ns` of its members. Result: an `Elapsed`.

    Input for any member (a message, a transfer's end, a signal) ends the wait at once. In virtual
    time, equal waits in a row may be made as one, which ends at the first boundary at or after any
    member's `until_ns`. `quiet_status` is as in `Step`.
    """

    limit_ns: int
    until_ns: int
    quiet_status: Any = None


class Pause(Operation, gc=False):
    """This rank alone does nothing until `over()` is true or `until_ns` has come. Result: None.

    The others wait for it at their next collective. `kind` and `site` describe for people what the
    rank is doing. `over` is called when input has arrived for this rank. The contract's loop never
    pauses: a rank waits only together with its group (5.6). Pauses come from faults that suspend a
    process, and from historical policies.
    """

    until_ns: int
    over: Callable[[], bool]


class Gone(Operation, gc=False):
    """This rank's process has ended without a message. The program is never resumed."""


class Receive(msgspec.Struct, gc=False):
    """The coordinator's only await: wait for messages, at most until `until_ns` on its own clock.

    Result: the list of messages, in order of arrival; empty at the time limit.
    """

    until_ns: int

    def __await__(self) -> Generator[Receive, Any, Any]:
        return (yield self)
