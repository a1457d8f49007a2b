"""`recompute: true`: what was lost with a failed rank is computed again, whatever the first attempt
has left behind on the rank that computes it."""

from __future__ import annotations

from typing import Any

from tests.scenarios.story import Told
from tests.worlds.virtual.running import differences, run

SETTING: dict[str, Any] = {
    "name": "computed-again",
    "topology": {"context": {"ranks": 1}, "generation": {"ranks": 2}},
    "on_rank_failure": "shrink",
    "recompute": True,
    "faults": [{"kind": "sigkill", "ranks": [1], "after": "100ms"}],
}
REQUEST = {"at": "0s", "prompt_tokens": 640, "output_tokens": 20}


def tell(**sections: Any) -> Told:
    """The story, which is the same with and without jumping, and went on without rank 1."""
    jumped, stepped = (run({**SETTING, **sections}, jump=jump) for jump in (True, False))
    assert differences(jumped, stepped) == []
    assert (stepped.exit_code, stepped.summary["violations"]) == (0, [])
    assert stepped.summary["lost"] == [1]
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


def test_a_new_attempt_waits_until_the_first_is_out_of_doubt() -> None:
    """The failure is noticed after 50 ms, but proven fenced only after the link's latency."""
    slow = {"link": {"latency": "1s"}}
    told = tell(transceiver=slow, workload=script(REQUEST))
    assert told.outcomes == ["completed"]
    kinds = told.kinds(0, 0)
    assert kinds.index("held_back") < kinds.index("quarantined") < kinds.index("released")
    let_in_ns = [e[0] for e in told.events(0, 0) if e[2] == "prefill_began"][1]
    assert let_in_ns == told.at_ns("released", 0, 0), "at once"
