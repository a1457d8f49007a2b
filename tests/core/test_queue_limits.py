"""The limits of requests that wait: one each, from the earliest time that is known."""

from __future__ import annotations

from random import Random

from adpkv.core.ids import NEVER
from adpkv.core.queue_limits import QueueLimits

ONE, TWO, THREE = (1, 0), (2, 0), (3, 0)


def test_each_expires_once_its_time_has_come_until_it_is_over() -> None:
    limits = QueueLimits(100)
    assert (limits.next_ns(), limits.expired(10**9)) == (NEVER, ())
    limits.since(ONE, 30)
    limits.since(TWO, 10)
    assert (limits.next_ns(), limits.expired(109)) == (110, ())
    assert limits.expired(110) == (TWO,)
    assert (limits.next_ns(), limits.expired(130)) == (110, (TWO, ONE)), "said until it is heard"
    limits.over(TWO)
    assert (limits.next_ns(), limits.expired(130)) == (130, (ONE,))
    limits.over(ONE)
    limits.over(THREE)
    assert (limits.next_ns(), limits.expired(10**9)) == (NEVER, ())


def test_of_several_times_the_earliest_counts() -> None:
    limits = QueueLimits(100)
    for since_ns in (50, 20, 70):
        limits.since(ONE, since_ns)
    assert (limits.next_ns(), limits.expired(119)) == (120, ())
    assert limits.expired(120) == (ONE,)
    limits.since(ONE, 200)
    assert limits.expired(120) == (ONE,), "it is late already"


def test_an_answer_in_time_leaves_nothing() -> None:
    limits = QueueLimits(100)
    limits.since(ONE, 0)
    limits.since(TWO, 5)
    limits.over(ONE)
    assert (limits.next_ns(), limits.expired(104)) == (105, ())


def test_the_next_time_is_right_after_any_change() -> None:
    """It is remembered between two changes: compared with a new one after each of many."""
    dice = Random(7)
    limits, now_ns = QueueLimits(100), 0
    for _ in range(2_000):
        now_ns += dice.randrange(20)
        attempt = (dice.randrange(12), dice.randrange(2))
        what = dice.randrange(4)
        if what < 2:
            limits.since(attempt, now_ns - dice.randrange(90))
        elif what == 2:
            limits.over(attempt)
        else:
            limits.expired(now_ns)
        times = [*limits._late.values(), *limits._due.values()]
        first_late = next(iter(limits._late.values()), None)
        assert limits.next_ns() == (min(times, default=NEVER) if first_late is None else first_late)
