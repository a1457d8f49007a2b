"""The dump that PyTorch's Flight Recorder analyzer reads; checked with the tool itself by hand."""

from __future__ import annotations

import pickle
from pathlib import Path

from adpkv.diagnosis.classify import Kind
from adpkv.diagnosis.pytorch_dump import VERSION, dumps, write_fr_trace
from tests.diagnosis.planted import PLANTED, stuck
from tests.diagnosis.test_render import report_of

ENTRY = {
    "record_id",
    "pg_id",
    "process_group",
    "collective_seq_id",
    "p2p_seq_id",
    "op_id",
    "profiling_name",
    "time_created_ns",
    "time_discovered_started_ns",
    "time_discovered_completed_ns",
    "input_sizes",
    "input_dtypes",
    "output_sizes",
    "output_dtypes",
    "state",
    "retired",
    "is_p2p",
    "timeout_ms",
    "frames",
}


def test_a_rank_s_collectives_end_with_the_one_it_is_in() -> None:
    found = dumps(report_of("01").evidence)
    assert set(found) == {0, 1, 2, 3, 4}
    odd, other = found[3]["entries"], found[1]["entries"]
    assert all(set(entry) == ENTRY for entry in odd)
    assert [entry["record_id"] for entry in odd] == list(range(len(odd)))
    assert odd[-1]["profiling_name"] == "nccl:gather"
    assert other[-1]["profiling_name"] == "nccl:all_gather"
    assert odd[-1]["collective_seq_id"] == other[-1]["collective_seq_id"] == 20
    assert {entry["state"] for entry in odd[:-1]} == {"completed"}
    assert odd[-1]["state"] == "started"
    assert odd[-1]["frames"][0] == {"name": "tp_gather", "filename": "respond", "line": "6"} or (
        "respond" in str(odd[-1]["frames"][0])
    )
    assert found[3]["version"] == VERSION
    assert found[3]["pg_config"]["1"]["ranks"] == "[1, 2, 3, 4]"


def test_all_members_begin_with_the_same_collective() -> None:
    found = dumps(report_of("05").evidence)
    starts = {found[rank]["entries"][0]["collective_seq_id"] for rank in (1, 2, 3, 4)}
    assert len(starts) == 1


def test_a_rank_that_is_in_none_has_only_completed_ones(tmp_path: Path) -> None:
    write_fr_trace(tmp_path / "fr_trace", stuck(PLANTED[Kind.MISSING_PARTICIPANT]()))
    dump = pickle.loads((tmp_path / "fr_trace" / "rank_1").read_bytes())
    assert [entry["state"] for entry in dump["entries"]] == ["completed"]
    assert dump["pg_status"]["0"]["last_completed_collective"] == 1
