"""Faults that stand in a trace become entries of the experiment's `faults`, each with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from adpkv.config import Experiment, dump, load
from adpkv.errors import ConfigError, TraceError


def request(at: int, **more: Any) -> dict[str, Any]:
    return {"timestamp": at, "input_length": 64, "output_length": 2, "hash_ids": [at], **more}


def loaded(
    folder: Path, *lines: dict[str, Any], faults: object = (), **workload: Any
) -> Experiment:
    (folder / "t.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    data = {
        "name": "x",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "workload": {"kind": "trace", "path": "t.jsonl", **workload},
        "faults": list(faults),  # type: ignore[call-overload]
    }
    (folder / "x.yaml").write_text(yaml.safe_dump(data))
    return load(folder / "x.yaml")


STALL = {"kind": "stall", "duration": "2s"}


def test_they_come_after_the_experiments_own(tmp_path: Path) -> None:
    stop = {"kind": "sigstop", "ranks": [1], "duration": "5ms"}
    experiment = loaded(
        tmp_path,
        request(0),
        {"timestamp": 3000, "fault": stop},
        request(10, fault=STALL),
        faults=[{"kind": "stall", "requests": [0]}],
        speed=2.0,
    )
    own, at_an_instant, of_a_request = experiment.faults
    assert own.requests == (0,)
    assert (at_an_instant.kind, at_an_instant.after_ns) == ("sigstop", 1_500_000_000)
    assert (of_a_request.kind, of_a_request.requests) == ("stall", (1,))
    # What a run writes down has them, and does not take them again.
    (tmp_path / "config.yaml").write_text(dump(experiment))
    assert load(tmp_path / "config.yaml") == experiment


def test_they_can_be_left_out(tmp_path: Path) -> None:
    assert not loaded(tmp_path, request(0, fault=STALL), trace_faults=False).faults
    assert not loaded(tmp_path, request(0), request(1, fault=STALL), limit=1).faults


def test_a_wrong_one_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, request(0), request(1, fault={"kind": "stal", "ranks": [7]}))
    told = str(caught.value)
    assert f"{tmp_path}/t.jsonl:2:" in told
    assert "fault.kind: must be" in told or "fault.kind: is not known here" in told


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"fault": STALL}, r"t.jsonl:2:1: a fault in a line of its own needs a timestamp"),
        ({"timestamp": 1, "fault": {**STALL, "after": "1s"}}, r":2:\d+: after follows from"),
        (request(1, fault={**STALL, "requests": [3]}), r":2:\d+: requests follows from the line"),
        ({"timestamp": 1, "fault": 7}, r":2:\d+: Expected `object \| null`, got `int`"),
        (request(1, session="a", fault=STALL), r":2:\d+: which number this request gets depends"),
    ],
)
def test_a_fault_must_fit_its_line(tmp_path: Path, line: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        loaded(tmp_path, request(0), line)


def test_requests_have_their_numbers_where_sessions_are_as_recorded(tmp_path: Path) -> None:
    lines = (request(0), request(1, session="a", fault=STALL))
    (fault,) = loaded(tmp_path, *lines, sessions="recorded").faults
    assert fault.requests == (1,)
