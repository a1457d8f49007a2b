"""Policies in which a rank joins a collective because of something that it alone knows.

Each puts a collective before the sync, behind a condition that is not the result of one: the very
thing that contract 5.2 forbids. The others are in `tp_allgather` at sync meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adpkv.core.plan import Plan
from adpkv.core.values import Outcome, Response
from adpkv.executor.meetings import Join
from adpkv.executor.messages import Admit
from adpkv.executor.phases import Phases
from adpkv.history.policy import Policy, never_quiet, replace

__all__ = ["ERRORS_LOCAL", "GATED_POLL", "INVALID_LOCAL", "OWNER_RESPONDS"]

ENDS: Final = frozenset({Outcome.COMPLETED, Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.FAILED})
ERRORS: Final = frozenset({Outcome.TIMED_OUT, Outcome.FAILED})


def _join_alone(
    phases: Phases, kind: str, site: str, payload: Callable[[], Any], when: Callable[[], bool]
) -> None:
    """Before each sync, if `when()` says so here: a collective of the whole group."""
    rank, sync = phases.rank, phases.sync

    async def sync_after() -> Plan:
        if when():
            gathered = await Join(
                rank.instance.index, kind, site, rank.iteration, rank.plan, payload()
            )
            if kind == "tp_gather" and rank.leader is not None:
                rank.leader.answer(gathered, phases.pulse)
        return await sync()

    never_quiet(phases)
    replace(phases, "sync", sync_after)


def _responding(outcomes: frozenset[Outcome], site: str) -> Callable[[Phases], None]:
    """The rank that has such responses to give gathers them at once."""

    def install(phases: Phases) -> None:
        buffer = phases.rank.responses

        def taken() -> tuple[Response, ...]:
            staged = buffer.take()
            for response in staged:
                if response.outcome not in outcomes:
                    buffer.stage(response)
            return tuple(r for r in staged if r.outcome in outcomes)

        def some() -> bool:
            return any(response.outcome in outcomes for response in buffer._staged)

        _join_alone(phases, "tp_gather", site, taken, some)

    return install


OWNER_RESPONDS: Final = Policy(
    "Responses are gathered when there are some, as one rank sees it: the owner of a completed"
    " request is in the gather, the others are not (#13112).",
    install=_responding(ENDS, "respond"),
)

ERRORS_LOCAL: Final = Policy(
    "A failed transfer is answered at once, by the rank that saw it fail (#13900, #13902).",
    install=_responding(ERRORS, "handle_errors"),
)


def _invalid_local(phases: Phases) -> None:
    rank = phases.rank
    index = rank.rank - rank.instance.first

    def found() -> list[int]:
        specs = [mail.spec for mail in phases.group_mail if isinstance(mail, Admit)]
        return [
            spec.request_id
            for spec in specs
            if spec.request_id % rank.instance.ranks == index and rank.limits.objection(spec)
        ]

    _join_alone(phases, "tp_gather", "validate", tuple, lambda: bool(found()))


INVALID_LOCAL: Final = Policy(
    "A request that cannot be served is answered by the rank that looks at it first, in a gather"
    " of its own (#16253, #14560).",
    install=_invalid_local,
)


def _gated_poll(phases: Phases) -> None:
    serving = phases.rank.serving

    def blocked() -> bool:
        if not serving.waiting:
            return False
        needed = serving.limits.blocks_of(serving.waiting[0].spec)
        counts = serving.pool.counts()
        return counts.free + counts.cached < needed

    _join_alone(phases, "tp_allgather", "poll", lambda: None, blocked)


GATED_POLL: Final = Policy(
    "Transfers are polled in a collective, joined only where the next request does not fit: one"
    " free block more or less, and ranks part (#14020).",
    install=_gated_poll,
)
