"""The memory that ranks of a host share: where everything is in it, and who may open it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import slot_path
from adpkv.flight_recorder.slot_layout import (
    HEAD,
    HEAD_BYTES,
    HEAD_WORDS,
    LINE_BYTES,
    LONG_ROUND,
    ROUND,
    TAIL_BYTES,
    WINDOW_BYTES,
    WORD_BYTES,
    Layout,
    SlotPlace,
    paired,
)
from adpkv.flight_recorder.slot_reader import LastSlot, last_slots
from adpkv.worlds.mpi.exchange import segment
from adpkv.worlds.mpi.exchange.segment import Segment, obstacle
from tests.conftest import OVER_MPI

LAYOUT = Layout(group=-1, epoch=2, ranks=(3, 4, 5, 6, 8), here=(0, 2, 3))
TOKEN = b"t" * 16


def parts(layout: Layout) -> list[tuple[int, int]]:
    """All that is written: where it begins and ends."""
    words = [layout.broken, layout.across, *map(layout.line, range(len(layout.here)))]
    lines = [word * WORD_BYTES for word in words]
    told = [layout.told(place) for place in range(len(layout.here))]
    both = [(n, m) for n in (0, 1) for m in range(len(layout.ranks))]
    slots = [part(n, m) for part in (layout.head, layout.tail) for n, m in both]
    return [
        (0, len(layout.header(TOKEN))),
        *((line, line + LINE_BYTES) for line in lines),
        *((part.start, part.stop) for part in (*told, *slots)),
        *((layout.window(n), layout.window(n) + WINDOW_BYTES) for n in (0, 1)),
    ]


def test_nothing_overlaps_and_all_of_it_is_inside() -> None:
    found = parts(LAYOUT)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(found))
    assert found[-1][1] == LAYOUT.total_bytes


def test_a_round_has_the_set_and_the_window_of_its_parity() -> None:
    for at in (LAYOUT.heads, LAYOUT.window, lambda n: LAYOUT.tail(n, 4)):
        assert at(7) == at(9) != at(8) == at(10)
    assert LAYOUT.heads(6).stop - LAYOUT.heads(6).start == 5 * HEAD_BYTES


def test_a_head_is_one_cache_line_and_its_round_is_stored_last() -> None:
    """`struct` packs field by field: who reads the round reads all else as it was stored before."""
    assert HEAD_BYTES == 64
    assert {LAYOUT.head(n, m).start % HEAD_BYTES for n in (0, 1) for m in range(5)} == {0}
    memory = bytearray(LAYOUT.total_bytes)
    HEAD.pack_into(memory, LAYOUT.head(3, 1).start, *range(1, 10), 1 << 40)
    assert memoryview(memory).cast("Q")[LAYOUT.round(3, 1)] == 1 << 40
    assert SlotPlace.read(memory[LAYOUT.heads(3)], 1) == SlotPlace(*range(3, 10))
    words = (paired(1, 2), paired(3, 4), 5, 6, paired(7, 8), 9, 1 << 40)
    assert HEAD_WORDS.pack(*words) == memory[LAYOUT.head(3, 1)]
    assert not any(memory[LAYOUT.round(3, 1) * WORD_BYTES + WORD_BYTES : LAYOUT.head(3, 1).stop])


def test_what_one_writes_the_other_reads(tmp_path: Path) -> None:
    path = slot_path(tmp_path, -1, 2, TOKEN)
    one, other = Segment.create(path, LAYOUT, TOKEN), Segment.open(path, LAYOUT, TOKEN)
    path.unlink()
    one.memory[LAYOUT.tail(3, 1)] = b"s" * TAIL_BYTES
    one.words[LAYOUT.line(2) + LONG_ROUND] = 1 << 40
    assert other.memory[LAYOUT.tail(3, 1)] == b"s" * TAIL_BYTES
    assert other.words[LAYOUT.line(2) + LONG_ROUND] == 1 << 40
    assert Layout.read(other.memory[:]) == LAYOUT, "the header stays what it was"


def test_what_is_something_else_has_no_layout(tmp_path: Path) -> None:
    header = LAYOUT.header(TOKEN)
    assert Layout.read(header) == LAYOUT
    newer = header[:8] + bytes([9]) + header[9:]
    for found in (b"", header[:-4], b"x" * 4096, newer, header[:-1] + b"\xff"):
        assert Layout.read(found) is None


def test_anyone_may_read_the_last_slots(tmp_path: Path) -> None:
    """Of members here as they have published them; of others as they came last; of none half."""
    made = Segment.create(slot_path(tmp_path, -1, 2, TOKEN), LAYOUT, TOKEN)
    older = Layout(-1, 1, (0, 1), (0, 1))
    before = Segment.create(slot_path(tmp_path, -1, 1, TOKEN), older, TOKEN)
    HEAD.pack_into(before.memory, older.head(9, 0).start, 1, 0, -1, 1, 90, 7, 1, 2, 3, 9)
    slot_path(tmp_path, 0, 0, TOKEN).write_bytes(b"of something else")
    assert last_slots(tmp_path) == []
    for round_, member in ((6, 0), (7, 0), (6, 1), (7, 1), (6, 2), (6, 4), (7, 4)):
        place = (-1, 2, 10 * round_, 7, 1, 2, 3)
        HEAD.pack_into(made.memory, LAYOUT.head(round_, member).start, 1, 0, *place, round_)
    # What member 2 writes for round 7 is not published.
    HEAD.pack_into(made.memory, LAYOUT.head(7, 2).start, 1, 0, -1, 2, 70, 7, 1, 2, 3, 0)
    made.words[LAYOUT.across + ROUND] = 6  # of round 7 not all have come
    last = SlotPlace(-1, 2, 60, 7, 1, 2, 3)
    assert last_slots(tmp_path) == [
        LastSlot(3, True, last._replace(sequence=70)),
        LastSlot(4, False, last),
        LastSlot(5, True, last),
        LastSlot(8, False, last),
    ]


def test_real_jobs_of_tests_can_be_made_to_use_mpi() -> None:
    """`--collectives mpi`: no process that a test starts can have shared memory then."""
    said = subprocess.run(
        [sys.executable, "-c", "from adpkv.worlds.mpi.exchange.segment import *; "
         "from pathlib import Path; print(obstacle(Path('/dev/shm/adpkv-0/job')))"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / OVER_MPI)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == "these tests run over MPI\n"


@pytest.mark.parametrize(
    ("layout", "token"),
    [
        (LAYOUT, b"u" * 16),
        (replace(LAYOUT, epoch=1), TOKEN),
        (replace(LAYOUT, group=0), TOKEN),
        (replace(LAYOUT, ranks=(3, 4, 5, 6, 8, 9)), TOKEN),
        (replace(LAYOUT, here=(0, 2)), TOKEN),
        (replace(LAYOUT, here=(0, 2, 4)), TOKEN),
    ],
)
def test_what_belongs_to_another_job_group_or_epoch_is_not_opened(
    tmp_path: Path, layout: Layout, token: bytes
) -> None:
    path = slot_path(tmp_path, -1, 2, TOKEN)
    Segment.create(path, layout, token)
    with pytest.raises(UsageError, match="not the shared memory of this group"):
        Segment.open(path, LAYOUT, TOKEN)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = slot_path(tmp_path, -1, 2, TOKEN)
    path.write_bytes(b"of a job that is gone")
    with pytest.raises(FileExistsError):
        Segment.create(path, LAYOUT, TOKEN)
    assert path.read_bytes() == b"of a job that is gone"


@contextmanager
def little_room() -> Iterator[None]:
    """No file of this process may grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_no_room_is_an_error_that_leaves_no_file(tmp_path: Path) -> None:
    with little_room(), pytest.raises(OSError, match="too large"):
        Segment.create(slot_path(tmp_path, -1, 2, TOKEN), LAYOUT, TOKEN)
    assert list(tmp_path.iterdir()) == []


def test_other_processors_and_places_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment.platform, "machine", lambda: "x86_64")
    assert obstacle(Path("/dev/shm/adpkv-0/job")) == ""
    assert "/tmp/adpkv-0/job is not in /dev/shm" in obstacle(Path("/tmp/adpkv-0/job"))
    monkeypatch.setattr(segment.platform, "machine", lambda: "aarch64")
    assert "aarch64 processor" in obstacle(Path("/dev/shm/adpkv-0/job"))
