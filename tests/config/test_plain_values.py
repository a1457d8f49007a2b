"""Values as programs have them: of NumPy, ranges, paths."""

from __future__ import annotations

import json
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adpkv
from adpkv.config.plain import plain

SMALL = {"workload.requests": 2}


class Word(str, Enum):  # noqa: UP042  as programs have it that are older than StrEnum
    RATE = "workload.rate"


class Number(IntEnum):
    FOUR = 4


class Own(int):
    """A program's own."""


class Index:
    def __index__(self) -> int:
        return (1 << 60) + 1

    def __float__(self) -> float:
        return float(1 << 60)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (np.int64(4), 4),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("3s"), "3s"),
        (np.linspace(10, 20, 3), [10.0, 15.0, 20.0]),
        ((np.uint8(1), range(2)), [1, [0, 1]]),
        ({np.str_("a"): {"b": (1, None)}}, {"a": {"b": [1, None]}}),
        (Path("trace.jsonl"), "trace.jsonl"),
        (Decimal("2.5"), 2.5),
        (Decimal(4), 4),
        (Decimal((1 << 60) + 1), (1 << 60) + 1),
        (Fraction(8, 2), 4),
        (Fraction(1, 2), 0.5),
        (Word.RATE, "workload.rate"),
        (Number.FOUR, 4),
        (Own((1 << 60) + 1), (1 << 60) + 1),
        (Index(), (1 << 60) + 1),
        ({Word.RATE: [Number.FOUR]}, {"workload.rate": [4]}),
    ],
)
def test_each_is_what_a_file_says(given: Any, meant: Any) -> None:
    found = plain(given)
    assert found == meant
    assert json.dumps(found) == json.dumps(meant)
    assert type(found) is type(meant)
    assert json.loads(json.dumps(found)) == meant


def test_what_a_file_has_no_word_for_is_refused_by_its_key() -> None:
    with pytest.raises(adpkv.ConfigError, match=r"workload\.rate: must be a number \(found \{"):
        adpkv.load("quickstart", set={"workload.rate": {1, 2}})
    with pytest.raises(adpkv.ConfigError, match="transfer_timeout: must be a duration"):
        adpkv.load("quickstart", set={"transceiver.transfer_timeout": object()})


@pytest.mark.parametrize("number", [Decimal("1e999999999"), Decimal("nan"), Decimal("sNaN")])
def test_a_number_beyond_all_measure_is_refused(number: Decimal) -> None:
    with pytest.raises(adpkv.ConfigError, match=r"workload\.rate: must be"):
        adpkv.load("quickstart", set={"workload.rate": number})


def test_what_holds_itself_is_refused() -> None:
    around: list[Any] = []
    around += [around, around]
    with pytest.raises(adpkv.UsageError, match="holds itself"):
        adpkv.load("quickstart", set={"workload.rate": around})
    named: dict[str, Any] = {}
    named["workload"] = named
    with pytest.raises(adpkv.UsageError, match="holds itself"):
        adpkv.load(named)


def test_a_path_that_is_no_text_is_a_problem_of_the_experiment() -> None:
    with pytest.raises(adpkv.ConfigError):
        adpkv.load("quickstart", set={("workload", "rate"): 3})  # type: ignore[dict-item]
    made = adpkv.load("quickstart", set={Word.RATE: 3})
    assert made.workload.rate == 3


def test_they_are_written_and_read_again(tmp_path: Path) -> None:
    rate, requests = np.float64(40), np.int64(2)
    given = {"workload.rate": rate, "workload.requests": requests, "seed": np.uint32(3)}
    made = adpkv.simulate("quickstart", set=given, out=tmp_path / "run")
    again = adpkv.load(tmp_path / "run" / "config.yaml")
    assert (again.seed, again.workload.rate, again.workload.requests) == (3, 40.0, 2)
    assert made.outcome == "completed"


@pytest.mark.parametrize("rates", [np.array([10, 20]), range(10, 30, 10), (10, np.int64(20))])
def test_axes_of_a_sweep_take_them_too(rates: Any, tmp_path: Path) -> None:
    made = adpkv.sweep(
        "quickstart", vary={"workload.rate": rates}, set=SMALL, jobs=1, out=tmp_path / "s"
    )
    assert [run.settings["workload.rate"] for run in made.runs] == [10, 20]
    assert [run.outcome for run in adpkv.load_sweep(tmp_path / "s").runs] == ["completed"] * 2


def test_every_argument_of_a_sweep_takes_them() -> None:
    zipped = np.array([["workload.rate", "workload.requests"]])
    pairs = {"workload.rate": np.array([5, 6]), "workload.requests": np.arange(1, 3)}
    made = adpkv.sweep("quickstart", vary=pairs, zip=zipped, seeds=np.int64(2), jobs=1)
    assert [(run.point, run.seed) for run in made.runs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    axis = {"workload.rate": [5, 6, 7, 8]}
    drawn = adpkv.sweep(
        "quickstart", vary=axis, set=SMALL, design="random", points=np.int64(2), jobs=1
    )
    assert len(drawn.runs) == 2
    with pytest.raises(adpkv.ConfigError, match=r"sweep\.seeds: must be"):
        adpkv.sweep("quickstart", vary=axis, seeds=np.arange(1, 3))


def test_a_wrong_argument_of_a_sweep_is_told_as_such() -> None:
    axis = {"workload.rate": [1]}
    with pytest.raises(adpkv.UsageError, match="vary takes values by their paths, not str"):
        adpkv.sweep("quickstart", vary="workload.rate=1")  # type: ignore[arg-type]
    with pytest.raises(adpkv.ConfigError, match=r"sweep\.seeds: must be at least 1"):
        adpkv.sweep("quickstart", vary=axis, seeds=0)
    with pytest.raises(adpkv.ConfigError, match=r"workload\.rat: .* \(found 1, from vary\)"):
        adpkv.sweep("quickstart", vary={"workload.rat": [1]})
