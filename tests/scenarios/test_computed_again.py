"""`recompute: true`: what was lost with a failed rank is computed again, whatever the first attempt
has left behind on the rank that computes it."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.core.router import POLICIES
from tests.scenarios.story import Told
from tests.worlds.virtual.running import differences, run

SETTING: dict[str, Any] = {
    "name": "computed-again",
    "topology": {"context": {"ranks": 1}, "generation": {"ranks": 2}},
    "on_rank_failure": "shrink",
    "recompute": True,
}
REQUEST = {"at": "0s", "prompt_tokens": 640, "output_tokens": 20}


def tell(lost: int = 1, **sections: Any) -> Told:
    """The story, which is the same with and without jumping, and went on without the rank that was
    lost."""
    sections["faults"] = [{"kind": "sigkill", "ranks": [lost], "after": "100ms"}]
    jumped, stepped = (run({**SETTING, **sections}, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
    assert (stepped.exit_code, stepped.summary["violations"]) == (0, [])
    assert stepped.summary["lost"] == [lost]
    return Told(stepped)


def script(*requests: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "script", "requests": list(requests)}


def test_nothing_is_posted_to_a_rank_that_is_known_to_have_failed() -> None:
    """The sender reads the failed rank's advertise after a long step, together with the word of its
    failure: it posted to it, and then refused the new attempt, as the old one was in doubt."""
    long = {"at": "10ms", "prompt_tokens": 8000, "output_tokens": 2}
    told = tell(workload=script(REQUEST, long))
    assert told.outcomes == ["completed", "completed"]
    assert told.record(0).recomputed == 1
    gone_ns = told.at_ns("recomputed", 0, -1)
    posted = [e for e in told.events(0, 0) if e[2] == "posted"]
    assert [e[0] > gone_ns for e in posted] == [True], "only to the rank that is left"
    assert told.summary["transfers"]["quarantined_peak"] == 0


SLOW = {"link": {"latency": "1s"}}
"""A failure is noticed after 50 ms, and what was on its way is proven fenced after the latency."""


def test_a_new_attempt_waits_until_the_first_is_out_of_doubt() -> None:
    told = tell(transceiver=SLOW, workload=script(REQUEST))
    assert told.outcomes == ["completed"]
    bound_ns = [e[0] for e in told.events(0, 0) if e[2] == "assigned"][1]
    assert bound_ns == told.at_ns("released", 0, 0), "at once"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_new_attempt_goes_to_a_rank_without_doubt_whatever_the_policy(policy: str) -> None:
    """Rank 1 has had a request since, and rank 0 has the prompt in its cache: so by turns and by
    prefix it would be rank 0, on which it would wait for a second."""
    servers = {"context": {"ranks": 2}, "generation": {"ranks": 2}}
    told = tell(
        lost=2,
        topology=servers,
        router={"policy": policy},
        transceiver=SLOW,
        workload=script(REQUEST, REQUEST | {"at": "1ms", "prompt_tokens": 64}),
    )
    assert told.outcomes == ["completed", "completed"]
    assert (told.record(0).recomputed, told.record(0).context_rank) == (1, 1)
    assert told.record(0).ended_ns < 1_500_000_000


def test_a_new_attempt_goes_to_an_instance_without_doubt() -> None:
    """Of two with one rank each."""
    servers = {"context": {"instances": 2, "ranks": 1}, "generation": {"ranks": 2}}
    told = tell(
        lost=3,
        topology=servers,
        transceiver=SLOW,
        workload=script(REQUEST, REQUEST | {"at": "1ms", "prompt_tokens": 64}),
    )
    assert told.outcomes == ["completed", "completed"]
    assert (told.record(0).recomputed, told.record(0).context_instance) == (1, 1)
    assert told.record(0).ended_ns < 1_500_000_000
