"""A rank that stands in one collective for too long is told, once; one that moves is not."""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter_ns

import pytest

from adpkv.diagnosis.collect import claim, is_asked
from adpkv.diagnosis.watchdog import StuckTimer, Watchdog, deadlock_error
from adpkv.errors import DeadlockError, Place
from adpkv.executor.collectives import WORLD, Collective
from adpkv.flight_recorder.board import Board, BoardEntry
from adpkv.flight_recorder.writer import FlightRecorder
from tests.flight_recorder.rings import host

MS = 1_000_000
BOUND_S = 30
"""For what takes a moment unless it never comes."""


class Heard:
    """What a watchdog says."""

    def __init__(self) -> None:
        self.said: list[DeadlockError] = []
        self.spoke = threading.Event()

    def __call__(self, error: DeadlockError) -> None:
        self.said.append(error)
        self.spoke.set()


Both = tuple[list[FlightRecorder], list[Board]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """The recorders of two ranks, and their boards."""
    return host(tmp_path, 0, 1)


SYNC = Collective(0, "tp_allgather", "sync", 3, None, ())


def test_who_stands_too_long_is_told(both: Both) -> None:
    (writers, boards), heard = both, Heard()
    watchdog = Watchdog(boards[0], 50 * MS, heard)
    writers[0].enter(SYNC, 1, perf_counter_ns())
    writers[1].enter(Collective(0, "poll", "at_least=1", 3, None, ()), 1, perf_counter_ns())
    watchdog.start()
    assert heard.spoke.wait(BOUND_S), "nobody spoke"
    watchdog.stop()
    (error,) = heard.said
    assert error.group == 0
    assert error.places == (Place(0, "tp_allgather", "sync", 3), Place(1, "poll", "at_least=1", 3))
    assert "rank 1 is in poll at at_least=1, iteration 3" in str(error)


def test_one_of_all_that_hang_speaks_for_all(tmp_path: Path) -> None:
    assert not is_asked(tmp_path)
    assert [claim(tmp_path) for _ in range(3)] == [True, False, False]
    assert is_asked(tmp_path)
    assert not claim(tmp_path / "gone")


def test_it_looks_for_questions_as_long_as_nobody_hangs(both: Both) -> None:
    asked = threading.Event()
    watchdog = Watchdog(both[1][0], 50 * MS, Heard(), asked.set)
    watchdog.start()
    assert asked.wait(BOUND_S), "it never looked"
    watchdog.stop()


@pytest.mark.parametrize("group", [0, WORLD])
def test_who_moves_or_waits_for_the_jobs_end_is_not(both: Both, group: int) -> None:
    """Looked at many times within the time in which another watchdog speaks."""
    (writers, boards), quiet, heard = both, Heard(), Heard()
    if group == WORLD:
        writers[0].enter(Collective(WORLD, "world_allgather", "leave", 0, None, ()), 1, 1)
    else:
        writers[0].enter(SYNC, 1, 1)
        writers[0].leave(2)
    writers[1].enter(SYNC, 1, perf_counter_ns())
    watchdogs = [Watchdog(boards[0], 20 * MS, quiet), Watchdog(boards[1], 400 * MS, heard)]
    for watchdog in watchdogs:
        watchdog.start()
    assert heard.spoke.wait(BOUND_S)
    for watchdog in watchdogs:
        watchdog.stop()
    assert quiet.said == []


def _entry(since_ns: int, group: int = 1) -> BoardEntry:
    return BoardEntry(since_ns, group, Place(0, "tp_allgather", "sync", 3))


def _stood_ms(*looks: tuple[int, BoardEntry]) -> list[int]:
    """What a patient one with turns of 20 ms, which began at 100 ms, says at each look."""
    legal_silence = StuckTimer(20 * MS, 100 * MS)
    return [legal_silence.stuck_ns(own, at_ms * MS) // MS for at_ms, own in looks]


def test_who_is_looked_at_all_the_time_has_stood_since_it_came() -> None:
    own = _entry(105 * MS)
    assert _stood_ms((110, own), (130, own), (145, own)) == [5, 25, 40]


def test_a_look_that_is_late_by_more_than_a_turn_was_missed() -> None:
    """The whole job was stopped: the watchdog too, and it cannot say that anybody was late."""
    own = _entry(105 * MS)
    assert _stood_ms((110, own), (5_110, own), (5_130, own)) == [5, 25, 45]
    assert _stood_ms((5_100, own), (5_110, own)) == [20, 30], "already before the first look"


def test_another_collective_is_another_wait() -> None:
    first, second = _entry(105 * MS), _entry(126 * MS)
    assert _stood_ms((110, first), (125, first), (130, second)) == [5, 20, 4]


def test_who_is_between_collectives_or_in_the_jobs_last_one_does_not_stand() -> None:
    assert _stood_ms((110, _entry(0)), (120, _entry(101 * MS, WORLD))) == [0, 0]


def test_a_rank_that_is_still_being_made_is_waited_for(both: Both, tmp_path: Path) -> None:
    """Looked at many times within the time in which those speak that do not see it, or have waited
    for it for long enough."""
    (writers, boards), quiet = both, Heard()
    alone, bounded = Heard(), Heard()
    writers[0].enter(SYNC, 1, perf_counter_ns())
    watchdogs = [
        Watchdog(boards[0], 20 * MS, quiet),
        Watchdog(Board.open(tmp_path, [0], 0), 400 * MS, alone),
        Watchdog(boards[0], 20 * MS, bounded, start_ns=400 * MS),
    ]
    for watchdog in watchdogs:
        watchdog.start()
    assert alone.spoke.wait(BOUND_S)
    assert bounded.spoke.wait(BOUND_S)
    assert quiet.said == []
    writers[1].enter(SYNC, 1, perf_counter_ns())
    assert quiet.spoke.wait(BOUND_S), "it waits for a rank that is there"
    for watchdog in watchdogs:
        watchdog.stop()


def test_the_judgement_says_where_everybody_is() -> None:
    now_ns = 40_000 * MS
    own = BoardEntry(5_000 * MS, 1, Place(4, "tp_allgather", "sync", 620))
    seen = [
        own,
        BoardEntry(39_000 * MS, 1, Place(5, "poll", "at_least=1", 620)),
        BoardEntry(0, 1, Place(6, "step", "forward", 619)),
        BoardEntry(0, 0, Place(7, "", "", 0)),
    ]
    assert str(deadlock_error(own, seen, now_ns)) == (
        "ranks have waited for 35.0 s in tp_allgather at sync, iteration 620,"
        " for one that does not come\n"
        "  rank 4 is in tp_allgather at sync, iteration 620, for 35.0 s\n"
        "  rank 5 is in poll at at_least=1, iteration 620, for 1.0 s\n"
        "  rank 6 is on its way, last seen in step at forward, iteration 619\n"
        "  rank 7 has not begun"
    )
