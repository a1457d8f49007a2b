"""Every reason not to be ready fires by itself, names who it is about, and goes away again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from adpkv.core.health import HealthInputs, unhealthy_reasons
from adpkv.core.topology import Topology
from adpkv.diagnosis.readiness import (
    Finding,
    JobObservation,
    LastPulse,
    Reason,
    silences_ns,
    unalive,
    unready,
)
from adpkv.errors import Place
from adpkv.executor.collectives import WORLD
from adpkv.executor.messages import Pulse, UnhealthyRank
from adpkv.flight_recorder.board import BoardEntry

MS = 1_000_000
SECOND = 1_000 * MS
NOW = 100 * SECOND
TIMEOUT = 5 * SECOND
TOPOLOGY = Topology.of(context=(1, 2), generation=(1, 3))


def at(rank: int, since_ns: int, *, group: int | None = None, kind: str = "wait") -> BoardEntry:
    """A rank in the collectives of its instance."""
    own = TOPOLOGY.instance_of(rank).index if group is None else group
    return BoardEntry(since_ns, own, Place(rank, kind, "here", 7))


WELL = JobObservation(
    began_ns=0,
    now_ns=NOW,
    instances=TOPOLOGY.instances,
    last_pulses={i: LastPulse(NOW - SECOND, Pulse(iterations=6)) for i in (0, 1)},
    entries=[at(rank, NOW - MS) for rank in range(5)],
)


def seen(**changed: Any) -> JobObservation:
    return dataclasses.replace(WELL, **changed)


def whom(found: list[Finding]) -> list[tuple[str, str, int | None]]:
    return [(finding.reason, finding.instance, finding.rank) for finding in found]


def test_a_job_that_moves_is_ready() -> None:
    assert unready(WELL, TIMEOUT) == []


def test_who_was_never_heard_of_has_not_begun() -> None:
    found = unready(seen(last_pulses={0: WELL.last_pulses[0]}), TIMEOUT)
    assert whom(found) == [("not_begun", "generation-1", None)]


@pytest.mark.parametrize("over_ns", [0, 1])
def test_a_silent_instance_is_one_whose_loop_stands(over_ns: int) -> None:
    late = LastPulse(NOW - TIMEOUT - over_ns, Pulse(iterations=41))
    found = unready(seen(last_pulses={0: WELL.last_pulses[0], 1: late}), TIMEOUT)
    assert (
        found
        == [
            Finding("silent", "generation-1", None, "nothing heard for 5.0 s, last in iteration 41")
        ][:over_ns]
    )


def test_a_job_that_ends_says_why() -> None:
    (found,) = unready(seen(ending="asked to stop by a signal"), TIMEOUT)
    assert found == Finding("stopping", "", None, "asked to stop by a signal")


def test_ill_transceivers_are_told_rank_by_rank() -> None:
    unhealthy = (
        UnhealthyRank(2, ("no_progress",)),
        UnhealthyRank(4, ("stuck_in_quarantine", "quarantine_over_budget")),
    )
    last_pulses = {
        0: WELL.last_pulses[0],
        1: LastPulse(NOW, Pulse(unhealthy=unhealthy, iterations=9)),
    }
    found = unready(seen(last_pulses=last_pulses), TIMEOUT)
    assert whom(found) == [
        ("no_progress", "generation-1", 2),
        ("stuck_in_quarantine", "generation-1", 4),
        ("quarantine_over_budget", "generation-1", 4),
    ]
    assert found[0].detail == "its transceiver is unhealthy in iteration 9"


def test_the_reasons_of_transceivers_are_known() -> None:
    worst = HealthInputs(
        in_flight=9,
        moved_ns=0,
        quarantined=9,
        oldest_ns=0,
        quarantine_moved_ns=0,
        budget=1,
        deadline_ns=1,
    )
    assert len(unhealthy_reasons(NOW, worst)) == 3
    assert set(unhealthy_reasons(NOW, worst)) <= {str(reason) for reason in Reason}


def test_who_stands_and_who_is_not_there_are_told_apart() -> None:
    stuck = [at(2, NOW - 9 * SECOND, kind="tp_allgather"), at(3, 0), at(4, NOW - 9 * SECOND)]
    found = unready(seen(entries=[*WELL.entries[:2], *stuck]), TIMEOUT)
    assert whom(found) == [
        ("stands", "generation-1", 2),
        ("stands", "generation-1", 4),
        ("absent", "generation-1", 3),
    ]
    assert found[0].detail == "in tp_allgather at here, iteration 7 for 9.0 s"
    assert found[2].detail == "others wait; last seen in wait at here, iteration 7"


def test_a_rank_that_never_came_is_absent_too() -> None:
    nowhere = BoardEntry(0, 0, Place(3, "", "", 0))
    entries = [*WELL.entries[:2], at(2, NOW - 9 * SECOND), nowhere, at(4, NOW - 9 * SECOND)]
    found = unready(seen(entries=entries), TIMEOUT)
    assert found[-1] == Finding("absent", "generation-1", 3, "others wait; it has not begun")


def test_between_two_collectives_nobody_is_missed() -> None:
    assert unready(seen(entries=[at(rank, 0) for rank in range(5)]), TIMEOUT) == []


def test_waiting_for_the_others_at_the_very_end_is_no_stall() -> None:
    last = [at(rank, NOW - 60 * SECOND, group=WORLD) for rank in range(5)]
    assert unready(seen(entries=last), TIMEOUT) == []


def test_ranks_of_other_hosts_are_judged_by_their_leaders_message() -> None:
    here = [at(0, NOW - MS), at(1, NOW - MS)]
    assert unready(seen(entries=here), TIMEOUT) == []
    last_pulses = {0: WELL.last_pulses[0], 1: LastPulse(NOW - 9 * SECOND, Pulse())}
    found = unready(seen(entries=here, last_pulses=last_pulses), TIMEOUT)
    assert whom(found) == [("silent", "generation-1", None)]


# -- alive -------------------------------------------------------------------------------------

HANG = 30 * SECOND


def test_a_loop_that_turns_is_alive_whatever_the_others_do() -> None:
    last_pulses = {0: WELL.last_pulses[0], 1: LastPulse(0, Pulse())}
    assert unalive(seen(last_pulses=last_pulses, ending="stopping"), HANG) == []


def test_a_loop_that_does_not_turn_has_failed() -> None:
    last_pulses = {0: LastPulse(NOW - HANG - 1, Pulse(iterations=3)), 1: WELL.last_pulses[1]}
    (found,) = unalive(seen(last_pulses=last_pulses), HANG)
    assert found == Finding(
        "silent", "context-0", 0, "nothing heard for 30.0 s, last in iteration 3"
    )
    assert unalive(seen(last_pulses=last_pulses, over=True), HANG) == [], (
        "it has ended as it should"
    )


def test_a_loop_that_never_begins_has_failed_in_the_end() -> None:
    assert unalive(seen(last_pulses={}, began_ns=NOW - HANG), HANG) == []
    (found,) = unalive(seen(last_pulses={}, began_ns=NOW - HANG - 1), HANG)
    assert found == Finding("not_begun", "context-0", 0, "not begun for 30.0 s")


def test_silence_counts_from_the_last_message_or_the_beginning() -> None:
    told = seen(last_pulses={0: WELL.last_pulses[0]}, began_ns=NOW - 7 * SECOND)
    assert silences_ns(told) == {0: SECOND, 1: 7 * SECOND}
