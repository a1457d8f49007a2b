"""Ratio and diagnosis of a figure, and how it is shown."""

from __future__ import annotations

import io
import json

import pytest

from adpkv.bench.figure import Target, figure
from adpkv.bench.table import as_json, number, show


def test_the_ratio_is_value_by_reference() -> None:
    assert figure("f", 3.0, "s", reference=2.0).ratio == 1.5


def test_without_a_reference_there_is_no_ratio() -> None:
    assert figure("f", 3.0, "s").ratio is None


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("value", "<=", 3.0), True),
        (Target("value", "<=", 2.9), False),
        (Target("value", ">=", 3.1), False),
        (Target("ratio", "<=", 1.5), True),
        (Target("ratio", ">=", 1.6), False),
        (None, None),
    ],
)
def test_a_target_bounds_the_value_or_the_ratio(target: Target | None, met: bool | None) -> None:
    assert figure("f", 3.0, "s", reference=2.0, target=target).met is met


def test_a_ratio_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert figure("f", 3.0, "s", target=Target("ratio", "<=", 1.0)).met is None


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (1234567.8, "1,234,568"), (812.4, "812"), (0.5012, "0.501")]
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_table_says_what_was_missed_and_what_was_left_out() -> None:
    found = [figure("slow thing", 9.0, "s", target=Target("value", "<=", 1.0), note="why it is so")]
    stream = io.StringIO()
    show(stream, found, {"transport": "there is no mpirun"})
    lines = stream.getvalue().splitlines()
    assert lines[1].split()[-4:] == ["value", "<=", "1", "NO"]
    assert lines[2].strip() == "why it is so"
    assert lines[-1] == "transport left out: there is no mpirun"


def test_json_has_every_field() -> None:
    said = json.loads(as_json([figure("f", 3.0, "µs", reference=2.0)], {}))
    assert said["figures"][0] == {
        "name": "f",
        "value": 3.0,
        "unit": "µs",
        "reference": 2.0,
        "reference_name": "",
        "ratio": 1.5,
        "target": "",
        "met": None,
        "note": "",
    }
    assert said["skipped"] == {}
