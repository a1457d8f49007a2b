"""Times that add up to more than a run may take: ten years is the largest time there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_minimal import POISSON, minimal, problems_in

from adpkv.config import parse

YEARS = "the longest run is 87600h, ten years"


def script(**request: Any) -> dict[str, Any]:
    one = {"at": "0s", "prompt_tokens": 64, "output_tokens": 4} | request
    return {"kind": "script", "requests": [one]}


def loop(think_time: str) -> dict[str, Any]:
    lengths = {key: POISSON[key] for key in ("requests", "prompt_tokens", "output_tokens")}
    return {"kind": "closed_loop", "users": 3, "think_time": think_time, **lengths}


def skewed(*counts: int) -> list[dict[str, Any]]:
    return [
        {"kind": "skew", "duration": "30000h", "before": "1s", "count": count} for count in counts
    ]


BEYOND = [
    ({"workload": POISSON | {"rate": 1.0e-9}}, "workload.rate"),
    ({"workload": loop("29201h")}, "workload.think_time"),
    ({"workload": script(times=2, every="87600h", at="1ns")}, "workload.requests.0.times"),
    ({"model": {"step_base": "8761h"}}, "workload"),
    ({"workload": script(), "model": {"step_base": "21901h"}}, "workload.requests.0"),
    ({"model": {"time_scale": 1.0e6, "step_base": "1h"}}, "model"),
    ({"faults": skewed(2, 1)}, "faults.1.duration"),
]


@pytest.mark.parametrize(("sections", "path"), BEYOND, ids=lambda v: str(v)[:50])
def test_what_takes_longer_than_a_run_may_is_refused(
    tmp_path: Path, sections: dict[str, Any], path: str
) -> None:
    told = problems_in(tmp_path, minimal(**sections))
    (named,) = [line for line in told if YEARS in line]
    assert named.startswith(f"{path}: ")


@pytest.mark.parametrize(
    "sections",
    [
        {"workload": loop("29200h")},
        {"workload": script(times=2, every="87600h")},
        {"workload": POISSON | {"rate": 1.0e-6}},
        {"faults": skewed(2)},
    ],
    ids=str,
)
def test_what_just_fits_is_not(sections: dict[str, Any]) -> None:
    parse(minimal(**sections), "test")
