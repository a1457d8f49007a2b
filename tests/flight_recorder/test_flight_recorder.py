"""The ring of a flight recorder: what is written is read, and what is torn is not."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adpkv.core.ids import NEVER
from adpkv.errors import UsageError
from adpkv.executor.collectives import Pause, Step, Wait
from adpkv.flight_recorder.format import (
    MOST_NAMES,
    NAME_BYTES,
    RECORD_BYTES,
    RECORDS_AT,
    WORD_BYTES,
    What,
    file_bytes,
)
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.processes import start_ticks
from adpkv.flight_recorder.reader import Record, Ring
from tests.flight_recorder.rings import collective, recorder
from tests.flight_recorder.writer_process import SITES, STANDS_AT

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0


def step(iteration: int) -> Step:
    return Step(1, "step", "forward", iteration, None, 0, 0, 1, 0, lambda: None)


# -- what is written is read -------------------------------------------------------------------


def test_whose_it_is(tmp_path: Path) -> None:
    recorder(tmp_path, 5, size=9).start(123, 456)
    assert Ring.open(ring_path(tmp_path, 5)).owner == (
        os.getpid(), start_ticks(os.getpid()), 5, 9, "here", "made-up", 16, 123, 456,
    )  # fmt: skip


def test_a_collective_is_current_until_it_ends_and_a_record_then(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path), Ring.open(ring_path(tmp_path, 0))
    assert ring.snapshot() == (ring.owner, 0, 0, None, (), ())
    writer.enter(collective(), 41, 1000)
    current = Record(1, What.COLLECTIVE, 1, "tp_allgather", "sync", 7, 41, 1000, 1000, 0, 0)
    assert ring.current() == current
    assert ring.snapshot().records == ()
    writer.leave(1500, 96)
    over = current._replace(end_ns=1500, nbytes=96)
    assert ring.snapshot() == (
        ring.owner, 1, 0, over, (over,), ("tp_allgather", "sync"),
    )  # fmt: skip


def test_a_step_is_computed_until_it_is_said(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path), Ring.open(ring_path(tmp_path, 0))
    writer.enter(step(3), 1, 10)
    current = ring.current()
    assert current is not None
    assert (current.what, current.ready_ns) == (What.STEP, 0)
    writer.computed(17)
    assert ring.current() == current._replace(ready_ns=17)


@pytest.mark.parametrize(
    ("op", "what"),
    [
        (Wait(0, "wait", "wait", 1, None, 5, 5), What.WAIT),
        (Pause(0, "poll", "alone", 1, None, NEVER, lambda: False), What.PAUSE),
    ],
)
def test_waits_and_pauses_are_told_apart(tmp_path: Path, op: Wait | Pause, what: What) -> None:
    writer = recorder(tmp_path)
    writer.enter(op, 1, 10)
    current = Ring.open(ring_path(tmp_path, 0)).current()
    assert current is not None
    assert (current.what, current.kind, current.site) == (what, op.kind, op.site)


def test_posts_and_polls_are_records_and_empty_polls_a_count(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path), Ring.open(ring_path(tmp_path, 0))
    writer.enter(collective(iteration=6), 1, 10)
    writer.leave(11)
    writer.transferred(What.POST, "mpi", 4, 17, 1 << 20, 20, 25)
    writer.polled_nothing()
    writer.polled_nothing()
    writer.polled("mpi", 2, 99, 30, 30)
    snapshot = ring.snapshot()
    assert snapshot.records[1:] == (
        Record(2, What.POST, 4, "post", "mpi", 6, 17, 20, 20, 25, 1 << 20),
        Record(3, What.POLL, -1, "poll", "mpi", 6, 2, 30, 30, 30, 99),
    )
    assert (snapshot.written, snapshot.empty_polls) == (3, 2)


def test_what_is_noted_during_a_collective_comes_after_it(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path), Ring.open(ring_path(tmp_path, 0))
    writer.enter(collective(), 1, 10)
    writer.polled("mpi", 1, 5, 12, 12)
    assert [(r.number, r.what) for r in ring.snapshot().records] == [(2, What.POLL)]
    writer.leave(15)
    assert [(r.number, r.what) for r in ring.snapshot().records] == [
        (1, What.COLLECTIVE),
        (2, What.POLL),
    ]


@pytest.mark.parametrize("ended", [False, True])
def test_the_collective_that_came_last_stays_however_much_is_noted(
    tmp_path: Path, ended: bool
) -> None:
    writer, ring = recorder(tmp_path, records=16), Ring.open(ring_path(tmp_path, 0))
    writer.enter(collective(), 41, 10)
    for at in range(50):
        if at == 20 and ended:
            writer.leave(15, 96)
        writer.polled("mpi", at, 5, 12, 12)
        current, polls = ring.current(), ring.snapshot(16).records
        assert current is not None
        assert (current.sequence, current.begin_ns) == (41, 10)
        last = [poll.sequence for poll in polls if poll.what == What.POLL]
        assert last == list(range(at + 1))[-len(last) :]
        assert len(last) == min(15, at + 1)
    assert current.end_ns == (15 if ended else 0)


def test_the_newest_records_stay(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path, records=16), Ring.open(ring_path(tmp_path, 0))
    for i in range(1, 101):
        writer.enter(collective(iteration=i), i, i)
        writer.leave(i)
    assert [r.iteration for r in ring.snapshot(1000).records] == list(range(85, 101))
    assert [r.iteration for r in ring.snapshot(3).records] == [98, 99, 100]


def test_long_names_are_cut_and_leave_nothing_behind(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path), Ring.open(ring_path(tmp_path, 0))
    writer.enter(collective("k" * 100, "s"), 1, 1)
    current = ring.current()
    assert current is not None
    assert (current.kind, current.site) == ("k" * NAME_BYTES, "s")


def test_more_names_than_there_is_place_for_are_unknown(tmp_path: Path) -> None:
    writer, ring = recorder(tmp_path), Ring.open(ring_path(tmp_path, 0))
    for i in range(MOST_NAMES + 5):
        writer.enter(collective("kind", f"site-{i}"), 1, 1)
    current = ring.current()
    assert current is not None
    assert (current.kind, current.site) == ("kind", "?")
    writer.enter(collective("kind", "site-3"), 1, 1)
    assert ring.current() == current._replace(number=current.number + 1, site="site-3")


# -- other processes ---------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def start(records: int, how: str) -> subprocess.Popen[str]:
        argv = [
            sys.executable,
            "-m",
            "tests.flight_recorder.writer_process",
            str(tmp_path),
            str(records),
            how,
        ]
        job = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(job)
        return job

    yield start
    for job in started:
        job.kill()
        job.communicate()


def test_it_can_be_read_after_a_kill(tmp_path: Path, write) -> None:
    job = write(16, "stands")
    assert job.stdout.readline() == "ready\n"
    job.send_signal(signal.SIGKILL)
    job.wait(BOUND_S)
    snapshot = Ring.open(ring_path(tmp_path, 0)).snapshot(4)
    assert snapshot.owner.pid == job.pid
    assert snapshot.current is not None
    assert (snapshot.current.iteration, snapshot.current.end_ns) == (STANDS_AT, 0)
    assert [r.iteration for r in snapshot.records] == list(range(STANDS_AT - 4, STANDS_AT))


def sound(record: Record) -> bool:
    i = record.iteration
    return record == Record(
        record.number, What.COLLECTIVE, i % 100, "tp_gather", f"site-{i % SITES}", i, 3 * i, 11 * i,
        11 * i, record.end_ns, record.nbytes,
    ) and (record.end_ns, record.nbytes) in ((0, 0), (0, 7 * i), (13 * i, 7 * i))  # fmt: skip


def test_no_torn_record_is_taken_while_the_writer_turns(tmp_path: Path, write) -> None:
    write(64, "turns")
    until_s = time.monotonic() + BOUND_S
    while not ring_path(tmp_path, 0).exists() or _unwritten(tmp_path):
        assert time.monotonic() < until_s, "the writer did not begin"
        time.sleep(0.01)
    ring = Ring.open(ring_path(tmp_path, 0))
    read, wraps = 0, ring.snapshot().written + 100 * 64
    while read < 20_000 or ring.snapshot(1).written < wraps:
        assert time.monotonic() < until_s, f"{read} records read"
        snapshot = ring.snapshot(64)
        numbers = [record.number for record in snapshot.records]
        assert numbers == sorted(set(numbers))
        assert all(record.iteration == record.number for record in snapshot.records)
        assert all(sound(record) and record.end_ns for record in snapshot.records)
        assert snapshot.current is None or sound(snapshot.current)
        for _ in range(100):
            current = ring.current()
            assert current is None or sound(current)
        read += len(numbers)


def _unwritten(folder: Path) -> bool:
    try:
        return not Ring.open(ring_path(folder, 0)).snapshot().written
    except UsageError:
        return True  # in the making


# -- what is no ring, or not whole -------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ring with five records, the last collective of which is over."""
    writer = recorder(tmp_path)
    for i in range(1, 6):
        writer.enter(collective(iteration=i), i, i)
        writer.leave(i)
    return ring_path(tmp_path, 0)


