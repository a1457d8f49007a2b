"""Instances that stop by themselves while a request is still on its way to them: it is answered by
the instance or ended by the coordinator, never by both (contract 6.3)."""

from __future__ import annotations

from typing import Any

import pytest

import adpkv
from tests.scenarios.script import setting


def killed(rank: int) -> dict[str, Any]:
    return {"kind": "sigkill", "ranks": [rank], "after": "100ms"}


@pytest.mark.parametrize("victims", [(1, 3), (1, 2)], ids=["followers", "a-leader"])
@pytest.mark.parametrize("latency", ["1us", "1ms", "2ms", "7ms", "20ms"])
def test_two_instances_that_lose_a_rank_at_once(latency: str, victims: tuple[int, ...]) -> None:
    """Each has stopped before the coordinator can tell it to."""
    requests = [{"at": f"{4 * i}ms", "prompt_tokens": 32, "output_tokens": 4} for i in range(60)]
    data = setting(
        "stops-that-cross",
        2,
        2,
        transceiver={"mail_latency": latency},
        workload={"kind": "script", "requests": requests},
        faults=[killed(rank) for rank in victims],
    )
    result = adpkv.simulate(data)
    assert result.violations == ()
    assert result.summary.lost == sorted(victims)
    assert {request.outcome for request in result.requests} <= {"completed", "failed"}
