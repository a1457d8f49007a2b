"""Records of a timeline: written as it goes, bounded, and read back however the writer ended."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.executor.collectives import Collective, Operation, Step
from adpkv.model.port import Batch
from adpkv.output.losses import Losses
from adpkv.timeline.format import HEADER_BYTES, OPEN
from adpkv.timeline.reader import Joined, RecordReader
from adpkv.timeline.recording import RankTimeline
from adpkv.timeline.writer import GROWTH_BYTES, RecordFile


class Nobody:
    """A recorder that keeps nothing."""

    def enter(self, op: Operation, sequence: int, now_ns: int) -> None:
        pass

    def leave(self, now_ns: int, nbytes: int = 0) -> None:
        pass

    def computed(self, now_ns: int) -> None:
        pass


def sync(iteration: int) -> Collective:
    return Collective(0, "tp_allgather", "sync", iteration, None, None)


def timeline(path: Path, limit: int = 1 << 24) -> tuple[RankTimeline, RecordFile, Losses]:
    losses = Losses()
    file = RecordFile(path, limit, losses)
    recorder = RankTimeline(file, 3, Nobody())
    recorder.start(100)
    return recorder, file, losses


def read(path: Path) -> list[Joined]:
    return [record for record in RecordReader(path) if isinstance(record, Joined)]


def test_a_collective_and_a_step_are_read_as_they_were(tmp_path: Path) -> None:
    recorder, file, _ = timeline(tmp_path / "a")
    recorder.enter(sync(7), 5, 1100)
    recorder.leave(1200)
    work = Batch(10, 55, 2, 300)
    recorder.enter(
        Step(0, "step", "forward", 7, None, 1, 0, 1, 0, lambda: None, work=work), 6, 1300
    )
    recorder.computed(1500)
    recorder.leave(1600)
    file.close()
    assert read(tmp_path / "a") == [
        Joined(0, 3, 5, 7, "tp_allgather", "sync", 0, 1000, 1000, 1100, (0, 0, 0, 0)),
        Joined(0, 3, 6, 7, "step", "forward", 0, 1200, 1400, 1500, (10, 55, 2, 300)),
    ]


def test_a_killed_writer_leaves_all_that_it_wrote_and_what_it_was_in(tmp_path: Path) -> None:
    """The file is as it is when the process is killed: not closed, zeros behind what is written."""
    recorder, _file, _ = timeline(tmp_path / "a")
    recorder.enter(sync(1), 1, 1000)
    recorder.leave(1100)
    recorder.enter(sync(2), 2, 1200)
    assert (tmp_path / "a").stat().st_size == GROWTH_BYTES
    assert [(one.iteration, one.end_ns) for one in read(tmp_path / "a")] == [(1, 1000), (2, OPEN)]


def test_half_a_record_at_the_end_is_left_out(tmp_path: Path) -> None:
    recorder, file, _ = timeline(tmp_path / "a")
    for number in range(3):
        recorder.enter(sync(number), number, 1000)
        recorder.leave(1100)
    file.close()
    whole = (tmp_path / "a").read_bytes()
    for cut in range(1, 40):
        (tmp_path / "a").write_bytes(whole[:-cut])
        assert [one.iteration for one in read(tmp_path / "a")] == [0, 1]


def test_a_file_is_bounded_and_counts_what_it_drops(tmp_path: Path) -> None:
    limit = HEADER_BYTES + 1000
    recorder, file, losses = timeline(tmp_path / "a", limit)
    for number in range(100):
        recorder.enter(sync(number), number, 1000)
        recorder.leave(1100)
    file.close()
    kept, dropped = read(tmp_path / "a"), RecordReader(tmp_path / "a").dropped
    assert (tmp_path / "a").stat().st_size <= limit
    assert [one.iteration for one in kept] == list(range(len(kept)))
    assert len(kept) > 5
    assert len(kept) + dropped == 100
    assert losses.told() == ()  # a limit that was asked for is no loss


def test_a_file_grows_over_its_first_pages(tmp_path: Path) -> None:
    recorder, file, _ = timeline(tmp_path / "a")
    recorder.enter(sync(0), 0, 1000)
    many = 20_000
    for number in range(1, many):
        recorder.enter(sync(number), number, 1000)
    recorder.leave(1234)
    file.close()
    found = read(tmp_path / "a")
    assert len(found) == many
    assert found[-1].end_ns == 1134
    assert (tmp_path / "a").stat().st_size > GROWTH_BYTES


def test_a_full_disk_is_noted_and_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    recorder, file, losses = timeline(tmp_path / "a")
    recorder.enter(sync(0), 0, 1000)
    recorder.leave(1100)
    file.close()
    assert losses.told() == ("a: No space left on device",)


@pytest.mark.parametrize("data", [b"ADPKVTML", b"x" * 100, b"ADPKVTML\x63" + bytes(100)])
def test_what_is_no_such_file_is_refused_with_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rank-0.records").write_bytes(data)
    with pytest.raises(UsageError, match=r"rank-0\.records"):
        RecordReader(tmp_path / "rank-0.records")


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "rank-0.records").touch()
    reader = RecordReader(tmp_path / "rank-0.records")
    assert reader.is_empty
    assert not reader.dropped
    assert list(reader) == []
