"""One axis of a sweep: lists, ranges and spans, exact and within their ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.config import load_data
from adpkv.config.axes import parse_axis
from adpkv.errors import ConfigError
from tests.config.config_minimal import minimal

VALUES = {
    "1s,5s,20s": ("1s", "5s", "20s"),
    "512..4096*2": (512, 1024, 2048, 4096),
    "10..45+10": (10, 20, 30, 40),
    "0.1..0.5+0.1": (0.1, 0.2, 0.3, 0.4, 0.5),
    "1s..10s+3s": ("1s", "4s", "7s", "10s"),
    "250ms..1s*2": ("250ms", "500ms", "1s"),
    "64MiB..1GiB*4": ("64MiB", "256MiB", "1GiB"),
    "1..4*1.5": (1, 2, 3),
    "4..8+2, 20": (4, 6, 8, 20),
    "{min: 1, max: 2}, {min: 2, max: 4}": ({"min": 1, "max": 2}, {"min": 2, "max": 4}),
    "../a.jsonl,../b.jsonl": ("../a.jsonl", "../b.jsonl"),
    "on, null, true": ("on", None, True),
}


@pytest.mark.parametrize("text", VALUES)
def test_what_a_text_stands_for(text: str) -> None:
    assert parse_axis("a.b", text).values == VALUES[text]
    assert parse_axis("a.b", list(VALUES[text])).values == VALUES[text]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "has no value"),
        ([], "has no value"),
        ("1, 2, 1", "has the value 1 twice"),
        ("5..1", "5..1: begins at or above its end"),
        ("1s..5", "1s..5: both ends must be numbers, durations (250ms), or sizes (64KiB)"),
        ("1..5*1", "1..5*1: never gets there: a factor above 1 and a beginning above 0 do"),
        ("0..5*2", "0..5*2: never gets there: a factor above 1 and a beginning above 0 do"),
        ("1..5+0", "1..5+0: never gets there: step upwards"),
        ("1s..5s+1", "1s..5s+1: the step must be a duration"),
        ("1..5, 7", "1..5: needs a step among other values: +1 or *2"),
        ("0..5 log", "0..5 log: a span by ratio begins above 0"),
        ("1..1000000+1", "has more than 10,000 values"),
        ("a: b: c", "the values are not YAML: while parsing"),
        ({"from": 1}, "must be a list of values, or a range such as 512..4096*2"),
    ],
)
def test_what_is_no_axis(given: object, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared
        parse_axis("a.b", given)
    assert str(caught.value).startswith(said)


@given(
    st.sampled_from(["1..9", "1.0..9", "1..9 log", "1.0..9 log"]), st.floats(0, 1, exclude_max=True)
)
def test_a_span_never_leaves_its_ends(text: str, share: float) -> None:
    value = parse_axis("a.b", text).at(share)
    assert isinstance(value, int if "1.0" not in text else float)
    assert 1 <= value <= 9  # type: ignore[operator]


def test_a_span_reaches_its_ends_evenly() -> None:
    whole = [parse_axis("a.b", "1..4").at(share / 8) for share in range(8)]
    assert whole == [1, 1, 2, 2, 3, 3, 4, 4]
    times = [parse_axis("a.b", "1ms..1s log").at(share / 3) for share in range(3)]
    assert times == ["1ms", "10ms", "100ms"]


def test_an_axis_in_a_file_is_checked_with_its_place() -> None:
    sweep: dict[str, Any] = {"vary": {"kv_cache.blocks": [], "workload.rate": "2..1"}, "seeds": 0}
    with pytest.raises(ConfigError) as caught:
        load_data(minimal(sweep=sweep), "file")
    assert [line.partition(" (")[0] for line in caught.value.problems] == [
        "sweep.vary.kv_cache.blocks: has no value",
        "sweep.vary.workload.rate: 2..1: begins at or above its end",
        "sweep.seeds: must be at least 1",
    ]
