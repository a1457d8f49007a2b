"""A signal in the middle: everything open is answered once, and the run ends as interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from adpkv.config import parse
from adpkv.executor.messages import Answers, Message, Pulse
from adpkv.worlds.virtual.event_queue import LINK
from adpkv.worlds.virtual.run import Simulation, simulate
from tests.worlds.virtual.experiments import experiment, replay
from tests.worlds.virtual.running import differences, problems, run
from tests.worlds.virtual.test_stuck import SMALL


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


def test_an_answer_that_was_lost_is_told_when_the_run_is_stopped() -> None:
    """The ranks stay until the coordinator has given up: it says whose answer is missing."""

    def prepare(job: Simulation) -> None:
        carry, queue, lost = job.world.post.carry, job.world.queue, []

        def stop(_: object) -> None:
            job.stop.code = 130
            job.world.interrupt()

        def lossy(sender: int, to: int, message: Message) -> None:
            if isinstance(message, Answers) and not lost:
                lost.append(message)
                queue.add(queue.now + 1_000_000, LINK, len(job.programs), 0, stop, None)
            else:
                carry(sender, to, message)

        job.world.post.carry = lossy  # type: ignore[method-assign]

    ran = run(SMALL, prepare=prepare, most_events=200_000)
    kinds = {violation["kind"] for violation in ran.summary["violations"]}
    assert kinds == {"no_terminal_response"}
    assert ran.exit_code == 4
    assert len(ran.records) == ran.summary["requests"]["submitted"]


def test_a_real_signal_in_the_middle_of_anything(tmp_path: Path) -> None:
    """It comes between any two lines; quiet ranks must see it no sooner than they are asked."""
    data = {
        "name": "signal",
        "topology": {"context": {"ranks": 4}, "generation": {"ranks": 4}},
        "workload": {
            "kind": "poisson",
            "rate": 100,
            "requests": 2000,
            "prompt_tokens": {"min": 16, "max": 128},
            "output_tokens": {"min": 5, "max": 40},
        },
        "observe": {"pulse": "1us"},
    }
    sent: list[int] = []

    def on_progress(done: int, total: int, pulses: Mapping[int, Pulse], virtual_s: float) -> None:
        if not sent and done > 100:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGTERM)

    result = simulate(parse(data, "test"), out=tmp_path / "out", on_progress=on_progress)
    assert sent
    assert result.exit_code == 143
    assert result.summary["violations"] == []
    requests = result.summary["requests"]
    assert isinstance(requests, dict)
    assert requests["submitted"] < 2000
    assert requests["never_arrived"] == 2000 - requests["submitted"]
    ends = ("completed", "cancelled", "timed_out", "failed")
    assert requests["submitted"] == sum(requests[end] for end in ends)
    assert (result.folder / "summary.json").exists()


CLOSING = {
    "name": "closing",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    "executor": {"drain_timeout": "500ms"},
    "workload": {
        "kind": "closed_loop",
        "users": 6,
        "requests": 30,
        "prompt_tokens": {"min": 16, "max": 16},
        "output_tokens": {"min": 5, "max": 20},
    },
    "on_sigterm": "finish",
}


@pytest.mark.parametrize("jump", [True, False])
def test_on_sigterm_what_is_open_may_be_finished(jump: bool) -> None:
    ran = run(CLOSING, prepare=after(5, 143), jump=jump)
    assert problems(ran) == []
    assert (ran.exit_code, ran.summary["outcome"]) == (143, "interrupted")
    assert 5 < len(ran.records) < 30, "nobody asks any more"
    assert {str(record.outcome) for record in ran.records} == {"completed"}
    assert ran.summary["requests"]["never_arrived"] == 30 - len(ran.records)


def test_what_is_not_finished_within_the_drain_timeout_is_answered() -> None:
    data = CLOSING | {"workload": CLOSING["workload"] | {"output_tokens": {"min": 5, "max": 900}}}  # type: ignore[operator]
    ran = run(data, prepare=after(2, 143))
    assert problems(ran) == []
    assert ran.exit_code == 143
    failed = [record for record in ran.records if record.outcome == "failed"]
    assert {record.detail for record in failed} == {"asked to stop by a signal"}
    closing, *_ = [event[0] for event in ran.events if event[2] == "closing"]
    assert all(500e6 < record.ended_ns - closing < 520e6 for record in failed)


def test_ctrl_c_waits_for_nobody() -> None:
    ran = run(CLOSING, prepare=after(5, 130))
    assert problems(ran) == []
    assert "failed" in {str(record.outcome) for record in ran.records}
