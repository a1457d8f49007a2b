"""Events: lines as told, batches, violations, and the merge of many ranks' parts."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from adpkv.core.values import Violation
from adpkv.output import EventLog, RankRecorder, RunFolder, merge_parts
from adpkv.output.events import BATCH_EVENTS, MOST_VIOLATIONS
from adpkv.output.losses import Losses
from tests.compiled.in_c import ROOT, event_buffer_in_c


@pytest.fixture(params=["as it is", "over c"])
def events(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`adpkv.output.events`, and the same over `event_buffer.c`, as the compiled build has it."""
    if request.param == "as it is":
        return sys.modules[RankRecorder.__module__]
    monkeypatch.setitem(sys.modules, "adpkv.output.event_buffer", event_buffer_in_c())
    file = ROOT / "adpkv" / "output" / "events.py"
    spec = importlib.util.spec_from_file_location("events_over_c", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "events_over_c", module)
    spec.loader.exec_module(module)
    return module


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_one_line_with_its_detail_beside_the_fixed_keys(
    tmp_path: Path, events: Any
) -> None:
    log = events.EventLog(tmp_path / "e")
    log.write(5, 2, "advertised", 7, {"blocks": 3, "peer": 1})
    log.close()
    log.close()
    assert (tmp_path / "e").read_text() == (
        '{"at_ns":5,"rank":2,"kind":"advertised","request":7,"blocks":3,"peer":1}\n'
    )


def test_memory_is_bounded_by_a_batch(tmp_path: Path, events: Any) -> None:
    log = events.EventLog(tmp_path / "e")
    for n in range(BATCH_EVENTS + 1):
        log.write(n, 0, "tick", -1, {})
    assert len(_lines(tmp_path / "e")) == BATCH_EVENTS
    log.close()
    assert [line["at_ns"] for line in _lines(tmp_path / "e")] == list(range(BATCH_EVENTS + 1))


def test_a_detail_that_hides_a_fixed_key_is_our_bug(tmp_path: Path, events: Any) -> None:
    log = events.EventLog(tmp_path / "e")
    with pytest.raises(ValueError, match="event assigned: a detail hides a fixed key"):
        log.write(5, 2, "assigned", 7, {"rank": 3})


def test_a_recorder_stamps_rank_and_clock(tmp_path: Path, events: Any) -> None:
    log = events.EventLog(tmp_path / "e")
    recorder = events.RankRecorder(log, 4, lambda: 99)
    recorder.event("began", 1, bytes=10)
    recorder.violation(Violation("leak", 4, 98, "block 3", (7,)))
    log.close()
    assert _lines(tmp_path / "e") == [
        {"at_ns": 99, "rank": 4, "kind": "began", "request": 1, "bytes": 10},
        {
            "at_ns": 98,
            "rank": 4,
            "kind": "violation",
            "request": -1,
            "violation": "leak",
            "detail": "block 3",
            "requests": [7],
        },
    ]
    assert recorder.violations == (Violation("leak", 4, 98, "block 3", (7,)),)


def test_the_list_of_violations_is_bounded_and_counts_the_rest(events: Any) -> None:
    recorder = events.RankRecorder(events.NullEventLog(), 4, lambda: 0)
    for n in range(MOST_VIOLATIONS + 3):
        recorder.violation(Violation("leak", 4, n, ""))
    assert len(recorder.violations) == MOST_VIOLATIONS + 1
    assert recorder.violations[-1].detail == "3 more violations of this rank not listed"


def test_unwanted_events_still_keep_violations(events: Any) -> None:
    log = events.NullEventLog()
    recorder = events.RankRecorder(log, 0, lambda: 0)
    recorder.event("tick", -1)
    recorder.violation(Violation("leak", 0, 1, ""))
    log.close()
    assert len(recorder.violations) == 1


def test_parts_merge_by_time_then_rank_then_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    told = {
        -1: [(2, "admit")],
        0: [(1, "a"), (2, "b"), (2, "c")],
        10: [(2, "e"), (3, "g")],
        2: [(0, "z"), (2, "d")],
    }
    for rank, events in told.items():
        log = EventLog(folder.events_part(rank))
        for at_ns, kind in events:
            log.write(at_ns, rank, kind, -1, {})
        log.close()
    merge_parts(folder, Losses())
    kinds = [line["kind"] for line in _lines(folder.events)]
    assert kinds == ["z", "a", "admit", "b", "c", "d", "e", "g"]
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def test_a_line_that_its_writer_did_not_finish_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.events_part(0).write_text('{"at_ns":1,"rank":0,"kind":"a","request":-1}\n{"at_')
    merge_parts(folder, Losses())
    assert [line["kind"] for line in _lines(folder.events)] == ["a"]


def test_no_parts_make_an_empty_file(tmp_path: Path) -> None:
    merge_parts(RunFolder(tmp_path), Losses())
    assert (tmp_path / "events.jsonl").read_bytes() == b""
