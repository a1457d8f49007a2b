"""A job at one moment: equal ranks folded, the odd ones first, on one screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest

from adpkv.errors import UsageError
from adpkv.executor.collectives import Pause, Step
from adpkv.flight_recorder.format import KIND_BITS, RECORD, RECORDS_AT, What
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.reader import Record
from adpkv.inspect.render import as_values, rank_spans, span_text, survey_lines
from adpkv.inspect.snapshot import Doing, RankObservation, Survey, folded, take_survey
from adpkv.inspect.stacks import stack_lines
from tests.flight_recorder.rings import Slots, collective, recorder

MS = 1_000_000
RANK_AT = 16
"""Behind magic, version and process id."""


def seen(
    rank: int,
    doing: Doing = Doing.COLLECTIVE,
    *,
    group: int = 0,
    process: str = "alive",
    place: tuple[str, str] = ("tp_allgather", "sync"),
    iteration: int = 620,
    since_ms: int = 31_000,
    records: tuple[Record, ...] = (),
) -> RankObservation:
    return RankObservation(
        rank, 100 + rank, 1, "here", process, doing, group, *place, iteration, 1841,
        since_ms * MS, 0, 0, records,
    )  # fmt: skip


def over(what: What, kind: str, site: str, took_us: int, **fields: int) -> Record:
    record = Record(1, what, 0, kind, site, 620, 1840, 0, 0, took_us * 1000, 0)
    return record._replace(**fields)


def survey(*ranks: RankObservation, size: int = 0, running: bool = True) -> Survey:
    return Survey(Path("x"), "large", size or len(ranks), running, 75_300 * MS, ranks)


def test_where_no_clock_has_begun_nothing_has_lasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While ranks are built. It had been the time since the machine was started."""
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    ring = recorder(tmp_path, 0, size=1)
    found = take_survey(tmp_path)
    assert (found.ranks[0].doing, found.ranks[0].since_ns) == (Doing.NOTHING, 0)
    ring.start(perf_counter_ns() - MS, 1)
    assert take_survey(tmp_path).ranks[0].since_ns >= MS


def test_the_screen() -> None:
    before = (
        over(What.EXPECT, "expect", "mpi", 12, sequence=17, group=3),
        over(What.POLL, "poll", "mpi", 0, sequence=2),
        over(What.COLLECTIVE, "tp_broadcast", "intake", 23),
    )
    odd = seen(2, Doing.ALONE, place=("poll", "at_least=1"), since_ms=31_250, records=before)
    lines = survey_lines(
        survey(
            seen(0, since_ms=30_000), seen(1), odd, seen(3),
            seen(4, Doing.COMPUTING, group=1, place=("step", "forward"), since_ms=3),
            seen(5, Doing.ON_ITS_WAY, group=1, place=("step", "forward"), process="stopped"),
            seen(6, Doing.NOTHING, group=2, place=("", ""), iteration=0),
            size=8,
        )
    )  # fmt: skip
    assert lines == [
        "large: 7 of 8 ranks, this host's, running for 75.3 s",
        "ranks   process  where                                iteration  number  for",
        "2       alive    alone in poll at at_least=1          620        #1841   31.2 s",
        "  rank 2 before: expect request 17 from rank 3 12 µs · poll found 2 · intake 23 µs",
        "4       alive    computing step at forward            620        #1841   3.0 ms",
        "5       stopped  on its way, last in step at forward  620        #1841   31.0 s",
        "0-1, 3  alive    in tp_allgather at sync              620        #1841   31.0 s",
        "6       alive    has not begun                        0          #1841   31.0 s",
    ]


def test_ranks_are_told_with_their_instances() -> None:
    names = ["context-0", "generation-1", "generation-2"]
    ranks = [replace(seen(rank, group=9), instance=name) for rank, name in enumerate(names)]
    assert "  context-0 and 2 more  " in survey_lines(survey(*ranks))[2]
    assert "  context-0, generation-1  " in survey_lines(survey(*ranks[:2]))[2]
    assert [one["instance"] for one in as_values(survey(*ranks))["ranks"]] == names


def test_a_thousand_ranks_fit_a_screen_the_odd_one_first() -> None:
    ranks = [seen(rank, iteration=rank if rank % 25 == 0 else 5) for rank in range(1024)]
    lines = survey_lines(survey(*ranks))
    assert len(lines) <= 25
    assert lines[2].startswith("0 ")
    assert lines[-1] == "and 1,006 ranks in 24 more places"


def test_a_whole_group_that_waits_is_no_outlier() -> None:
    ranks = [seen(0, group=0), *(seen(rank, group=1) for rank in (1, 2, 3))]
    odd = seen(4, Doing.ALONE, group=1)
    assert [[one.rank for one in found] for found in folded([*ranks, odd])] == [
        [4], [1, 2, 3], [0],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ranks", "text"),
    [
        ([3, 1, 2], "1-3"),
        ([0, 2], "0, 2"),
        (range(0, 40, 2), "0, 2, 4, 6, 8, 10 and 14 more"),
    ],
)
def test_rank_numbers_are_told_as_spans(ranks: list[int], text: str) -> None:
    assert rank_spans(ranks) == text


