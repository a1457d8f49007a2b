"""What is kept of a group's statuses, and of the plans that were made of them, gives the plans that
are made of nothing but the statuses; and the coordinator is told the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from core_parts import spec

from adpkv.core.failure_memory import Trust
from adpkv.core.group_limits import GroupLimits
from adpkv.core.group_statuses import GroupStatuses
from adpkv.core.illness import Illness
from adpkv.core.ownership import Vote
from adpkv.core.plan import FIRST_PLAN, GroupInput, Plan, agree, plan_by
from adpkv.core.rank_failure import Attempt
from adpkv.core.rank_status import RankStatus
from adpkv.core.router import POLICIES, blind, routed_by
from adpkv.core.stop import StopReason
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting
from adpkv.executor import agreeing
from adpkv.executor.agreeing import Agreeing
from adpkv.executor.broadcast import sorted_messages
from adpkv.executor.messages import Admit, Cancel, LeaderMessage, Release, Shrink, Stop
from adpkv.executor.status_notices import StatusNotices
from tests.worlds.virtual.seeds import batch, batches

BLOCKS, SEATS, SLOTS, MOST = 24, 6, 4, 7
POLICY = [*POLICIES.values(), blind, routed_by(lambda one, loads, room: room.index(max(room)))]


@dataclass
class Rank:
    """What one rank has been given, and what it says of that."""

    status: RankStatus
    held: dict[Attempt, tuple[RequestSpec, int]]
    turn: int = 0

    def say(
        self, limits: GroupLimits, waiting: Waiting, draw: random.Random, *, leads: bool
    ) -> None:
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
        if draw.random() < 0.05:
            odd["illness"] = Illness(StopReason(4, "ill"), (draw.randrange(4),))
        if draw.random() < 0.03:
            odd["closing"] = StopReason(0, "asked to")
        if draw.random() < 0.002:
            odd["stop"] = StopReason(draw.choice([3, 4, 5]), draw.choice(["", "why"]))
        if leads and draw.random() < 0.1:
            attempts = [*((one.request_id, one.attempt) for one in waiting), *self.held]
            odd["expired"] = tuple(draw.sample(attempts, min(len(attempts), 1)))
        if draw.random() < 0.1:
            odd["owed"] = tuple(self.held)
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
            in_transfer=draw.choice([0, 0, 0, 1, 2]),
            drained=draw.random() < 0.8,
            overdue=draw.random() < 0.02,
            **odd,
        )


def _input(
    draw: random.Random, at: int, open_: list[int], kind: Kind, ranks: int
) -> tuple[LeaderMessage, ...]:
    found: list[LeaderMessage] = []
    if draw.random() < 0.02:
        found.append(Shrink((draw.randrange(3),), tuple((one, 0) for one in open_)))
    if open_ and draw.random() < 0.1:
        again = draw.choice(open_)
        spec_again = msgspec.structs.replace(spec(again, prompt=20), attempt=at)
        found += [Cancel(again), Admit(spec_again)]
    found += [Cancel(one) for one in draw.sample(open_, min(len(open_), draw.randint(0, 1)))]
    for more in range(draw.choice([0, 1, 2, 12, 50] if draw.random() < 0.2 else [0, 1, 3])):
        sender = draw.randrange(3) if kind is Kind.GENERATION else None
        wanted = draw.randrange(ranks) if draw.random() < 0.2 else None
        prompt = draw.randint(1, 180)
        found.append(Admit(spec(100 * at + more, prompt=prompt, wanted=wanted, from_rank=sender)))
    if draw.random() < 0.01:
        found.append(Stop(StopReason(draw.choice([0, 0, 4]), "all is answered")))
    if draw.random() < 0.003:
        found.append(Release())
    return tuple(found)


class Told:
    """A mailbox that keeps what the coordinator is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, to: int, message: Any) -> None:
        self.messages.append((to, message))


def _looked_at(limits: GroupLimits, statuses: Sequence[RankStatus]) -> GroupStatuses:
    """Statuses of which nothing is known, so that each is looked at."""
    said = GroupStatuses(limits, statuses)
    said.odd = len(statuses)
    return said


