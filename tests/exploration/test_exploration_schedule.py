"""A world with a schedule: the same as one without where nothing is chosen, and what may differ."""

from __future__ import annotations

from collections import defaultdict

from adpkv.exploration.cases import Case
from adpkv.exploration.drawing import draw
from adpkv.exploration.schedules import Choices, Drawn, Priorities, Recording, Spread, Written
from adpkv.exploration.trial import attempt
from adpkv.worlds.virtual.event_queue import GROUP_WAKE, LINK, MESSAGES
from adpkv.worlds.virtual.schedule import Schedule, ScheduledQueue
from tests.exploration.policies import where

EVERYTHING = Spread(seed=3, order=16, haste=16, speed=16)


class Backwards:
    """All choices at their end."""

    def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
        return -owner - 100 * kind

    def haste(self, sender: int, to: int, number: int) -> int:
        return 16 if number % 2 else 0

    def speed(self, group: int, iteration: int) -> int:
        return 0


def cases(count: int) -> list[Case]:
    return [draw(where(), seed) for seed in range(count)]


def test_where_nothing_is_chosen_it_is_the_world_without_a_schedule() -> None:
    for case in cases(8):
        without = attempt(case.under(Choices()))
        chosen = attempt(case.under(Choices()), schedule=Written(Choices()))
        assert chosen.digest == without.digest


def test_a_schedule_makes_another_run_and_always_the_same() -> None:
    for case in cases(5):
        changed = case.under(EVERYTHING)
        first = attempt(changed)
        assert attempt(changed).events == first.events
        assert first.digest != attempt(case.under(Choices())).digest


def test_what_was_recorded_gives_the_same_run() -> None:
    schedules: list[Schedule] = [Drawn(EVERYTHING), Priorities(5, 3, 7, 200)]
    for case, schedule in zip(cases(2), schedules, strict=True):
        recording = Recording(schedule)
        first = attempt(case, schedule=recording)
        assert len(recording.choices) > 10
        assert attempt(case.under(recording.choices)).digest == first.digest


def test_one_choice_less_leaves_the_others() -> None:
    choices = Choices.of([("haste", (1, 2, 3), 4), ("speed", (0, 1), 2)])
    assert Choices.of(choices.flat()) == choices
    assert Written(choices).haste(1, 2, 3) == 4
    fewer = Choices.of(choices.flat()[1:])
    assert Written(fewer).haste(1, 2, 3) == 0
    assert Written(fewer).speed(0, 1) == 2


def test_simultaneous_events_change_places_but_not_those_of_a_link_with_others() -> None:
    done: list[str] = []
    queue = ScheduledQueue(Backwards())
    queue.add(5, MESSAGES, 1, 0, done.append, (7, "message of 1"))
    queue.add(5, MESSAGES, 2, 0, done.append, (7, "message of 2"))
    queue.add(5, GROUP_WAKE, 0, 1, done.append, "group")
    queue.add(5, LINK, 0, 1, done.append, "link")
    for _ in range(4):
        queue.run()
    assert [str(one) for one in done] == [
        "link",
        "group",
        str((7, "message of 2")),
        str((7, "message of 1")),
    ]


def test_messages_stay_in_order_between_two() -> None:
    queue = ScheduledQueue(Backwards())
    arrives = [queue.arrival_ns(1, 2, number, 1000) for number in range(6)]
    assert arrives == sorted(arrives)
    assert ScheduledQueue(Backwards()).arrival_ns(1, 2, 1, 1000) == 1  # early where it may be


def test_what_is_sent_on_one_link_stays_in_order_whatever_is_drawn() -> None:
    seen: dict[int, list[int]] = defaultdict(list)
    queue = ScheduledQueue(Drawn(EVERYTHING))
    for number in range(40):
        for owner in range(3):
            queue.add(9, LINK, owner, number, lambda what: seen[what[0]].append(what[1]),
                      (owner, number))  # fmt: skip
    while len(queue):
        queue.run()
    assert all(numbers == list(range(40)) for numbers in seen.values())
