"""`topology.servers`: sizes, pools and costs of single instances."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import Experiment, dump, load, parse
from adpkv.config.legal_silence import longest_step_ns
from adpkv.config.model import CostModelConfig
from adpkv.core.topology import Kind
from adpkv.errors import ConfigError
from adpkv.worlds.assemble import build_model
from adpkv.worlds.virtual.in_memory import simulate_in_memory
from adpkv.worlds.virtual.run import simulate
from tests.config.config_minimal import minimal

TWO = {"instances": 2, "ranks": 2}


def parsed(*servers: dict[str, Any], **more: Any) -> Experiment:
    topology = {"context": TWO, "generation": TWO, "servers": list(servers)}
    return parse(minimal(topology=topology, **more), "test")


def test_sizes_pools_and_costs_are_the_instances_own() -> None:
    experiment = parsed(
        {"instances": [0], "ranks": 3, "per_prefill_token": "7.5ns"},
        {"instances": [3, 2], "blocks": 300, "step_base": "2ms"},
        kv_cache={"blocks": 400},
    )
    topology = experiment.topology.build()
    assert [(i.kind, i.first, i.ranks) for i in topology.instances] == [
        (Kind.CONTEXT, 0, 3),
        (Kind.CONTEXT, 3, 2),
        (Kind.GENERATION, 5, 2),
        (Kind.GENERATION, 7, 2),
    ]
    assert experiment.topology.ranks == topology.ranks == 9
    assert experiment.topology.least_ranks == 2
    assert [experiment.blocks_of(i) for i in range(4)] == [400, 400, 300, 300]
    assert [experiment.blocks_of_rank(r) for r in (0, 4, 5, 8)] == [400, 400, 300, 300]
    assert (experiment.least_blocks, experiment.largest_cache.blocks) == (300, 400)
    assert experiment.costs_of(0).prefill_token_ns == Fraction(15, 2)
    assert experiment.costs_of(1).prefill_token_ns == 20_000
    assert experiment.costs_of(2).base_ns == 2_000_000
    assert load_again(experiment) == experiment


def load_again(experiment: Experiment) -> Experiment:
    from adpkv.config.document import read

    data: Any = read(dump(experiment)).data
    return parse(data, "again")


def test_all_instances_have_one_unit_of_time() -> None:
    experiment = parsed({"instances": [0], "per_prefill_token": "7.5ns"})
    one, other = (build_model(experiment, i) for i in (0, 1))
    assert one.ticks_per_ns == other.ticks_per_ns == 2


def test_limits_on_waiting_allow_for_the_slowest() -> None:
    plain, slow = parsed(), parsed({"instances": [1], "step_base": "900ms"})
    model = slow.slowest_model
    assert isinstance(model, CostModelConfig)
    assert model.step_base_ns == 900_000_000
    assert model.per_prefill_token_ns == 20_000
    steps = [
        longest_step_ns(e.slowest_model, e.executor, e.largest_cache, e.workload)
        for e in (plain, slow)
    ]
    assert steps[1] - steps[0] == 895_000_000
    assert slow.legal_silence.look_ns > plain.legal_silence.look_ns


def test_a_preset_gives_the_costs_that_are_left_out() -> None:
    experiment = parsed(
        {"instances": [2], "preset": "llama-3.1-8b@h200", "step_base": "1ms"},
        model={"preset": "llama-3.1-8b@h100"},
    )
    other, own = experiment.costs_of(0), experiment.costs_of(2)
    assert own.base_ns == 1_000_000
    assert own.prefill_token_ns == other.prefill_token_ns
    assert own.context_token_ns < other.context_token_ns
    assert load_again(experiment) == experiment


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([{"instances": [4]}], "topology.servers.0.instances: 4 is no instance: they are 0 to 3"),
        ([{"instances": []}], "topology.servers.0.instances: must not be empty"),
        (
            [{"instances": [1]}, {"instances": [0, 1]}],
            "topology.servers.1.instances: 1 is there twice",
        ),
        (
            [{"instances": [3], "blocks": 2}],
            "topology.servers.0.blocks: leaves 1 block beside the dummy's, but the longest",
        ),
        ([{"instances": [0], "preset": "x@h100"}], "topology.servers.0.preset: there is no model"),
        ([{"instances": [0], "rank": 3}], "topology.servers.0.rank: is not known here"),
        ([{"ranks": 3}], "topology.servers.0.instances: is required, and missing"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(servers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(*servers)
    assert caught.value.problems[0].startswith(message)


def test_replicas_need_equal_sizes_and_a_custom_model_has_no_costs() -> None:
    topology = {"context": TWO, "generation": TWO, "servers": [{"instances": [0], "ranks": 3}]}
    with pytest.raises(ConfigError, match=r"servers.0.ranks: must be equal to topology.context"):
        parse(minimal(topology={**topology, "attention": "replicated"}), "test")
    topology["servers"] = [{"instances": [0], "step_base": "1ms"}]
    with pytest.raises(ConfigError, match=r"topology.servers.0: must have no costs: model.kind is"):
        parse(minimal(topology=topology, model={"kind": "a.b:c"}), "test")


def test_a_run_is_the_same_with_and_without_jumping(tmp_path: Path) -> None:
    experiment = parsed(
        {"instances": [0], "ranks": 3, "per_prefill_token": "7.5ns", "step_base": "9ms"},
        {"instances": [3], "ranks": 4, "blocks": 60, "step_base": "2ms"},
        workload={
            "kind": "poisson",
            "rate": 60,
            "requests": 60,
            "prompt_tokens": {"min": 100, "max": 2000},
            "output_tokens": {"min": 5, "max": 40},
        },
    )
    runs = [simulate(experiment, out=tmp_path / str(jump), jump=jump) for jump in (True, False)]
    assert [run.exit_code for run in runs] == [0, 0]
    for name in ("requests.jsonl", "events.jsonl"):
        first, second = ((tmp_path / str(jump) / name).read_bytes() for jump in (True, False))
        assert first == second
    # The larger server gets more of the requests, and each pool is as large as it should be.
    blocks = runs[0].summary["blocks"]
    totals = [one["total"] for one in blocks.values()]
    assert totals == [3 * 1024, 2 * 1024, 2 * 1024, 4 * 60]
    assert load(tmp_path / "True" / "config.yaml") == experiment
    # And each has its own costs, in a run with files as in one without.
    prefill_ns: dict[int, list[int]] = {0: [], 1: []}
    for line in (tmp_path / "True" / "requests.jsonl").read_text().splitlines():
        record = json.loads(line)
        prefill_ns[record["context_instance"]].append(record["prefill_ns"])
    assert min(prefill_ns[0]) > 9_000_000
    assert min(prefill_ns[1]) < 9_000_000
    quiet = simulate_in_memory(experiment)
    assert sum(record.prefill_ns for record in quiet.requests) == sum(map(sum, prefill_ns.values()))
