"""Whatever experiment it is: with and without jumping, and looking always, it is the same run, and
no oracle has anything to say; and what it draws is what it is about."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.worlds.virtual.running import examine, run
from tests.worlds.virtual.seeds import batch, batches
from tests.worlds.virtual.unusual import HERE, unusual


@pytest.mark.parametrize("first", batches(0, 320))
def test_unusual_experiments(first: int) -> None:
    wrong = {seed: found for seed in batch(first) if (found := examine(unusual(seed)))}
    assert not wrong, f"python -m {HERE} {next(iter(wrong))}"


def test_they_are_unusual() -> None:
    found: Counter[str] = Counter()
    for seed in range(60):
        data = unusual(seed)
        found["calibration"] += "calibration" in data
        found["servers"] += "servers" in data["topology"]
        found["model"] += "kind" in data["model"]
        found["policy"] += HERE in data["router"]["policy"]
        found["at 0"] += any(fault.get("after") == "0s" for fault in data["faults"])
        if HERE in data["workload"]["kind"]:
            ran = run(data)
            found["no tokens"] += any(
                one.outcome == "completed" and not one.output_tokens for one in ran.records
            )
    assert min(found.values()) > 5, found
    assert len(found) == 6
