"""A simulation that is over is freed: whoever runs thousands in one process keeps none of them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from adpkv.config import parse
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.running import run

SMALL: dict[str, Any] = {
    "name": "freed",
    "topology": {"context": {"ranks": 1}, "generation": {"ranks": 2}},
    "workload": {
        "kind": "script",
        "requests": [{"at": "0s", "prompt_tokens": 9, "output_tokens": 5, "times": 3}],
    },
}
FAULTS: list[list[dict[str, Any]]] = [
    [],
    [{"kind": "sigstop", "duration": "1ms"}],
    [{"kind": "sigkill", "ranks": [2]}],
    [{"kind": "restart", "duration": "1ms"}, {"kind": "lose", "count": 1}],
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(f["kind"] for f in faults))
@pytest.mark.parametrize("jump", [True, False])
def test_a_run_that_is_over_is_freed(faults: list[dict[str, Any]], jump: bool) -> None:
    known: list[weakref.ref[Simulation]] = []
    run(SMALL | {"faults": faults}, jump=jump, prepare=lambda job: known.append(weakref.ref(job)))
    gc.collect()
    assert [job() for job in known] == [None]


def test_one_that_never_began_is_freed() -> None:
    known = weakref.ref(Simulation(parse(SMALL, "test")))
    gc.collect()
    assert known() is None
