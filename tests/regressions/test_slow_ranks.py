"""Those that real ranks run too hold where a step takes thirty times as long as they say, as on a
loaded machine: what has to come first is not left to the speed of a rank. In virtual time, where
that can be set."""

from __future__ import annotations

import pytest

from adpkv.field_policies import assembly
from adpkv.regressions.catalogue import read
from adpkv.regressions.running import examine
from tests.regressions.regress_files import FILES

COUNTED = {"22", "23"}
"""They expect how many requests end how, which longer steps do change."""


@pytest.mark.parametrize(("step", "counted"), [("150ms", False), ("75ms", True)])
def test_they_hold_with_slow_steps(step: str, counted: bool) -> None:
    slow = [
        scenario
        for scenario in read(FILES, [f"model.step_base={step}"])
        if scenario.before("mpi") is not None and (scenario.regression.id in COUNTED) is counted
    ]
    assert len(slow) == 2 if counted else len(slow) > 14
    results = examine(slow, "virtual", assembly)
    wrong = {
        result.scenario.regression.id: (*result.before.deviations, *result.after.deviations)
        for result in results
        if not result.held
    }
    assert wrong == {}
