"""Input that lies unread: the bound exactly, each stretch once, and what is excused."""

from __future__ import annotations

import pytest

from adpkv.core.inbox_age import InboxAges

BOUND = 100


class Rig:
    """Input of one rank, and what was reported of it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.about: list[tuple[int, ...]] = []
        self.inbox_ages = InboxAges(BOUND, self.report)

    def report(self, what: str, waited_ns: int, requests: tuple[int, ...]) -> None:
        self.told.append((what, waited_ns))
        self.about.append(requests)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize(("waited_ns", "seen"), [(0, False), (BOUND, False), (BOUND + 1, True)])
def test_longer_than_the_bound_is_too_long(rig: Rig, waited_ns: int, seen: bool) -> None:
    rig.inbox_ages.messages.came(7)
    rig.inbox_ages.messages.taken(7 + waited_ns)
    assert rig.told == ([("messages", waited_ns)] if seen else [])


def test_the_first_unread_thing_counts(rig: Rig) -> None:
    for now_ns in (10, 50, 200):
        rig.inbox_ages.ends.came(now_ns)
    rig.inbox_ages.ends.taken(210)
    assert rig.told == [("the end of a transfer", 200)]


def test_whom_the_first_one_is_about_is_told(rig: Rig) -> None:
    rig.inbox_ages.ends.came(0, 7)
    rig.inbox_ages.ends.came(10, 8)
    rig.inbox_ages.ends.taken(500)
    rig.inbox_ages.messages.came(0)
    rig.inbox_ages.messages.taken(500)
    assert rig.about == [(7,), ()]


def test_each_stretch_is_told_once(rig: Rig) -> None:
    for began_ns in (0, 1000):
        rig.inbox_ages.messages.came(began_ns)
        rig.inbox_ages.messages.taken(began_ns + 500)
        rig.inbox_ages.messages.taken(began_ns + 900)
    assert rig.told == [("messages", 500), ("messages", 500)]


def test_what_was_never_taken_counts_up_to_the_end(rig: Rig) -> None:
    rig.inbox_ages.messages.came(0)
    rig.inbox_ages.ends.came(5)
    rig.inbox_ages.close(1000)
    rig.inbox_ages.close(2000)
    assert rig.told == [("messages", 1000), ("the end of a transfer", 995)]


def test_nothing_unread_is_nothing_to_tell(rig: Rig) -> None:
    rig.inbox_ages.messages.taken(10**9)
    rig.inbox_ages.close(10**9)
    assert rig.told == []


def test_what_a_fault_forces_is_excused_and_no_more(rig: Rig) -> None:
    rig.inbox_ages.messages.came(10)
    rig.inbox_ages.excuse(20, 500)
    rig.inbox_ages.messages.taken(500 + BOUND)
    assert rig.told == []
    rig.inbox_ages.messages.came(700)
    rig.inbox_ages.messages.taken(900)
    assert rig.told == [("messages", 200)]
    assert rig.inbox_ages.forced_ns == 480


def test_longer_than_was_excused_is_told(rig: Rig) -> None:
    rig.inbox_ages.ends.came(10)
    rig.inbox_ages.excuse(20, 500)
    rig.inbox_ages.ends.taken(501 + BOUND)
    assert rig.told == [("the end of a transfer", BOUND + 1)]


def test_a_step_after_a_stop_is_excused_as_well(rig: Rig) -> None:
    """It came while a fault kept the rank from looking, and the rest of that iteration takes its
    time too: both are left out, not the longer of the two."""
    rig.inbox_ages.messages.came(10)
    rig.inbox_ages.excuse(0, 1000)
    rig.inbox_ages.delay(1000, 500)
    rig.inbox_ages.messages.taken(1500 + BOUND)
    assert rig.told == []
    rig.inbox_ages.messages.came(2000)
    rig.inbox_ages.excuse(2010, 2060)
    rig.inbox_ages.delay(2060, 500)
    rig.inbox_ages.messages.taken(2560 + BOUND + 1)
    assert rig.told == [("messages", BOUND + 1)]