def patch(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


@pytest.mark.parametrize("number", [0, 2 + 16], ids=["not stored yet", "another's"])
def test_a_torn_record_is_left_out(path: Path, number: int) -> None:
    at = RECORDS_AT + 3 * RECORD_BYTES - WORD_BYTES
    patch(path, at, number.to_bytes(WORD_BYTES, sys.byteorder))
    assert [r.iteration for r in Ring.open(path).snapshot().records] == [1, 2, 4, 5]


def test_a_current_record_that_a_kill_tore_is_none(path: Path) -> None:
    patch(path, RECORDS_AT + 4 * RECORD_BYTES, bytes(RECORD_BYTES))
    snapshot = Ring.open(path).snapshot()
    assert snapshot.current is None
    assert [r.iteration for r in snapshot.records] == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"not a ring", b"x" * 5000], ids=["empty", "text", "big"])
def test_another_file_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match="not the ring of a flight recorder"):
        Ring.open(tmp_path / "x")


def test_a_truncated_ring_says_what_is_missing(path: Path) -> None:
    os.truncate(path, file_bytes(16) - 1)
    with pytest.raises(UsageError, match=r"33,792 bytes, of which 33,791 are there"):
        Ring.open(path)


def test_another_version_is_refused(path: Path) -> None:
    patch(path, 8, struct.pack("@I", 99))
    with pytest.raises(UsageError, match="of version 99; this adpkv reads version 3"):
        Ring.open(path)


def test_no_room_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    """Not a SIGBUS in the middle of a run."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            recorder(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
