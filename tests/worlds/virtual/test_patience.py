"""Everybody is more patient than the longest step takes, whatever experiment it is of."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from adpkv.config import parse
from adpkv.errors import ConfigError
from adpkv.worlds.virtual.run import Simulation
from tests.fuzz.experiments import Swarm, experiment
from tests.worlds.virtual.running import problems, run

CLEAN = Swarm(given=0.6, extreme=0.02, faults=0)
COSTS = {
    "step_base": ("0s", "1ms", "100ms", "6s"),
    "per_prefill_token": ("0s", "20us", "10ms", "300ms"),
    "per_prefill_pair": ("0s", "2ns", "1ms"),
    "per_sequence": ("0s", "50us", "1s"),
    "per_context_token": ("0s", "20ns", "10ms"),
}
"""Mostly more than the collectives and the loss that everybody waits out as well."""


def test_no_step_takes_longer_than_everybody_is_patient_for() -> None:
    """The bound comes from the workload; it holds for every batch, and is met by some."""
    shares = []
    for seed in range(60):
        data, draw = experiment(seed, CLEAN), Random(seed)
        if "preset" in data.get("model", {}):  # it gave these too
            of_preset = {"piece": "64MiB", "post_budget": "1GiB"}
            data["transceiver"] = of_preset | data.get("transceiver", {})
        data["model"] = {key: draw.choice(costs) for key, costs in COSTS.items()}
        data.pop("diagnosis", None)  # what is set there would have to be longer than these
        longest = 0
        try:
            bound_ns = parse(data, data["name"]).legal_silence.look_ns
        except ConfigError:
            continue  # with these costs a run could take longer than any may

        def watch(job: Simulation) -> None:
            model: Any = job.programs[0].phases.rank.ports.model
            line = model.line

            def noted(batch: Any) -> tuple[int, int]:
                nonlocal longest
                base, slope = line(batch)
                longest = max(longest, base // model.ticks_per_ns)
                return int(base), int(slope)

            model.line = noted

        try:
            run(data, prepare=watch, most_events=2000)
        except Exception:  # one that is too long has had its steps too
            continue
        finally:
            assert longest <= bound_ns, seed
            shares.append(longest / bound_ns)
    assert max(shares) > 0.9, "or the bound says nothing"


GIVEN_UP = {
    "name": "given-up",
    "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
    "executor": {"drain_timeout": "1ms"},
    "model": {"collective": "1s"},
    "workload": {
        "kind": "script",
        "requests": [{"at": "0s", "prompt_tokens": 64, "output_tokens": 4, "times": 8}],
    },
}
"""Eight transfers, given up all at once on a slow link; looks are as far apart as collectives take.
No limit is set as long as what it waits for."""

LINK = {
    "progress_deadline": "1ms",
    "transfer_timeout": "1s",
    "link": {"latency": "1s", "bandwidth": "1KiB"},
}


@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize("poll_limit", [1, 3, 8])
@pytest.mark.parametrize("mail_latency", ["1ms", "2s"])
def test_a_link_that_is_given_up_is_proven_quiet_in_time(
    ranks: int, poll_limit: int, mail_latency: str
) -> None:
    """The proof of an end stands in line behind the poll limit of its sender, and then here."""
    link = LINK | {"poll_limit": poll_limit, "mail_latency": mail_latency}
    topology = {"context": {"ranks": 1}, "generation": {"ranks": ranks}}
    ran = run(GIVEN_UP | {"topology": topology, "transceiver": link})
    assert problems(ran) == []
    assert ran.summary["requests"]["timed_out"] == 8
    assert ran.summary["health"]["unhealthy_intervals"] == 0
    assert [report.transfers.quarantined_now for report in ran.reports] == [0] * (1 + ranks)
    bound_ns = ran.job.experiment.legal_silence.proof_ns
    stays = [longest_stay_ns(program.phases.rank) for program in ran.job.programs]
    assert bound_ns / 3 < max(stays) <= bound_ns


def test_what_is_due_is_seen_late_by_whoever_waits_long() -> None:
    """A rank that may wait for five minutes while it is busy is ill for longer than deadline and
    grace before it looks, and has done no wrong."""
    ran = run(
        GIVEN_UP
        | {
            # The coordinator releases who is not drained after three of these, and its messages
            # wakes.
            "executor": {"busy_wait": "300s", "idle_wait": "300s", "drain_timeout": "100s"},
            "model": {},
            "faults": [{"kind": "stall"}],
        }
    )
    assert problems(ran) == []
    experiment = ran.job.experiment
    transceiver = experiment.transceiver
    least_ns = transceiver.progress_deadline_ns + transceiver.shutdown_grace_ns
    stays = [longest_stay_ns(program.phases.rank) for program in ran.job.programs]
    assert max(stays) > least_ns + 3 * experiment.legal_silence.look_ns, "or it shows nothing"


def longest_stay_ns(rank: Any) -> int:
    """Of one of its transfers in quarantine, over or not."""
    quarantine = rank.transceiver.book.quarantine
    stay_ns = 0 if quarantine.longest is None else quarantine.longest[0]
    return max(stay_ns, rank.ports.clock() - quarantine.oldest_ns() if len(quarantine) else 0)
