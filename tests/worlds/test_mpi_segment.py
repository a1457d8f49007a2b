"""The memory that ranks of a host share: where everything is in it, and who may open it."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.worlds.mpi.exchange import segment
from adpkv.worlds.mpi.exchange.segment import (
    ACROSS,
    BROKEN,
    LINE_BYTES,
    SLOT_BYTES,
    WINDOW_BYTES,
    WORD_BYTES,
    Layout,
    Segment,
    obstacle,
    segment_path,
)

LAYOUT = Layout(group=-1, epoch=2, members=5, here=3)
TOKEN = b"t" * 16


def parts(layout: Layout) -> list[tuple[int, int]]:
    """All that is written: where it begins and ends."""
    words = [BROKEN, ACROSS, *map(layout.published, range(layout.here))]
    slots = [layout.slot(n, m) for n in (0, 1) for m in range(layout.members)]
    return [
        (0, segment.HEADER.size),
        *((word * WORD_BYTES, word * WORD_BYTES + LINE_BYTES) for word in words),
        *((slot.start, slot.stop) for slot in slots),
        *((layout.window(n), layout.window(n) + WINDOW_BYTES) for n in (0, 1)),
    ]


def test_nothing_overlaps_and_all_of_it_is_inside() -> None:
    found = parts(LAYOUT)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(found))
    assert found[-1][1] == LAYOUT.total_bytes


def test_a_round_has_the_set_and_the_window_of_its_parity() -> None:
    for at in (LAYOUT.set, LAYOUT.window, lambda n: LAYOUT.slot(n, 4)):
        assert at(7) == at(9) != at(8) == at(10)
    assert LAYOUT.set(6).stop - LAYOUT.set(6).start == 5 * SLOT_BYTES


def test_what_one_writes_the_other_reads(tmp_path: Path) -> None:
    path = segment_path(tmp_path, TOKEN)
    one, other = Segment.create(path, LAYOUT, TOKEN), Segment.open(path, LAYOUT, TOKEN)
    path.unlink()
    one.memory[LAYOUT.slot(3, 1)] = b"s" * SLOT_BYTES
    one.words[LAYOUT.published(2)] = 1 << 40
    assert other.memory[LAYOUT.slot(3, 1)] == b"s" * SLOT_BYTES
    assert other.words[LAYOUT.published(2)] == 1 << 40
    assert list(other.words[:BROKEN]) == list(one.words[:BROKEN]), "the header stays what it was"


@pytest.mark.parametrize(
    ("layout", "token"),
    [
        (LAYOUT, b"u" * 16),
        (Layout(-1, 1, 5, 3), TOKEN),
        (Layout(0, 2, 5, 3), TOKEN),
        (Layout(-1, 2, 6, 3), TOKEN),
        (Layout(-1, 2, 5, 2), TOKEN),
    ],
)
def test_what_belongs_to_another_job_group_or_epoch_is_not_opened(
    tmp_path: Path, layout: Layout, token: bytes
) -> None:
    path = segment_path(tmp_path, TOKEN)
    Segment.create(path, layout, token)
    with pytest.raises(UsageError, match="not the shared memory of this group"):
        Segment.open(path, LAYOUT, TOKEN)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = segment_path(tmp_path, TOKEN)
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
        Segment.create(segment_path(tmp_path, TOKEN), LAYOUT, TOKEN)
    assert list(tmp_path.iterdir()) == []


def test_other_processors_and_places_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment.platform, "machine", lambda: "x86_64")
    assert obstacle(Path("/dev/shm/adpkv-0/job")) == ""
    assert "/tmp/adpkv-0/job is not in /dev/shm" in obstacle(Path("/tmp/adpkv-0/job"))
    monkeypatch.setattr(segment.platform, "machine", lambda: "aarch64")
    assert "aarch64 processor" in obstacle(Path("/dev/shm/adpkv-0/job"))