def test_spans_of_time_have_the_unit_that_suits() -> None:
    assert [span_text(ns) for ns in (0, 4_200, 3 * MS, 90_000 * MS)] == [
        "0 µs", "4 µs", "3.0 ms", "90.0 s",
    ]  # fmt: skip


def test_rings_are_looked_at_as_they_are(tmp_path: Path) -> None:
    now_ns = perf_counter_ns()
    writers = [recorder(tmp_path, rank, size=4) for rank in range(4)]
    writers[0].enter(collective(), 5, now_ns)
    writers[1].enter(collective(), 5, now_ns)
    writers[1].leave(now_ns)
    writers[2].enter(Step(1, "step", "forward", 8, None, 0, 0, 1, 0, lambda: None), 6, now_ns)
    writers[3].enter(Pause(1, "poll", "alone", 8, None, 0, lambda: False), 6, now_ns)
    found = take_survey(tmp_path)
    assert [one.doing for one in found.ranks] == [
        Doing.COLLECTIVE, Doing.ON_ITS_WAY, Doing.COMPUTING, Doing.ALONE,
    ]  # fmt: skip
    # Another host's processes: whatever has their ids here is something else.
    assert {one.process for one in found.ranks} == {"gone"}
    assert not found.running
    values = as_values(found, {0: "File x"})
    assert values["ranks"][3]["doing"] == "alone in"
    assert [found["ranks"] for found in values["classes"]] == [[0], [1], [2], [3]]
    assert values["stacks"] == {"0": "File x"}


def test_a_foreign_file_among_the_rings_is_told(tmp_path: Path) -> None:
    ring_path(tmp_path, 0).write_text("mine")
    with pytest.raises(UsageError, match=r"rank-0.ring: not the ring"):
        take_survey(tmp_path)


def test_equal_stacks_are_told_once_the_rare_ones_first() -> None:
    stacks = {rank: f"Thread 0x{rank:016x}\n  File sync" for rank in range(4)}
    stacks[2] = "Thread 0x1\n  File poll"
    assert stack_lines(stacks) == [
        "", "rank 2:", "  Thread 0x1", "    File poll",
        "", "ranks 0-1, 3:", "  Thread 0x0000000000000000", "    File sync",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "byte", "why"),
    [
        (0, 0xFF, "not the ring of a flight recorder"),
        (8, 99, "a ring of version"),
        (None, b"", "not the ring of a flight recorder"),
        ("rank", 1, "the ring of another rank, 1"),
        ("rank", 200, "a ring of rank 200 of 2"),
        ("folder", 0, "Is a directory"),
    ],
)
def test_a_damaged_ring_is_named_and_the_others_are_told(
    tmp_path: Path, at: int | str | None, byte: Any, why: str
) -> None:
    for rank in range(2):
        recorder(tmp_path, rank).enter(collective(), 5, perf_counter_ns())
    path = ring_path(tmp_path, 0)
    data = bytearray(path.read_bytes())
    if at is None:
        data = bytearray(byte)
    elif at != "folder":
        data[RANK_AT if at == "rank" else int(at)] = byte
    path.unlink()
    path.mkdir() if at == "folder" else path.write_bytes(data)
    found = take_survey(tmp_path)
    assert [one.rank for one in found.ranks] == [1]
    (note,) = found.damage
    assert str(path) in note
    assert why in note
    assert survey_lines(found)[-1] == f"damaged, left out: {note}"
    assert as_values(found)["damage"] == [note]


def test_a_record_of_no_kind_is_not_whole(tmp_path: Path) -> None:
    writer = recorder(tmp_path)
    writer.enter(collective(), 5, 1)
    path = ring_path(tmp_path, 0)
    data = bytearray(path.read_bytes())
    values = list(RECORD.unpack_from(data, RECORDS_AT))
    values[7] |= 9 << KIND_BITS
    RECORD.pack_into(data, RECORDS_AT, *values)
    path.write_bytes(data)
    assert [one.doing for one in take_survey(tmp_path).ranks] == [Doing.NOTHING]


def test_what_ranks_have_told_their_group_is_read_beside_their_rings(tmp_path: Path) -> None:
    """One of two has come to a collective and told nobody; two on another host were heard of."""
    slots, ops = Slots(tmp_path, 1, (0, 1, 6, 7), 2), [collective(iteration=i) for i in (7, 8)]
    for rank in (0, 1):
        made = recorder(tmp_path, rank, size=8)
        for sequence, op in enumerate(ops, 1840):
            made.enter(op, sequence, sequence)
            if op is ops[0]:
                made.leave(sequence + 1)
    for member in range(4):
        slots.told(member, 5, ops[0], 1840, 0xABC)
    slots.told(0, 6, ops[1], 1841, 0xABC)
    found = take_survey(tmp_path)
    assert [one.untold for one in found.ranks] == [False, True]
    lines = survey_lines(found)
    assert any(
        line.startswith("1 ") and "in tp_allgather at sync, told nobody yet" in line
        for line in lines
    )
    assert (
        lines[-1]
        == "ranks 6-7 of other hosts: last told of tp_allgather at sync, iteration 7, #1840"
    )
    values = as_values(found)
    assert [one["slot"]["sequence"] for one in values["ranks"]] == [1841, 1840]
    assert [one["rank"] for one in values["elsewhere"]] == [6, 7]
    assert values["elsewhere"][0]["slot"]["plan"] == "00000abc"
