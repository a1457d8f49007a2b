"""What to try where the answer misleads."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv import config
from adpkv.config import Experiment
from adpkv.output.advice import afterwards, beforehand
from tests.worlds.virtual.running import run

RARE = {"kind": "stall", "probability": 0.01}


def stalled(*faults: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "name": "stalled",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "kv_cache": {"blocks": 4096},
        "workload": {
            "kind": "poisson",
            "rate": 10,
            "requests": 4000,
            "prompt_tokens": {"min": 64, "max": 128},
            "output_tokens": {"min": 1, "max": 4},
        },
        "faults": list(faults),
        **sections,
    }


def parsed(data: dict[str, Any]) -> Experiment:
    return config.parse(data, "test")


CAMPAIGN = pytest.mark.campaign


@pytest.mark.parametrize(
    "timeout", [pytest.param("1s", marks=CAMPAIGN), "20s", pytest.param("60s", marks=CAMPAIGN)]
)
def test_a_rare_stall_for_ever_makes_any_run_ill_and_it_is_said_before(timeout: str) -> None:
    data = stalled(RARE, transceiver={"transfer_timeout": timeout})
    (said,) = beforehand(parsed(data))
    assert said.startswith("faults.0: ")
    assert f"--set faults.0.duration={timeout}" in said
    ran = run(data)
    assert ran.exit_code == 75
    assert afterwards(ran.job.experiment, ran.summary) == [said]
    assert ran.summary["requests"]["never_arrived"] == 4000 - ran.job.coordinator.submitted > 0


def test_what_is_tried_then_helps() -> None:
    data = stalled(RARE | {"duration": "60s"})
    assert beforehand(parsed(data)) == []
    ran = run(data)
    assert (ran.exit_code, ran.summary["requests"]["never_arrived"]) == (0, 0)


def test_what_never_hits_or_did_not_is_no_advice() -> None:
    assert beforehand(parsed(stalled(RARE | {"probability": 0.0}))) == []
    nothing = {"quarantined_now": 0}
    unhealthy = {
        "health": {"reasons": ["no_progress"]},
        "faults": {"stall": 0},
        "transfers": nothing,
    }
    well = {"health": {"reasons": []}, "faults": {"stall": 3}, "transfers": nothing}
    experiment = parsed(stalled(RARE))
    assert afterwards(experiment, unhealthy) == afterwards(experiment, well) == []
    in_doubt = well | {"transfers": {"quarantined_now": 1}}
    assert afterwards(experiment, in_doubt) == beforehand(experiment) != []
