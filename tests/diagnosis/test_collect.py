"""The evidence that a host's files give: rings, and the slots of the collectives."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.config import parse
from adpkv.core.topology import Topology
from adpkv.diagnosis import collect
from adpkv.diagnosis.classify import Diagnosis, Kind, classify
from adpkv.diagnosis.collect import gather_evidence
from adpkv.errors import DeadlockError
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.reader import Ring
from tests.flight_recorder.rings import Slots, collective, recorder
from tests.scenarios.script import setting

OPS = [collective("tp_broadcast", "intake"), collective(), collective("tp_gather", "flush")]
GROUP = OPS[0].group


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "ANSWER_BOUND_S", 0.0)


def topology() -> Topology:
    """One rank, and a group of four behind it."""
    return parse(setting("made-up", 1, 4), "made-up").topology.build()


def came(folder: Path, rank: int, last: int) -> None:
    """A rank has come to so many collectives, and is in the last."""
    made = recorder(folder, rank, size=5)
    for sequence, op in enumerate(OPS[:last], 1):
        made.enter(op, sequence, 10 * sequence)
        if sequence < last:
            made.leave(10 * sequence + 5)


def diagnosed(folder: Path, here: range) -> Diagnosis:
    rings = [Ring.open(ring_path(folder, rank)) for rank in here]
    error = DeadlockError("it hangs", [], GROUP)
    return classify(gather_evidence(folder, rings, topology(), error, 1.0))


def test_ranks_of_another_host_are_missing_from_where_their_slots_end(tmp_path: Path) -> None:
    """Without slots nothing is known of them, so they would be missing from the very first
    collective that anybody remembers."""
    for rank in (1, 2):
        came(tmp_path, rank, 3)
    without = diagnosed(tmp_path, range(1, 3))
    assert without.split is not None
    assert (without.split.sequence, without.outliers) == (1, (3, 4))
    slots = Slots(tmp_path, GROUP, (1, 2, 3, 4), 2)
    for round_, op in enumerate(OPS[:2], 1):
        for member in range(4):
            slots.told(member, round_, op, round_)
    for member in (0, 1):
        slots.told(member, 3, OPS[2], 3)
    found = diagnosed(tmp_path, range(1, 3))
    assert found.split is not None
    assert (found.kind, found.split.sequence) == (Kind.MISSING_PARTICIPANT, 3)
    assert found.outliers == (3, 4)
    assert "do not answer, last seen in tp_allgather #2 at sync, iteration 7" in found.sentence


@pytest.mark.parametrize("told", [True, False])
def test_who_has_come_and_told_nobody_is_missing(tmp_path: Path, told: bool) -> None:
    """Its ring says that it is in the collective like everybody else."""
    slots = Slots(tmp_path, GROUP, (1, 2, 3, 4), 4)
    for rank in range(1, 5):
        came(tmp_path, rank, 2)
        slots.told(rank - 1, 1, OPS[0], 1)
        if told or rank != 3:
            slots.told(rank - 1, 2, OPS[1], 2)
    found = diagnosed(tmp_path, range(1, 5))
    if told:
        assert (found.kind, found.outliers) == (Kind.SYMMETRIC_WEDGE, ())
    else:
        assert (found.kind, found.outliers) == (Kind.MISSING_PARTICIPANT, (3,))


def test_what_a_rank_cannot_say_any_more_its_slot_does(tmp_path: Path) -> None:
    """The plan that it went by."""
    slots = Slots(tmp_path, GROUP, (1, 2, 3, 4), 4)
    for rank in range(1, 5):
        came(tmp_path, rank, 2)
        slots.told(rank - 1, 2, OPS[1], 2, 0xBAD if rank == 4 else 0x1)
    found = diagnosed(tmp_path, range(1, 5))
    assert (found.kind, found.outliers) == (Kind.ARGUMENT_MISMATCH, (4,))
    assert "the plan 00000bad" in found.sentence
