"""A plan that is not made again would have been the same: what is skipped, skips nothing."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from executor_parts import rank_of, spec
from msgspec.structs import replace

import adpkv
from adpkv.core.failure_memory import Trust
from adpkv.core.group_limits import GroupLimits
from adpkv.core.illness import Illness
from adpkv.core.ownership import Vote
from adpkv.core.plan import FIRST_PLAN, Plan, agree
from adpkv.core.rank_status import RankStatus
from adpkv.core.stop import StopReason
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome
from adpkv.core.waiting import Waiting
from adpkv.executor import agreeing
from adpkv.executor.agreeing import Agreeing
from adpkv.executor.broadcast import sorted_messages
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.messages import Admit, Cancel, LeaderMessage, Release, Shrink, Stop
from tests.worlds.virtual.seeds import batch, batches

ROUNDS = 120
MUTANTS = {
    "what is odd never differs": (
        "elif (odd or was_odd) and status.differs(before):",
        "elif False:",
    ),
    "work never differs": (
        "self.working += 1 if status.work else -1\n                self.differ = True",
        "self.working += 1 if status.work else -1",
    ),
    "all are the same": ("if self.same and status != before:", "if False:"),
    "who stops, is ill or closes is not odd": (
        "status.is_odd()",
        '__import__("msgspec").structs.replace(status, stop=None, illness=None, closing=None)'
        ".is_odd()",
    ),
    "who is ill is not odd": (
        "status.is_odd()",
        '__import__("msgspec").structs.replace(status, illness=None).is_odd()',
    ),
}
"""What is read in `core.group_statuses`, and what is put in its place."""


def _says(draw: random.Random, before: RankStatus, waiting: Waiting, *, leads: bool) -> RankStatus:
    """What a rank says next: a few things are others than before, mostly what it has and has room
    for; what it said that is odd is over soon."""
    some: dict[str, Any] = {}
    for name, values in (
        ("work", (False, True)), ("tokens", range(40)), ("requests", range(3)),
        ("blocks", range(9)),
        ("seats", range(4)), ("slots", range(3)), ("turn", range(9)), ("in_transfer", (0, 0, 2)),
        ("quarantined", (0, 1)), ("running", range(3)), ("drained", (False, True)),
    ):  # fmt: skip
        if draw.random() < 0.15:
            some[name] = draw.choice(values)
    if draw.random() < 0.5:
        fresh = RankStatus()
        odd = (
            "able",
            "votes",
            "trust",
            "illness",
            "closing",
            "doubted",
            "cached",
            "expired",
            "owed",
        )
        some |= {name: getattr(fresh, name) for name in odd}
    every: dict[str, Any] = {
        "able": False,
        "votes": (Vote(draw.randrange(9), draw.choice([None, Outcome.FAILED])),),
        "trust": draw.choice([*Trust]),
        "illness": Illness(StopReason(70)),
        "closing": StopReason(143),
        "doubted": (draw.randrange(50),),
        "overdue": draw.random() < 0.1,
        "owed": ((draw.randrange(50), 0),),
    }
    if waiting:
        one = draw.choice([*waiting])
        every["cached"] = ((one.request_id, one.attempt, 2, draw.randint(0, 2)),)
    if leads:
        late = draw.choice([*waiting]).request_id if waiting else draw.randrange(50)
        every["expired"] = ((late, 0),)
    for name, value in every.items():
        if draw.random() < 0.04:
            some[name] = value
    if draw.random() < 0.002:
        some["stop"] = draw.choice([StopReason(75), StopReason(130, "asked to")])
    return replace(before, **some)


def _told(draw: random.Random, at: int, waiting: Waiting, ending: bool) -> list[LeaderMessage]:
    """What the leader has to pass on."""
    told: list[LeaderMessage] = []
    if draw.random() < 0.3:
        told += [
            Admit(replace(spec(100 * at + more, draw.randint(1, 30)), sender=None))
            for more in range(draw.randint(0, 3))
        ]
    if waiting and draw.random() < 0.1:
        again = draw.choice([*waiting])
        told.append(Cancel(again.request_id))
        if draw.random() < 0.5:
            told.append(Admit(replace(again, attempt=at)))
    if draw.random() < 0.01:
        told.append(Shrink((77,), ((100 * at, 0), (draw.randrange(50), 0))))
    if draw.random() < 0.01:
        told.append(Stop(StopReason(draw.choice([0, 0, 70]))))
    if ending and draw.random() < 0.2:
        told.append(Release())
    return told


def _history(seed: int, seen: Counter[str]) -> None:
    """Rounds of a group whose plans are made as its ranks make them, and of nothing but what its
    ranks say; counts what happened."""
    draw = random.Random(seed)
    kind = draw.choice([*Kind])
    count = draw.choice([1, 2, 5, 9])
    rank = rank_of(kind)
    rank.limits = limits = GroupLimits(
        kind, count, 4, 8, 8, 3, reuses=True, recomputes=True, most_passed=3
    )
    one = Agreeing(rank, lambda: CollectiveCounts(0, 0, 0))
    statuses = [RankStatus() for _ in range(count)]
    busy, moves = draw.choice([0.02, 0.3, 0.9]), draw.choice([0.02, 0.3, 0.9])
    pure: Plan = FIRST_PLAN
    announced: list[RankStatus] = []
    for at in range(1, ROUNDS):
        before = rank.plan
        new = [place for place in range(count) if draw.random() < moves]
        for place in new:
            statuses[place] = _says(draw, statuses[place], before.waiting, leads=not place)
        if draw.random() < 0.02:
            one.forget()
        told = _told(draw, at, before.waiting, before.ending) if draw.random() < busy else []
        one.group_input = tuple(told)
        group_input = sorted_messages(told)
        plan = one.agree_again(statuses, [*new, draw.randrange(count)])
        # Of queues of their own: an older one is copied.
        pure = agree(limits, pure, group_input, statuses)
        assert plan == pure, seed
        assert (plan is before) is (agree(limits, before, group_input, statuses) is before), seed
        if one._untold:
            one._untold, announced = False, [*statuses]
        else:
            seen["skipped"] += 1
            seen["skipped, with what is new"] += bool(new)
            assert not any(map(RankStatus.differs, statuses, announced)), "nobody tells of it"
        seen["bound"] += len(plan.assignments)
        seen["stopping"] += plan.stop is not None
        seen["of those that waited"] += bool(plan.assignments) and not told
        one.agreed(plan)
        if plan.leave:
            seen["left"] += 1
            break


def _histories(seeds: range) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        _history(seed, seen)
    return seen


@pytest.mark.parametrize("first", batches(0, 320))
def test_random_histories(first: int) -> None:
    seen = _histories(batch(first))
    assert seen["skipped"] > 100, "where nothing is skipped, nothing is shown"
    assert seen["skipped, with what is new"] > 20
    assert seen["bound"] > 100
    assert seen["of those that waited"] > 5
    assert seen["stopping"] > 20
    assert seen["left"]


@pytest.mark.parametrize("name", MUTANTS)
def test_what_would_skip_too_much_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detectors: each of these faults in what a group knows of its statuses is noticed."""
    source = (Path(adpkv.__file__).parent / "core" / "group_statuses.py").read_text()
    right, wrong = MUTANTS[name]
    assert right in source
    mutant = ModuleType("mutant")
    exec(compile(source.replace(right, wrong), "mutant", "exec"), mutant.__dict__)
    monkeypatch.setattr(agreeing, "GroupStatuses", mutant.GroupStatuses)
    with pytest.raises(AssertionError):
        _histories(range(20))
