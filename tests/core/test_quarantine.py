"""The quarantine counts, knows its oldest entry and its peak, and when something moved."""

from __future__ import annotations

import pytest

from adpkv.core.ids import NEVER, RequestId, SessionId
from adpkv.core.session_book import Quarantine


def sid(number: int) -> SessionId:
    return (RequestId(number), 0)


def test_empty() -> None:
    empty = Quarantine()
    assert (len(empty), empty.peak, empty.oldest_ns(), empty.moved_ns) == (0, 0, NEVER, NEVER)


def test_the_oldest_is_the_first_that_is_still_here() -> None:
    quarantine = Quarantine()
    for number, now_ns in ((1, 10), (2, 20), (3, 30)):
        quarantine.add(sid(number), now_ns)
    assert quarantine.oldest_ns() == 10
    quarantine.end(sid(1), 40)
    assert quarantine.oldest_ns() == 20
    quarantine.end(sid(2), 50)
    assert quarantine.oldest_ns() == 30


def test_the_peak_stays() -> None:
    quarantine = Quarantine()
    for number in range(5):
        quarantine.add(sid(number), 0)
    for number in range(5):
        quarantine.end(sid(number), 1)
    quarantine.add(sid(9), 2)
    assert (len(quarantine), quarantine.peak) == (1, 5)


def test_coming_ending_and_a_peers_message_are_movements() -> None:
    quarantine = Quarantine()
    quarantine.add(sid(1), 10)
    assert quarantine.moved_ns == 10
    quarantine.move(sid(1), 15)
    assert quarantine.moved_ns == 15
    quarantine.move(sid(2), 20)
    assert quarantine.moved_ns == 15, "a message about somebody else"
    quarantine.end(sid(1), 30)
    assert quarantine.moved_ns == 30


def test_hearing_from_an_entry_does_not_make_it_younger() -> None:
    quarantine = Quarantine()
    quarantine.add(sid(1), 10)
    quarantine.move(sid(1), 99)
    assert quarantine.oldest_ns() == 10


def test_membership_knows_generations() -> None:
    quarantine = Quarantine()
    quarantine.add(sid(1), 0)
    assert sid(1) in quarantine
    assert (RequestId(1), 1) not in quarantine


def test_an_end_without_a_beginning_is_our_bug() -> None:
    with pytest.raises(KeyError):
        Quarantine().end(sid(1), 0)
