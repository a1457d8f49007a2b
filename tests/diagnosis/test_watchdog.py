"""A rank that stands in one meeting for too long is told, once; one that moves is not."""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter_ns

import pytest

from adpkv.diagnosis.board import Board, Standing
from adpkv.diagnosis.recorder import FlightRecorder
from adpkv.diagnosis.watchdog import Watchdog, judgement
from adpkv.diagnosis.witness import claim, is_asked
from adpkv.errors import DeadlockError, Place
from adpkv.executor.meetings import WORLD, Join
from tests.diagnosis.rings import host

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


SYNC = Join(0, "tp_allgather", "sync", 3, None, ())


def test_who_stands_too_long_is_told(both: Both) -> None:
    (writers, boards), heard = both, Heard()
    watchdog = Watchdog(boards[0], 50 * MS, heard)
    writers[0].enter(SYNC, 1, perf_counter_ns())
    writers[1].enter(Join(0, "poll", "at_least=1", 3, None, ()), 1, perf_counter_ns())
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
        writers[0].enter(Join(WORLD, "world_allgather", "leave", 0, None, ()), 1, 1)
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


def test_the_judgement_says_where_everybody_is() -> None:
    now_ns = 40_000 * MS
    own = Standing(5_000 * MS, 1, Place(4, "tp_allgather", "sync", 620))
    seen = [
        own,
        Standing(39_000 * MS, 1, Place(5, "poll", "at_least=1", 620)),
        Standing(0, 1, Place(6, "step", "forward", 619)),
        Standing(0, 0, Place(7, "", "", 0)),
    ]
    assert str(judgement(own, seen, now_ns)) == (
        "ranks have waited for 35.0 s in tp_allgather at sync, iteration 620,"
        " for one that does not come\n"
        "  rank 4 is in tp_allgather at sync, iteration 620, for 35.0 s\n"
        "  rank 5 is in poll at at_least=1, iteration 620, for 1.0 s\n"
        "  rank 6 is on its way, last seen in step at forward, iteration 619\n"
        "  rank 7 has not begun"
    )
