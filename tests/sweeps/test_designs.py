"""Which points a design has."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from adpkv.config.axes import parse_axis
from adpkv.errors import UsageError
from adpkv.sweeps.designs import designed, grouped


def points(
    axes: dict[str, str], design: str = "grid", count: int | None = None, *zipped: list[str]
) -> list[dict[str, Any]]:
    parsed = [parse_axis(path, text) for path, text in axes.items()]
    return [dict(one) for one in designed(grouped(parsed, zipped), design, count, 7)]


def test_a_grid_has_every_combination_once_the_last_axis_first() -> None:
    assert points({"a": "1,2", "b": "x,y"}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_zipped_axes_are_one_dimension() -> None:
    found = points({"a": "1,2", "b": "{p: 1},{p: 2}", "c": "5,6"}, "grid", None, ["a", "b"])
    assert [(one["a"], one["b"]["p"], one["c"]) for one in found] == [
        (1, 1, 5),
        (1, 1, 6),
        (2, 2, 5),
        (2, 2, 6),
    ]


def test_more_points_leave_the_first_of_a_random_design_as_they_were() -> None:
    axes = {"a": "1s..20s", "b": "1,2,3"}
    few, many = points(axes, "random", 5), points(axes, "random", 50)
    assert many[:5] == few
    assert len(many) == 50
    assert {one["b"] for one in many} == {1, 2, 3}


def test_what_can_be_drawn_is_drawn_once() -> None:
    assert sorted(one["a"] for one in points({"a": "1,2,3"}, "random", 9)) == [1, 2, 3]


def test_a_latin_hypercube_covers_each_axis_evenly() -> None:
    found = points({"a": "0..9", "b": "1.0..2.0", "c": "x,y"}, "latin", 10)
    assert sorted(one["a"] for one in found) == list(range(10))
    assert Counter(int(10 * (one["b"] - 1)) for one in found) == dict.fromkeys(range(10), 1)
    assert Counter(one["c"] for one in found) == {"x": 5, "y": 5}
    assert [one["a"] for one in found] != sorted(one["a"] for one in found)
    assert points({"a": "0..9", "b": "1.0..2.0", "c": "x,y"}, "latin", 10) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (({"a": "1..5"},), "a: a grid needs steps"),
        (({"a": "1..5"}, "latin"), "a latin design needs to know how many points: --points"),
        (({"a": "1,2"}, "grid", 3), "the grid has 2 points, not 3"),
        (({"a": "1..5000+1", "b": "1..50+1"},), "the grid has 250,000 points; the most is 100,000"),
        (({"a": "1,2"}, "grid", None, ["a", "b"]), "zip: 'b' is no axis; those are a"),
        (({"a": "1", "b": "2"}, "grid", None, ["a", "b"], ["b", "a"]), "zip: 'b' is named twice"),
        (({"a": "1", "b": "2"}, "grid", None, ["a"]), "zip: 'a' goes with no other axis"),
        (
            ({"a": "1,2", "b": "1,2,3"}, "grid", None, ["a", "b"]),
            "zip: axes that go together need as many values each: a has 2, b has 3",
        ),
    ],
)
def test_what_is_no_design(given: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        points(*given)
    assert str(caught.value).startswith(said)