def _history(seed: int) -> tuple[int, int]:
    """Rounds of a group whose ranks come, end requests, say odd things, and fail; returns how many
    requests got a rank, and how often it was known that the plan is the one before."""
    draw = random.Random(seed)
    kind, route = draw.choice([*Kind]), draw.choice(POLICY)
    count = draw.choice([1, 2, 5, 9, 33])
    limits = GroupLimits(
        kind, count, 10, BLOCKS, 30, MOST, 3, late=draw.random() < 0.9, route=route, most_passed=3
    )
    living = {rank: Rank(RankStatus(), {}) for rank in range(count)}
    busy = draw.uniform(0.05, 0.9)
    one_rank: Any = SimpleNamespace(limits=limits, plan=FIRST_PLAN, leader=None)
    group = Agreeing(one_rank, cast(Any, None))
    pure = FIRST_PLAN
    heard, all_heard = Told(), Told()
    notices, all_notices = (StatusNotices(0, cast(Any, box)) for box in (heard, all_heard))
    bound = skipped = 0
    for at in range(1, 60):
        waiting = one_rank.plan.waiting
        for place, rank in enumerate(living.values()):
            ended = [key for key, (_, until) in rank.held.items() if until <= at]
            for key in ended:
                del rank.held[key]
            if ended or rank.turn == at - 1 or draw.random() < busy / 4:
                rank.say(limits, waiting, draw, leads=place == 0)
            elif draw.random() < busy / 4:
                rank.status = msgspec.structs.replace(rank.status)  # decoded anew
        if len(living) > 1 and draw.random() < 0.02:
            del living[draw.choice([*living])]
            gone = frozenset(range(count)) - living.keys()
            limits = one_rank.limits = replace(limits, gone=gone)
            group.forget()
        if draw.random() < 0.02:
            group.forget()  # another leads from now on
        statuses = [rank.status for rank in living.values()]
        open_ = [one.request_id for one in waiting]
        messages = _input(draw, at, open_, kind, count) if draw.random() < busy else ()
        told = sorted_messages(messages)
        if group.said is None:
            places: Iterable[int] = range(len(statuses))
        else:
            new = [at for at, (a, b) in enumerate(zip(statuses, group.statuses)) if a is not b]  # noqa: B905
            places = [*new, *draw.sample(range(len(statuses)), 1)]
        before, group.group_input, group._untold = one_rank.plan, messages, False
        mine = group.agree_again(statuses, places)
        assert group.said is not None
        assert group.statuses == statuses
        assert group.said.working == sum(one.work for one in statuses)
        # Of queues of their own: an older one is copied.
        pure = plan_by(limits, pure, told, _looked_at(limits, statuses))
        assert mine == pure, seed
        again = plan_by(limits, before, told, _looked_at(limits, statuses))
        assert (mine is before) is (again is before)
        if group._untold:
            notices.announce(group.said, shared=False)
        all_notices.announce(_looked_at(limits, statuses), shared=False)
        assert heard.messages == all_heard.messages, seed
        skipped += not group._untold
        group.agreed(mine)
        for index, specs in mine.assignments.items() if mine is not before else ():
            bound += len(specs)
            for one in specs:
                rank = living[index]
                rank.turn = at
                rank.held[one.request_id, one.attempt] = one, at + draw.randint(1, 12)
    return bound, skipped


def _histories(seeds: Iterable[int]) -> list[tuple[int, int]]:
    return [_history(seed) for seed in seeds]


@pytest.mark.parametrize("first", batches(0, 320))
def test_random_histories(first: int) -> None:
    found = _histories(batch(first))
    bound, skipped = map(sum, zip(*found, strict=True))
    assert bound > 10 * len(found), "a history in which nothing happens shows nothing"
    assert skipped > 3 * len(found), "nor one in which every plan is made"


class NothingOddDiffers(GroupStatuses):
    """What differs besides `work` goes unnoticed."""

    def renew(self, statuses: Sequence[RankStatus], places: Iterable[int]) -> None:
        differ = self.differ or any(a.work is not b.work for a, b in zip(statuses, self.statuses))  # noqa: B905
        super().renew(statuses, places)
        self.differ = differ


class AlwaysTheSame(GroupStatuses):
    """That a status is another goes unnoticed."""

    def renew(self, statuses: Sequence[RankStatus], places: Iterable[int]) -> None:
        same = self.same
        super().renew(statuses, places)
        self.same = same


def _is_odd(status: RankStatus) -> bool:
    """Blind for `stop`, `illness` and `closing`."""
    found = status.votes or status.cached or status.doubted
    return not (status.able and status.trust is Trust.FULL and not found)


@pytest.mark.parametrize("what", [NothingOddDiffers, AlwaysTheSame, _is_odd])
def test_what_goes_unnoticed_is_found(
    monkeypatch: pytest.MonkeyPatch, what: Callable[..., Any]
) -> None:
    """The detectors of the histories."""
    if isinstance(what, type):
        monkeypatch.setattr(agreeing, "GroupStatuses", what)
    else:
        monkeypatch.setattr(RankStatus, "is_odd", what)
    with pytest.raises(AssertionError):
        _histories(range(40))


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
