"""Policies in which a rank joins a collective because of something that it alone knows.

Each puts a collective before the sync, behind a condition that is not the result of one: the very
thing that contract 5.2 forbids. The others are in `tp_allgather` at sync meanwhile.
"""

from __future__ import annotations

from typing import Any, Final

from adpkv.core.plan import Plan
from adpkv.core.router import blind
from adpkv.core.values import Outcome
from adpkv.executor.collectives import Collective
from adpkv.executor.messages import Admit
from adpkv.executor.phases import Phases
from adpkv.field_policies.policy import NeverQuiet, Policy

__all__ = ["ERRORS_LOCAL", "GATED_POLL", "INVALID_LOCAL", "OWNER_RESPONDS"]

ENDS: Final = frozenset({Outcome.COMPLETED, Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.FAILED})
ERRORS: Final = frozenset({Outcome.TIMED_OUT, Outcome.FAILED})


async def _join_alone(phases: Phases, kind: str, site: str, payload: Any) -> None:
    """Join a collective of the whole group that only this rank has a reason to join."""
    rank = phases.rank
    gathered = await Collective(rank.instance.index, kind, site, rank.iteration, rank.plan, payload)
    if kind == "tp_gather" and rank.leader is not None:
        rank.leader.answer(gathered, phases.pulse)


async def _respond(phases: Phases, outcomes: frozenset[Outcome], site: str) -> None:
    """Gather responses with these outcomes at once, if this rank has any."""
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
    """A rank that has responses of ended requests gathers them before the sync."""

    async def sync(self) -> Plan:
        """Gather, then sync."""
        await _respond(self, ENDS, "respond")
        return await super().sync()


class HandlesErrors(NeverQuiet):
    """A rank that has responses of failed requests gathers them before the sync."""

    async def sync(self) -> Plan:
        """Gather, then sync."""
        await _respond(self, ERRORS, "handle_errors")
        return await super().sync()


class ValidatesAlone(NeverQuiet):
    """Each rank validates its share of the new requests, and gathers if one is invalid."""

    async def sync(self) -> Plan:
        """Validate, then sync."""
        rank = self.rank
        specs = [message.spec for message in self.group_input if isinstance(message, Admit)]
        mine = [s for s in specs if s.request_id % rank.instance.ranks == self._index]
        if any(rank.limits.objection(spec) for spec in mine):
            await _join_alone(self, "tp_gather", "validate", ())
        return await super().sync()


class PollsInAGate(NeverQuiet):
    """A poll is a collective, and a rank joins it only where its next request does not fit."""

    async def sync(self) -> Plan:
        """Poll, then sync."""
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
    " free block more or less, and ranks disagree (#14020).",
    phases=PollsInAGate,
    route=blind,  # a next request on a rank that has no room for it: bound early
)
