"""Requests and events as sequences and as data frames."""

from __future__ import annotations

import json
import sys

import pytest

import adpkv


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
