"""A simulation that is over is freed: whoever runs thousands in one process keeps none of them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from adpkv.config import load, parse
from adpkv.config.shipped import REGRESSIONS, folder
from adpkv.errors import AdpkvError
from adpkv.field_policies import assembly
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


@pytest.mark.parametrize(
    "name", ["03-gate-that-differs-by-one-block", "11-idle-ranks-spin-and-wait", "14-refused-dummy"]
)
def test_a_run_that_got_stuck_or_broke_is_freed(name: str) -> None:
    """Its programs stand in the middle of a collective, which knows them."""
    file = next(folder().glob(f"{REGRESSIONS}/{name[:3]}*.yaml"))
    experiment = load(file)
    known: list[weakref.ref[Simulation]] = []
    job: Simulation | None = Simulation(experiment, assemble=assembly(experiment))
    known.append(weakref.ref(job))  # type: ignore[arg-type]
    with pytest.raises(AdpkvError):
        job.run()  # type: ignore[union-attr]
    job = None
    gc.collect()
    gc.collect()  # coroutines have finalizers: what they hold goes behind them
    assert [one() for one in known] == [None]


def test_one_that_never_began_is_freed() -> None:
    known = weakref.ref(Simulation(parse(SMALL, "test")))
    gc.collect()
    assert known() is None
