"""What the tests of `agree` are made of: groups, statuses, plans and what stands in them."""

from __future__ import annotations

from collections.abc import Iterable

from core_parts import spec

from adpkv.core.plan import FIRST_PLAN, GroupInput, GroupLimits, Plan, RankStatus, agree
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome, RequestSpec
from adpkv.core.waiting import Waiting

__all__ = ["BUSY", "FULL", "IDLE", "group", "ids", "owners", "refused", "step", "waiting_plan"]

IDLE = RankStatus()
BUSY = RankStatus(work=True, tokens=50, requests=1)
FULL = RankStatus(requests=99)


def group(
    ranks: int = 4, kind: Kind = Kind.CONTEXT, most: int = 8, peer_blocks: int = 100
) -> GroupLimits:
    return GroupLimits(
        kind=kind,
        ranks=ranks,
        block_tokens=16,
        usable_blocks=10,
        peer_blocks=peer_blocks,
        most_requests=most,
    )


def step(
    *statuses: RankStatus,
    previous: Plan = FIRST_PLAN,
    group_input: GroupInput | None = None,
    limits: GroupLimits | None = None,
) -> Plan:
    said = statuses or (IDLE,) * 4
    return agree(limits or group(len(said)), previous, group_input, said)


def ids(specs: Iterable[RequestSpec]) -> list[int]:
    return [one.request_id for one in specs]


def owners(plan: Plan) -> dict[int, list[int]]:
    return {rank: ids(specs) for rank, specs in plan.assignments.items()}


def refused(plan: Plan) -> dict[int, Outcome]:
    return {r.request_id: r.outcome for r in plan.refusals}


def waiting_plan(*request_ids: int) -> Plan:
    return Plan(waiting=Waiting(spec(i) for i in request_ids))
