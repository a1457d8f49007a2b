"""What ranks write down of themselves over time, read back from a simulation."""

from __future__ import annotations

from itertools import pairwise

import pytest

import adpkv
from adpkv.core.ids import NEVER
from adpkv.executor.sampling import FIRST_NS, Sampler


@pytest.fixture(scope="module")
def result() -> adpkv.Result:
    return adpkv.simulate(
        "quickstart",
        set={
            "workload.requests": 60,
            "faults": [{"kind": "stall", "probability": 0.1, "duration": "30s"}],
            "transceiver.transfer_timeout": "1s",
        },
    )


def test_each_rank_says_how_it_is_until_the_end(result: adpkv.Result) -> None:
    for rank in range(result.summary.ranks):
        own = [one for one in result.samples if one.rank == rank]
        assert own[0].at_ns == 0
        assert own[-1].at_ns > result.requests[-1].ended_ns
        for before, after in pairwise(own):
            assert after.at_ns >= before.at_ns
            assert (after.steps, after.step_ns, after.own_ns, after.tokens) >= (
                before.steps, before.step_ns, before.own_ns, before.tokens
            )  # fmt: skip


def test_states_are_those_of_the_pool_and_of_the_transfers(result: adpkv.Result) -> None:
    blocks = result.experiment.kv_cache.blocks
    for one in result.samples:
        assert one.free + one.cached + one.active + one.in_transfer + one.quarantined == blocks
        assert 0 <= one.own_ns <= one.step_ns
        assert one.running <= one.requests
    doubtful = [one for one in result.samples if one.doubtful]
    assert {one.rank for one in doubtful} == {
        event.rank for event in result.events.of_kind("quarantined")
    }
    assert any(one.quarantined for one in doubtful)
    assert any(one.in_transfer and one.transfers for one in result.samples)


def test_the_last_lines_are_what_the_summary_says(result: adpkv.Result) -> None:
    last = {one.rank: one for one in result.samples}
    for instance in result.experiment.topology.build().instances:
        ranks = [last[rank] for rank in instance.members]
        found = result.summary.utilisation[instance.name]
        assert found.steps == max(one.steps for one in ranks)
        waited = 1 - sum(one.own_ns for one in ranks) / sum(one.step_ns for one in ranks)
        assert found.step_wait_share == pytest.approx(waited)
        assert found.compute_share is not None
        assert found.step_share is not None
        assert found.compute_share < found.step_share


def test_one_rank_alone_waits_for_nobody_and_two_for_the_slower() -> None:
    """Two ranks; one has a prompt of 1000 tokens, the other a dummy."""
    costs = {"step_base": "1ms", "per_prefill_token": "1us", "per_prefill_pair": "0s"}
    one_prompt = {"kind": "script", "requests": [
        {"at": "0s", "prompt_tokens": 1000, "output_tokens": 1}
    ]}  # fmt: skip
    for ranks, waiting in ((1, 0.0), (2, 0.25)):
        found = adpkv.simulate(
            {
                "name": "waits",
                "topology": {"context": {"ranks": ranks}, "generation": {"ranks": 1}},
                "model": {**costs, "collective": "0s"},
                "executor": {"token_budget": 1000},
                "workload": one_prompt,
            }
        ).summary.utilisation["context-0"]
        assert found.steps == 1
        assert found.step_wait_share == pytest.approx(waiting, abs=1e-6)


def test_jumping_and_not_compute_the_same() -> None:
    jumped, stepped = (
        adpkv.simulate("quickstart", set={"workload.requests": 10}, jump=jump).summary.utilisation
        for jump in (True, False)
    )
    assert jumped == stepped


@pytest.mark.parametrize(("ranks", "most"), [(1, 1300), (8, 1300), (4096, 130)])
def test_lines_are_few_however_long_a_run_is(ranks: int, most: int) -> None:
    """A day, looked at every 10 ms."""
    sampler, at_ns, lines = Sampler(ranks), 0, 0
    while at_ns < 86_400 * 10**9:
        at_ns += max(FIRST_NS, at_ns // sampler.parts)
        lines += 1
    assert lines < most
    assert sampler.due_ns == NEVER, "without a file it is off"


def test_no_events_no_lines() -> None:
    result = adpkv.simulate("quickstart", set={"workload.requests": 5, "observe.events": False})
    assert len(result.samples) == 0
