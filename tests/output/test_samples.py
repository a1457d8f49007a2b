"""`ranks.jsonl`: written, joined from the parts of a real run, and read, damaged or not."""

from __future__ import annotations

from pathlib import Path

import adpkv
from adpkv.core.sample import RankSample
from adpkv.output import RunFolder
from adpkv.output.losses import Losses
from adpkv.output.samples import SampleLog, join_sample_parts, read_samples


def sample(rank: int, at_ns: int) -> RankSample:
    return RankSample(
        at_ns=at_ns, rank=rank, free=3, cached=1, active=0, in_transfer=0, quarantined=0,
        requests=0, running=0, transfers=0, doubtful=0, healthy=True, steps=2, step_ns=20,
        own_ns=10, tokens=5,
    )  # fmt: skip


def test_parts_become_one_file_without_the_line_that_a_kill_cut_off(tmp_path: Path) -> None:
    folder, losses = RunFolder(tmp_path), Losses()
    for rank in range(3):
        log = SampleLog(folder.samples_part(rank), losses)
        log.add(sample(rank, 1))
        log.add(sample(rank, 2))
        log.close()
    cut = folder.samples_part(1)
    cut.write_bytes(cut.read_bytes() + b'{"at_ns":3,"rank":1,"fr')
    join_sample_parts(folder, losses)
    assert [(one.rank, one.at_ns) for one in read_samples(folder)] == [
        (0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.jsonl"]
    assert losses.told() == ()


def test_parts_of_a_run_that_still_goes_on_are_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    log = SampleLog(folder.samples_part(2))
    log.add(sample(2, 1))
    log.flush()
    folder.samples_part(0).write_bytes(b"no line\n" + b"[" * 100_000 + b"\n")
    assert list(read_samples(folder)) == [sample(2, 1)]


def test_a_folder_gives_what_memory_had(tmp_path: Path) -> None:
    small = {"workload.requests": 10}
    written = adpkv.simulate("quickstart", set=small, out=tmp_path / "run")
    kept = adpkv.simulate("quickstart", set=small)
    assert len(kept.samples) > 8
    assert written.samples == kept.samples
    adpkv.simulate("quickstart", set=small, out=tmp_path / "run")  # the folder is a run's still
