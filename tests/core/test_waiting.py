"""The queue of requests that nobody owns: a value, whatever its successors do."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st

import adpkv.core.waiting as waiting_module
from adpkv.core.group_limits import GroupLimits
from adpkv.core.plan import GroupInput, Plan, agree
from adpkv.core.rank_status import RankStatus
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import NOBODY_WAITS, Waiting


def ids(waiting: Iterable[RequestSpec]) -> list[int]:
    return [one.request_id for one in waiting]


def test_an_empty_queue_is_shared_by_all_and_kept_by_none() -> None:
    first, second = NOBODY_WAITS.with_new([spec(1)]), NOBODY_WAITS.with_new([spec(2)])
    assert (ids(first), ids(second), ids(NOBODY_WAITS)) == ([1], [2], [])
    assert first.without([*first.places()]) is NOBODY_WAITS
    assert not NOBODY_WAITS
    assert list(NOBODY_WAITS.lane((None, None))) == []


def test_nothing_new_is_the_same_queue() -> None:
    queue = Waiting([spec(1)])
    assert queue.with_new([]) is queue
    assert queue.without([]) is queue
    assert queue.current() is queue


def test_lanes_are_those_who_want_the_same() -> None:
    queue = Waiting([spec(1), spec(2, wanted=3), spec(3), spec(4, wanted=3), spec(5, from_rank=7)])
    free, third, fetched = (None, None), (3, None), (None, 7)
    assert set(queue.lanes()) == {free, third, fetched}
    assert [ids(queue[p] for p in queue.lane(lane)) for lane in (free, third, fetched, (9, 7))] == [
        [1, 3],
        [2, 4],
        [5],
        [],
    ]
    fewer = queue.without([*queue.lane(third)])
    assert set(fewer.lanes()) == {free, fetched}


def test_a_request_may_wait_in_two_of_its_lives() -> None:
    again = RequestSpec(1, 1, 10, 5)
    queue = Waiting([spec(1), spec(2), again])
    assert [queue[place] for place in queue.attempts(1)] == [spec(1), again]
    one = queue.without([*queue.attempts(1)][:1])
    assert [one[place] for place in one.attempts(1)] == [again]
    assert [*one.attempts(7)] == []


def test_an_older_queue_reads_what_it_held_and_is_copied_to_be_changed() -> None:
    """An iteration that a rank failure broke is made anew, from the plan before it."""
    old = Waiting([spec(1), spec(2), spec(3)])
    new = old.with_new([spec(4)]).without([1])
    assert (ids(old), ids(new)) == ([1, 2, 3], [1, 3, 4])
    with pytest.raises(AssertionError, match="older"):
        old.with_new([spec(5)])
    anew = old.current().with_new([spec(5)])
    assert (ids(anew), ids(old), ids(new)) == ([1, 2, 3, 5], [1, 2, 3], [1, 3, 4])
    assert new.current() is new, "the copy took nothing from it"


SPECS = st.builds(spec, st.integers(0, 5), wanted=st.one_of(st.none(), st.integers(0, 2)))
CHANGES = st.lists(
    st.one_of(st.lists(SPECS, max_size=60), st.sets(st.integers(0, 90), max_size=60)), max_size=12
)


@given(CHANGES)
def test_each_queue_of_a_row_equals_a_list(changes: list[list[RequestSpec] | set[int]]) -> None:
    """Newcomers, or who stands at these positions leaves; the log is made anew meanwhile."""
    row: list[tuple[Waiting, list[RequestSpec]]] = [(NOBODY_WAITS, [])]
    for change in changes:
        queue, model = row[-1]
        if isinstance(change, list):
            row.append((queue.with_new(change), [*model, *change]))
            continue
        places = [*queue.places()]
        left = [places[at] for at in change if at < len(places)]
        model = [one for at, one in enumerate(model) if at not in change]
        row.append((queue.without(left), model))
        row[-1][0].foremost(4)
    for queue, model in row:
        assert [*queue] == model
        free = [one for one in model if one.wanted is None]
        assert [[*queue.foremost(most)] for most in (4, 9)] == [free[:4], free[:9]]
        assert len(queue) == len(model)
        assert queue == Waiting(model)
        assert copy.deepcopy(queue) == queue
    queue, model = row[-1]
    for wish in (None, 0, 1, 2):
        lane = (wish, None)
        assert [queue[p] for p in queue.lane(lane)] == [one for one in model if one.wanted == wish]
    for request in range(6):
        assert [queue[p] for p in queue.attempts(request)] == [
            one for one in model if one.request_id == request
        ]
    assert queue != Waiting([*model, spec(9)])


def test_the_foremost_are_passed_on_while_they_are_the_same() -> None:
    queue = Waiting([spec(1), spec(2, wanted=0), spec(3), spec(4)])
    first = queue.foremost(2)
    longer = queue.with_new([spec(5)])
    shorter = longer.without([1, 3])
    assert longer.foremost(2) is first
    assert shorter.foremost(2) is first
    assert ids(shorter.without([0]).foremost(2)) == [3, 5]


@pytest.mark.parametrize("wanted", [None, 0])
def test_a_long_queue_costs_a_plan_what_changes_and_not_what_waits(
    wanted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 requests at once took half a minute: each iteration looked at all that waited."""
    looks = 0

    class Counted(list[int]):
        def __getitem__(self, at: Any) -> Any:
            nonlocal looks
            looks += 1
            return super().__getitem__(at)

    waits = 500
    limits = GroupLimits(Kind.CONTEXT, 2, 16, 10, 100, most_requests=1)
    free, full = RankStatus(), RankStatus(tokens=1, requests=1)
    plan = Plan(waiting=Waiting(spec(i, wanted=wanted) for i in range(waits)))
    monkeypatch.setattr(waiting_module, "MOST_LEFT", waits)
    plan.waiting._log.left_with = Counted(plan.waiting._log.left_with)
    for i in range(waits):
        messages = GroupInput(cancelled=(waits - 1 - i // 2,)) if i % 2 else None
        plan = agree(limits, plan, messages, (full if i % 4 == 3 else free, full))
    assert not plan.waiting
    assert waits < looks < 8 * waits
