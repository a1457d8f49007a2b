"""What is kept of a group's statuses gives the plans that are made of nothing but these."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from core_parts import spec

from adpkv.core.failure_memory import Trust
from adpkv.core.group_limits import GroupLimits
from adpkv.core.group_statuses import GroupStatuses
from adpkv.core.ownership import Vote
from adpkv.core.plan import FIRST_PLAN, GroupInput, Plan, agree, plan_by
from adpkv.core.rank_failure import Attempt
from adpkv.core.rank_status import RankStatus
from adpkv.core.router import POLICIES, blind, routed_by
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting
from tests.worlds.virtual.seeds import batch, batches

BLOCKS, SEATS, SLOTS, MOST = 24, 6, 4, 7
POLICY = [*POLICIES.values(), blind, routed_by(lambda one, loads, room: room.index(max(room)))]


@dataclass
class Rank:
    """What one rank has been given, and what it says of that."""

    status: RankStatus
    held: dict[Attempt, tuple[RequestSpec, int]]
    turn: int = 0

    def say(self, limits: GroupLimits, waiting: Waiting, draw: random.Random) -> None:
        """Say it anew; once in a while something odd."""
        every = [one for one, _ in self.held.values()]
        peers: dict[int, tuple[int, int]] = {}
        for one in every:
            if one.sender is not None:
                sent, blocks = peers.get(one.sender.rank, (0, 0))
                peers[one.sender.rank] = sent + 1, blocks + len(one.sender.blocks)
        odd: dict[str, Any] = {}
        if draw.random() < 0.1:
            odd["trust"] = draw.choice([*Trust])
        if draw.random() < 0.1:
            odd["votes"] = (Vote(draw.randrange(9)),)
        if draw.random() < 0.05:
            odd["able"] = False
        if waiting and draw.random() < 0.2:
            one = draw.choice([*waiting])
            odd["cached"] = ((one.request_id, one.attempt, 2, draw.randint(0, 2)),)
        if draw.random() < 0.05:
            odd["doubted"] = (draw.randrange(50),)
        self.status = RankStatus(
            work=draw.random() < 0.6,
            tokens=sum(limits.tokens_of(one) for one in every),
            requests=len(every),
            blocks=max(0, BLOCKS - sum(limits.blocks_of(one) for one in every)),
            seats=max(0, SEATS - len(every)),
            slots=max(0, SLOTS - sum(n for n, _ in peers.values())),
            peers=tuple(
                (rank, max(0, limits.peer_transfers - n), max(0, limits.peer_blocks - blocks))
                for rank, (n, blocks) in sorted(peers.items())
            ),
            turn=self.turn,
            **odd,
        )


def _input(draw: random.Random, at: int, open_: list[int], kind: Kind, ranks: int) -> GroupInput:
    admitted, readmitted = [], set()
    for more in range(draw.choice([0, 1, 2, 12, 50] if draw.random() < 0.2 else [0, 1, 3])):
        sender = draw.randrange(3) if kind is Kind.GENERATION else None
        wanted = draw.randrange(ranks) if draw.random() < 0.2 else None
        prompt = draw.randint(1, 180)
        admitted.append(spec(100 * at + more, prompt=prompt, wanted=wanted, from_rank=sender))
    if open_ and draw.random() < 0.1:
        again = draw.choice(open_)
        admitted.append(msgspec.structs.replace(spec(again, prompt=20), attempt=at))
        readmitted.add(again)
    cancelled = {*readmitted, *draw.sample(open_, min(len(open_), draw.randint(0, 1)))}
    return GroupInput(tuple(admitted), tuple(sorted(cancelled)), frozenset(readmitted))


def _history(seed: int) -> int:
    """Rounds of a group whose ranks come, end requests, say odd things, and fail; returns how many
    requests got a rank."""
    draw = random.Random(seed)
    kind, route = draw.choice([*Kind]), draw.choice(POLICY)
    count = draw.choice([1, 2, 5, 9, 33])
    limits = GroupLimits(
        kind, count, 10, BLOCKS, 30, MOST, 3, late=draw.random() < 0.9, route=route, most_passed=3
    )
    living = {rank: Rank(RankStatus(), {}) for rank in range(count)}
    busy = draw.uniform(0.05, 0.9)
    said: GroupStatuses | None = None
    mine = pure = FIRST_PLAN
    bound = 0
    for at in range(1, 60):
        for rank in living.values():
            ended = [key for key, (_, until) in rank.held.items() if until <= at]
            for key in ended:
                del rank.held[key]
            if ended or rank.turn == at - 1 or draw.random() < busy / 4:
                rank.say(limits, mine.waiting, draw)
        if len(living) > 1 and draw.random() < 0.02:
            del living[draw.choice([*living])]
            gone = frozenset(range(count)) - living.keys()
            limits, said = replace(limits, gone=gone), None
        if draw.random() < 0.02:
            said = None  # another leads from now on
        statuses = [rank.status for rank in living.values()]
        open_ = [one.request_id for one in mine.waiting]
        told = _input(draw, at, open_, kind, count) if draw.random() < busy else None
        if said is None:
            said = GroupStatuses(limits, statuses)
        else:
            places = [at for at, (a, b) in enumerate(zip(statuses, said.statuses)) if a is not b]  # noqa: B905
            said.renew(statuses, [*places, *draw.sample(range(len(statuses)), 1)])
        assert said.statuses == statuses
        assert said.working == sum(one.work for one in statuses)
        before = mine
        # Of queues of their own: an older one is copied.
        pure = agree(limits, pure, told, statuses)
        mine = plan_by(limits, mine, told, said)
        assert mine == pure, seed
        assert (mine is before) is (agree(limits, before, told, statuses) is before)
        for index, specs in mine.assignments.items() if mine is not before else ():
            bound += len(specs)
            for one in specs:
                rank = living[index]
                rank.turn = at
                rank.held[one.request_id, one.attempt] = one, at + draw.randint(1, 12)
    return bound


@pytest.mark.parametrize("first", batches(0, 320))
def test_random_histories(first: int) -> None:
    bound = [_history(seed) for seed in batch(first)]
    assert sum(bound) > 20 * len(bound), "a history in which nothing happens shows nothing"


def test_what_was_not_renewed_is_found() -> None:
    """The detector: a status that nobody tells of gives another plan."""
    limits = GroupLimits(Kind.CONTEXT, 2, 10, BLOCKS, 30, MOST)
    said = GroupStatuses(limits, [RankStatus(), RankStatus()])
    now, told = [RankStatus(tokens=9), RankStatus()], GroupInput(admitted=(spec(1, prompt=10),))
    said.renew(now, [1])
    assert plan_by(limits, FIRST_PLAN, told, said).assignments.keys() == {0}
    said.renew(now, [0])
    assert plan_by(limits, FIRST_PLAN, told, said).assignments.keys() == {1}
    assert agree(limits, Plan(), told, now).assignments.keys() == {1}
