"""Requests and events as sequences and as data frames."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import adpkv
from adpkv.core.session import State
from adpkv.output.story_words import KINDS


@pytest.fixture(scope="module")
def result() -> adpkv.Result:
    return adpkv.simulate("quickstart", set={"workload.requests": 20})


def test_they_are_sequences(result: adpkv.Result) -> None:
    requests, events = result.requests, result.events
    assert requests[-1] == list(requests)[-1]
    assert len(requests[5:]) == 15
    assert type(events[3:5]) is type(events)
    assert repr(requests) == "<20 requests>"
    assert [event.request for event in events.of(3)] == [3] * len(events.of(3))
    assert {event.kind for event in events.of_kind("arrived")} == {"arrived"}
    assert len(events.of_kind("arrived")) == 20
    assert requests != events


def test_a_kind_of_event_that_there_is_not_is_an_error(result: adpkv.Result) -> None:
    with pytest.raises(adpkv.UsageError, match=r"^'arived' is no kind .*: did you mean 'arrived'"):
        result.events.of_kind("routed", "arived")
    with pytest.raises(adpkv.UsageError, match="no kind of event: there are advertised, arrived,"):
        result.events.of_kind("zzz")
    assert len(result.events.of_kind("quarantined")) == 0  # one that this run did not need
    # What another version has written is found too.
    other = type(result.events)([(1, 0, "of_another_version", 3, {})])
    assert len(other.of_kind("of_another_version")) == 1


def test_the_kinds_of_events_are_those_that_the_code_writes() -> None:
    """In `recorder.event(KIND, ...)`, `note`, and whatever passes on a kind; and the states."""
    written = set(map(str, State)) - {State.WAITING}  # in it a session begins
    for path in (Path(adpkv.__file__).parent / "executor").glob("*.py"):
        text = path.read_text()
        written |= set(re.findall(r"recorder\.event\(\s*\"(\w+)\"", text))
        written |= set(re.findall(r"recorder\.note\(\w+, \"(\w+)\"", text))
        written |= set(re.findall(r"self\._tell\(\"(\w+)\"", text))
        for line in re.findall(r"kind = (\".*\" if .* else \".*\")", text):
            written |= set(re.findall(r"\"(\w+)\"", line))
    assert len(written) > 30
    assert written <= KINDS


def test_as_data_frames(result: adpkv.Result) -> None:
    pytest.importorskip("pandas")
    frame = result.requests.to_pandas()
    assert frame.shape[0] == 20
    spent = frame[[name for name in frame.columns if name in result.requests.COLUMNS]].sum(axis=1)
    assert (spent == frame["ended_ns"] - frame["arrival_ns"]).all()
    events = result.events.to_pandas()
    assert json.loads(events["detail"][1]) == result.events[1].detail


def test_as_arrow_tables(result: adpkv.Result) -> None:
    pytest.importorskip("pyarrow")
    table = result.requests.to_arrow()
    assert table.num_rows == 20
    assert table.column("request_id").to_pylist() == [one.request_id for one in result.requests]
    assert result.events.to_arrow().column("kind")[0].as_py() == "arrived"


@pytest.mark.parametrize(("name", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_what_is_not_installed_is_said(
    result: adpkv.Result, monkeypatch: pytest.MonkeyPatch, name: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(adpkv.MissingPieceError, match=f"pip install {name}"):
        getattr(result.requests, method)()
