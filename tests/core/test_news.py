"""News that lies unread: the bound exactly, each stretch once, and what is excused."""

from __future__ import annotations

import pytest

from adpkv.core.news import News

BOUND = 100


class Rig:
    """News of one rank, and what was reported of it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.about: list[tuple[int, ...]] = []
        self.news = News(BOUND, self.report)

    def report(self, what: str, waited_ns: int, requests: tuple[int, ...]) -> None:
        self.told.append((what, waited_ns))
        self.about.append(requests)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize(("waited_ns", "seen"), [(0, False), (BOUND, False), (BOUND + 1, True)])
def test_longer_than_the_bound_is_too_long(rig: Rig, waited_ns: int, seen: bool) -> None:
    rig.news.mail.came(7)
    rig.news.mail.taken(7 + waited_ns)
    assert rig.told == ([("mail", waited_ns)] if seen else [])


def test_the_first_unread_thing_counts(rig: Rig) -> None:
    for now_ns in (10, 50, 200):
        rig.news.ends.came(now_ns)
    rig.news.ends.taken(210)
    assert rig.told == [("the end of a transfer", 200)]


def test_whom_the_first_one_is_about_is_told(rig: Rig) -> None:
    rig.news.ends.came(0, 7)
    rig.news.ends.came(10, 8)
    rig.news.ends.taken(500)
    rig.news.mail.came(0)
    rig.news.mail.taken(500)
    assert rig.about == [(7,), ()]


def test_each_stretch_is_told_once(rig: Rig) -> None:
    for began_ns in (0, 1000):
        rig.news.mail.came(began_ns)
        rig.news.mail.taken(began_ns + 500)
        rig.news.mail.taken(began_ns + 900)
    assert rig.told == [("mail", 500), ("mail", 500)]


def test_what_was_never_taken_counts_up_to_the_end(rig: Rig) -> None:
    rig.news.mail.came(0)
    rig.news.ends.came(5)
    rig.news.close(1000)
    rig.news.close(2000)
    assert rig.told == [("mail", 1000), ("the end of a transfer", 995)]


def test_nothing_unread_is_nothing_to_tell(rig: Rig) -> None:
    rig.news.mail.taken(10**9)
    rig.news.close(10**9)
    assert rig.told == []


def test_what_a_fault_forces_is_excused_and_no_more(rig: Rig) -> None:
    rig.news.mail.came(10)
    rig.news.excuse(20, 500)
    rig.news.mail.taken(500 + BOUND)
    assert rig.told == []
    rig.news.mail.came(700)
    rig.news.mail.taken(900)
    assert rig.told == [("mail", 200)]
    assert rig.news.forced_ns == 480


def test_longer_than_was_excused_is_told(rig: Rig) -> None:
    rig.news.ends.came(10)
    rig.news.excuse(20, 500)
    rig.news.ends.taken(501 + BOUND)
    assert rig.told == [("the end of a transfer", BOUND + 1)]


def test_a_step_after_a_stop_is_excused_as_well(rig: Rig) -> None:
    """It came while a fault kept the rank from looking, and the rest of that iteration takes its
    time too: both are left out, not the longer of the two."""
    rig.news.mail.came(10)
    rig.news.excuse(0, 1000)
    rig.news.delay(1000, 500)
    rig.news.mail.taken(1500 + BOUND)
    assert rig.told == []
    rig.news.mail.came(2000)
    rig.news.excuse(2010, 2060)
    rig.news.delay(2060, 500)
    rig.news.mail.taken(2560 + BOUND + 1)
    assert rig.told == [("mail", BOUND + 1)]
