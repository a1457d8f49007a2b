"""Policies in which a rank joins a collective because of something that it alone knows.

Each puts a collective before the sync, behind a condition that is not the result of one: the very
thing that contract 5.2 forbids. The others are in `tp_allgather` at sync meanwhile.
"""

from __future__ import annotations

from typing import Any, Final

from adpkv.core.plan import Plan
from adpkv.core.values import Outcome
from adpkv.executor.collectives import Collective
from adpkv.executor.messages import Admit
from adpkv.executor.phases import Phases
from adpkv.field_policies.policy import NeverQuiet, Policy

__all__ = ["ERRORS_LOCAL", "GATED_POLL", "INVALID_LOCAL", "OWNER_RESPONDS"]

ENDS: Final = frozenset({Outcome.COMPLETED, Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.FAILED})
ERRORS: Final = frozenset({Outcome.TIMED_OUT, Outcome.FAILED})


async def _join_alone(phases: Phases, kind: str, site: str, payload: Any) -> None:
    """A collective of the whole group, which this rank alone has a reason for."""
    rank = phases.rank
    gathered = await Collective(rank.instance.index, kind, site, rank.iteration, rank.plan, payload)
    if kind == "tp_gather" and rank.leader is not None:
        rank.leader.answer(gathered, phases.pulse)


async def _respond(phases: Phases, outcomes: frozenset[Outcome], site: str) -> None:
    """The rank that has such responses to give gathers them at once."""
    buffer = phases.rank.responses
    if not any(response.outcome in outcomes for response in buffer.staged):
        return
    staged = buffer.take()
    for response in staged:
        if response.outcome not in outcomes:
            buffer.stage(response)
    mine = tuple(response for response in staged if response.outcome in outcomes)
    await _join_alone(phases, "tp_gather", site, mine)


class OwnerResponds(NeverQuiet):
    """Whoever has responses gathers them."""

    async def sync(self) -> Plan:
        """After that."""
        await _respond(self, ENDS, "respond")
        return await super().sync()


class HandlesErrors(NeverQuiet):
    """Whoever has failures gathers them."""

    async def sync(self) -> Plan:
        """After that."""
        await _respond(self, ERRORS, "handle_errors")
        return await super().sync()


class ValidatesAlone(NeverQuiet):
    """Requests are looked at in turns, and who finds a wrong one says so."""

    async def sync(self) -> Plan:
        """After that."""
        rank = self.rank
        specs = [messages.spec for messages in self.group_input if isinstance(messages, Admit)]
        mine = [s for s in specs if s.request_id % rank.instance.ranks == self._index]
        if any(rank.limits.objection(spec) for spec in mine):
            await _join_alone(self, "tp_gather", "validate", ())
        return await super().sync()


class PollsInAGate(NeverQuiet):
    """Polls are collective, and joined only where the next request does not fit."""

    async def sync(self) -> Plan:
        """After the poll."""
        if self._is_blocked():
            await _join_alone(self, "tp_allgather", "poll", None)
        return await super().sync()

    def _is_blocked(self) -> bool:
        serving = self.rank.serving
        if not serving.waiting:
            return False
        needed = serving.limits.blocks_of(serving.waiting[0].spec)
        counts = serving.pool.counts()
        return counts.free + counts.cached < needed


OWNER_RESPONDS: Final = Policy(
    "Responses are gathered when there are some, as one rank sees it: the owner of a completed"
    " request is in the gather, the others are not (#13112).",
    phases=OwnerResponds,
)

ERRORS_LOCAL: Final = Policy(
    "A failed transfer is answered at once, by the rank that saw it fail (#13900, #13902).",
    phases=HandlesErrors,
)

INVALID_LOCAL: Final = Policy(
    "A request that cannot be served is answered by the rank that looks at it first, in a gather"
    " of its own (#16253, #14560).",
    phases=ValidatesAlone,
)

GATED_POLL: Final = Policy(
    "Transfers are polled in a collective, joined only where the next request does not fit: one"
    " free block more or less, and ranks part (#14020).",
    phases=PollsInAGate,
)
