"""The columns say what a walk over the members' operations says."""

from __future__ import annotations

import random
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Step, Wait
from adpkv.worlds.virtual.offers import Offers
from adpkv.worlds.virtual.stretch import lines_of


def step(chance: random.Random) -> Step:
    return Step(
        0, "step", "forward", 1, None,
        base=chance.randrange(1, 50),
        slope=chance.choice((0, 3)),
        most=chance.randrange(1, 9),
        until_ns=chance.choice((NEVER, 100)),
        run=lambda: None,
        quiet_status=chance.choice((None, "quiet")),
        computes=chance.random() < 0.5,
        tokens=chance.randrange(3),
        waited=(7,) * chance.randrange(2),
    )  # fmt: skip


def test_columns_are_what_a_walk_over_the_members_finds() -> None:
    chance, offers = random.Random(5), Offers(6)
    at: list[Any] = [step(chance) for _ in range(6)]
    done = [0] * 6
    offers.renew(range(6), at)
    for _ in range(300):
        most = min(one.most - steps for one, steps in zip(at, done, strict=True))
        assert offers.most() == most
        assert [offers.steps(index) for index in range(6)] == done
        assert lines_of(offers.columns()) == [
            (one.base + steps * one.slope, one.slope) for one, steps in zip(at, done, strict=True)
        ]
        assert offers.tokens == sum(one.tokens for one in at)
        assert offers.computes() is any(one.computes for one in at)
        assert offers.until_ns == min(one.until_ns for one in at)
        made = chance.randrange(1, most + 1)
        offers.advance(made)
        done = [steps + made for steps in done]
        now_ns = chance.choice((99, 100))
        due = {
            index
            for index, one in enumerate(at)
            if one.quiet_status is None or one.until_ns <= now_ns or done[index] == one.most
        }
        assert offers.due(now_ns) == due
        there = sorted(due | {chance.randrange(6)})
        new = [step(chance) for _ in there]
        for index, operation in zip(there, new, strict=True):
            at[index], done[index] = operation, 0
        offers.renew(there, new)
        assert offers.waited() == tuple(wait for one in new for wait in one.waited)


def test_a_member_that_failed_is_in_no_column() -> None:
    chance, offers = random.Random(1), Offers(3)
    offers.renew(range(3), [step(chance) for _ in range(3)])
    until_ns = [at.until_ns for at in offers.current]
    offers.remove(1)
    assert offers.until_ns == min(until_ns[0], until_ns[2])
    assert offers.waited() == ()
    others = [step(chance) for _ in range(2)]
    offers.renew(range(2), others)
    assert lines_of(offers.columns()) == [(one.base, one.slope) for one in others]
    assert offers.tokens == sum(one.tokens for one in others)
    assert offers.due(0) == {i for i, one in enumerate(others) if one.quiet_status is None}


def test_the_group_waits_for_the_smallest_limit() -> None:
    offers = Offers(3)
    waits = [Wait(0, "wait", "wait", 1, None, limit_ns, NEVER) for limit_ns in (9, 4, 7)]
    offers.renew(range(3), waits)
    assert offers.limit_ns() == 4
    assert offers.restless == {0, 1, 2}
