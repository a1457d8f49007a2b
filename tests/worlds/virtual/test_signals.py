"""A signal in the middle: everything open is answered once, and the run ends as interrupted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.experiments import experiment, replay
from tests.worlds.virtual.running import differences, problems, run


def after(answers: int, code: int) -> Callable[[Simulation], None]:
    """Send a signal as the coordinator records an answer: at the same virtual time always."""

    def prepare(job: Simulation) -> None:
        class Records(list):  # type: ignore[type-arg]
            def append(self, item: object) -> None:
                super().append(item)
                if len(self) == answers:
                    job.stop.code = code
                    job.world.interrupt()

        job.records = Records()

    return prepare


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_interrupted_runs_answer_everything(first: int) -> None:
    wrong = {}
    for seed in range(first, first + 20):
        data, code = experiment(seed), 130 if seed % 2 else 143
        jumped = run(data, prepare=after(2, code))
        stepped = run(data, prepare=after(2, code), jump=False)
        found = differences(jumped, stepped) + problems(jumped)
        if jumped.exit_code not in (75, code):
            found.append(f"exit code {jumped.exit_code}")
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def test_what_was_open_has_failed_and_says_why() -> None:
    data = experiment(0) | {"faults": []}
    data["workload"] = {
        "kind": "closed_loop",
        "users": 6,
        "requests": 30,
        "prompt_tokens": {"min": 16, "max": 16},
        "output_tokens": {"min": 5, "max": 20},
    }
    ran = run(data, prepare=after(5, 130))
    assert problems(ran) == []
    assert ran.summary["outcome"] == "interrupted"
    assert ran.exit_code == 130
    assert 5 < len(ran.records) < 30, "nobody asks any more"
    failed = [record for record in ran.records if record.outcome == "failed"]
    assert failed
    assert any("signal" in record.detail for record in failed)
