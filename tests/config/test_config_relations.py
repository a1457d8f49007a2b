"""What the sections must be to each other: each relation at its edge, and with others wrong."""

from pathlib import Path
from typing import Any

import pytest
from config_minimal import POISSON, minimal, problems_in

from adpkv.config import parse

CLOSED = {k: v for k, v in POISSON.items() if k != "rate"} | {"kind": "closed_loop", "users": 1}

TWO_AND_TWO = {"context": {"ranks": 2}, "generation": {"ranks": 2}}
REPLICATED = {"attention": "replicated"}

SLOW = {
    # Twice 400 ms and all 10 requests' 1,100 tokens, with 110 pairs for each: 1044200 us.
    "time_scale": 2,
    "step_base": "400ms",
    "per_prefill_token": "1us",
    "per_prefill_pair": "1us",
    "per_sequence": "10us",
    "per_context_token": "1us",
}

HOLDS: list[dict[str, Any]] = [
    {"topology": {**TWO_AND_TWO, **REPLICATED}},
    {"topology": TWO_AND_TWO, "workload": {**POISSON, "pinned": 0.5}},
    {"transceiver": {"max_inflight_transfers_per_peer": 16, "quarantine_budget": 16}},
    {"transceiver": {"max_inflight_transfers_per_peer": 8, "max_inflight_transfers": 8}},
    {"transceiver": {"piece": "64KiB", "post_budget": "64KiB"}},
    {"transceiver": {"staging": "on", "staging_slot": "128KiB"}},  # two blocks
    {"transceiver": {"staging": "off", "staging_slot": "1B"}},
    {"transceiver": {"staging": "on", "max_inflight_blocks_per_peer": 1}},
    {"transceiver": {"staging": "auto", "transport": "here:Custom"}},
    {"executor": {"max_requests_per_rank": 64, "max_batch_size": 64}},
    {"recompute": True, "on_instance_unhealthy": "drain"},
    {
        "topology": {
            "context": {"ranks": 1},
            "generation": {"instances": 2, "ranks": 1, "spares": 1},
            "maintenance": [{"instance": 2, "after": "1s", "duration": "1s"}],
        }
    },
    {"executor": {"busy_wait": "1s", "idle_wait": "1s"}},
    {"router": {"avoid_pause": "90s", "avoid_pause_limit": "90s"}},
    {"diagnosis": {"hang_timeout": "501ms"}},  # more than idle_wait and a step of 174 ms
    {"diagnosis": {"hang_timeout": "1044201us"}, "model": SLOW},
    {"model": {"step_base": "31s"}},  # nothing is said of hang_timeout, which follows
    {"kv_cache": {"blocks": 3}},  # 110 tokens: 2 blocks, and the dummy's
    {"transceiver": {"max_inflight_blocks_per_peer": 2}},
    {"workload": {**POISSON, "shared_prefix": {"groups": 1, "tokens": 100}}},
    {"workload": {**POISSON, "prompt_tokens": {"min": 9, "max": 9}}},
    {"workload": {"kind": "trace"}, "kv_cache": {"block_tokens": 16}},
    {
        "workload": {"kind": "trace"},
        "kv_cache": {"block_tokens": 1024},
        "transceiver": {"piece": "1MiB"},
    },
    {"kv_cache": {"block_tokens": 48}},  # only a trace has blocks of its own
    {"faults": [{"kind": "delay", "duration": "1s", "ranks": [0, 3], "peers": [1, 2]}]},
    {"faults": [{"kind": "lose", "ranks": [0], "peers": [3]}]},
    {"faults": [{"kind": "lose", "ranks": [2], "peers": [1], "phase": "cancel"}]},
    {"faults": [{"kind": "restart", "duration": "1ns"}, {"kind": "sigkill", "phase": "drain"}]},
    {"faults": [{"kind": "slow_link", "bandwidth": "1B"}, {"kind": "skew", "duration": "1s"}]},
    {"faults": [{"kind": "sigstop", "duration": "1s", "count": 2, "before": "1s"}]},
    {"faults": [{"kind": "stall"}, {"kind": "fail", "proven": False}]},
    {"faults": [{"kind": "stall", "after": "1s", "before": "2s", "duration": "0s"}]},
]

BROKEN: list[tuple[dict[str, Any], str]] = [
    (
        {"topology": {**TWO_AND_TWO, "context": {"ranks": 2, "spares": 1}}},
        "topology.context.spares: must be below instances, which is 1 (found 1)",
    ),
    (
        {"topology": {**TWO_AND_TWO, "maintenance": [{"instance": 2}]}},
        "topology.maintenance.0.instance: 2 is no instance: they are 0 to 1 (found 2)",
    ),
    (
        {"topology": {**TWO_AND_TWO, "maintenance": [{"instance": "x"}]}},
        "topology.maintenance.0.instance: must be a whole number (found 'x')",
    ),
    (
        {"recompute": True},
        "recompute: means nothing here: it needs on_rank_failure: shrink, or"
        " on_instance_unhealthy: drain (found true)",
    ),
    (
        {"transceiver": {"staging": "on", "staging_slot": "131071B"}},
        "transceiver.staging_slot: must be at least two KV blocks, which are 128KiB: "
        "a slot has two halves (found '131071B')",
    ),
    (
        {"transceiver": {"staging": "on", "transport": "here:Custom"}},
        "transceiver.staging: must be off or auto: transceiver.transport is here:Custom, "
        "which knows no staging area (found 'on')",
    ),
    (
        {"transceiver": {"max_inflight_transfers_per_peer": 17}},
        "transceiver.max_inflight_transfers_per_peer: must be at most "
        "transceiver.quarantine_budget, which is 16: one wedged peer may not exceed the budget "
        "(found 17)",
    ),
    (
        {"transceiver": {"max_inflight_transfers": 7}},
        "transceiver.max_inflight_transfers_per_peer: must be at most "
        "transceiver.max_inflight_transfers, which is 7 (found 8 by default)",
    ),
    (
        {"transceiver": {"piece": "65535B"}},
        "transceiver.piece: must be at least one KV block, which is 64KiB "
        "(64 tokens of 1KiB) (found '65535B')",
    ),
    (
        {"transceiver": {"post_budget": "1000kB", "piece": "1MiB"}},
        "transceiver.post_budget: must be at least transceiver.piece, which is 1MiB "
        "(found '1000kB')",
    ),
    (
        {"executor": {"max_requests_per_rank": 63}},
        "executor.max_requests_per_rank: must be at least executor.max_batch_size, which is 64 "
        "(found 63)",
    ),
    (
        {"executor": {"idle_wait": "9ms"}},
        "executor.idle_wait: must be at least executor.busy_wait, which is 10ms (found '9ms')",
    ),
    (
        {"router": {"avoid_pause_limit": "999ms"}},
        "router.avoid_pause_limit: must be at least router.avoid_pause, which is 1s "
        "(found '999ms')",
    ),
    (
        {"diagnosis": {"hang_timeout": "500ms"}},
        "diagnosis.hang_timeout: must be more than executor.idle_wait, which is 500ms "
        "(found '500ms')",
    ),
    (
        {"diagnosis": {"hang_timeout": "1044200us"}, "model": SLOW},
        "diagnosis.hang_timeout: must be more than the longest step, which is 1.0442s "
        "(model.step_base and what the workload adds) "
        "(found '1044200us')",
    ),
    (
        {"kv_cache": {"blocks": 2}},
        "kv_cache.blocks: leaves 1 block beside the dummy's, but the longest request of the "
        "workload needs 2 (110 tokens in blocks of 64) (found 2)",
    ),
    (
        {"kv_cache": {"blocks": 2}, "workload": CLOSED},
        "kv_cache.blocks: leaves 1 block beside the dummy's, but the longest request of the "
        "workload needs 2 (110 tokens in blocks of 64) (found 2)",
    ),
    (
        {"transceiver": {"max_inflight_blocks_per_peer": 1}},
        "transceiver.max_inflight_blocks_per_peer: must hold the longest prompt of the workload, "
        "which is 2 blocks (100 tokens in blocks of 64) (found 1)",
    ),
    (
        {"workload": {**POISSON, "output_tokens": {"min": 5, "max": 4}}},
        "workload.output_tokens.min: must be at most output_tokens.max, which is 4 (found 5)",
    ),
    (
        {"workload": {**POISSON, "cancel": {"delay": {"min": "2s"}}}},
        "workload.cancel.delay.min: must be at most delay.max, which is 1s (found '2s')",
    ),
    (
        {"workload": {**POISSON, "shared_prefix": {"groups": 1, "tokens": 101}}},
        "workload.shared_prefix.tokens: must be at most prompt_tokens.max, which is 100 "
        "(found 101)",
    ),
    (
        {"workload": {"kind": "trace"}, "kv_cache": {"block_tokens": 48}},
        "kv_cache.block_tokens: must divide 512 or be a multiple of it: that is how many tokens "
        "one hash id of a trace stands for (found 48)",
    ),
    (
        {"workload": {"kind": "trace", "hash_tokens": 16}},
        "workload.hash_tokens: is 512 in the packaged trace (found 16)",
    ),
    (
        {"topology": {"context": {"ranks": 2}, "generation": {"ranks": 4}, **REPLICATED}},
        "topology.generation.ranks: must be equal to topology.context.ranks, which is 2: "
        "topology.attention is replicated (found 4)",
    ),
    (
        {"topology": {**TWO_AND_TWO, **REPLICATED}, "workload": {**POISSON, "pinned": 0.5}},
        "workload.pinned: must be 0: topology.attention is replicated, so every rank has each "
        "request (found 0.5)",
    ),
    (
        {"topology": {**TWO_AND_TWO, **REPLICATED}, "policy": {"cancel": "boolean"}},
        "policy.cancel: must be structured: topology.attention is replicated; replicas agree on "
        "when blocks are free, and one that has forgotten a request cannot (found 'boolean')",
    ),
    (
        {"policy": {"reduce": "own"}},
        "policy.reduce: means nothing here: each request has one rank; it needs "
        "topology.attention: replicated (found 'own')",
    ),
    (
        {"policy": {"reuse": "unpinned"}},
        "policy.reuse: means nothing here: no receiver has any of a prompt already; it needs "
        "kv_cache.reuse_received: true (found 'unpinned')",
    ),
    (
        {"policy": {"full_hit": "silent"}},
        "policy.full_hit: means nothing here: no receiver has any of a prompt already; it needs "
        "kv_cache.reuse_received: true (found 'silent')",
    ),
    (
        {"faults": [{"kind": "stall"}, {"kind": "fail", "ranks": [0, 4]}]},
        "faults.1.ranks.1: is no rank: the topology has 4, from 0 (found 4)",
    ),
    (
        {"faults": [{"kind": "fail", "peers": [9]}]},
        "faults.0.peers.0: is no rank: the topology has 4, from 0 (found 9)",
    ),
    (
        {"faults": [{"kind": "delay", "duration": "0s"}]},
        "faults.0.duration: is required for a delay, and more than 0s (found '0s')",
    ),
    (
        {"faults": [{"kind": "fail", "duration": "1s"}]},
        "faults.0.duration: means nothing for a fail: leave it out (found '1s')",
    ),
    (
        {"faults": [{"kind": "fail", "ranks": [2, 3]}]},
        "faults.0.ranks: names no context rank, and post happens on one (found a list)",
    ),
    (
        {"faults": [{"kind": "late", "duration": "1s", "phase": "advertise", "peers": [3]}]},
        "faults.0.peers: names no context rank, and advertise has one at its other end "
        "(found a list)",
    ),
    (
        {"faults": [{"kind": "lose", "ranks": [0], "peers": [1]}]},
        "faults.0.ranks: names no generation rank, and advertise happens on one (found a list)",
    ),
    (
        {"faults": [{"kind": "slow_link"}]},
        "faults.0.bandwidth: is required for a slow_link, and more than 0B (found null by default)",
    ),
    (
        {"faults": [{"kind": "reorder"}]},
        "faults.0.duration: is required for a reorder, and more than 0s (found null by default)",
    ),
    (
        {"faults": [{"kind": "lose", "phase": "post"}]},
        "faults.0.phase: of a lose must be advertise or cached or queued or began or ended"
        " or never_started or cancel or unpacked (found 'post')",
    ),
    (
        {"faults": [{"kind": "restart", "duration": "1s", "phase": "post"}]},
        "faults.0.phase: means nothing for a restart: leave it out (found 'post')",
    ),
    (
        {"faults": [{"kind": "sigkill", "requests": [1]}]},
        "faults.0.requests: means nothing for a sigkill: leave it out (found a list)",
    ),
    (
        {"faults": [{"kind": "sigkill", "count": 2}]},
        "faults.0.count: needs before as well: each of the hits is at a drawn instant of its own "
        "(found 2)",
    ),
    (
        {"faults": [{"kind": "skew", "duration": "1ns", "before": "1s", "count": 2147483647}]},
        "faults.0.count: must be at most 1000: each rank draws all instants beforehand "
        "(found 2147483647)",
    ),
    (
        {"faults": [{"kind": "stall", "proven": False}]},
        "faults.0.proven: means nothing for a stall: leave it out (found false)",
    ),
    (
        {"faults": [{"kind": "stall", "after": "1s", "before": "1s"}]},
        "faults.0.before: must be later than after, which is 1s (found '1s')",
    ),
    (
        {"topology": {"context": {"ranks": 65536}, "generation": {"ranks": 1}}},
        "topology: makes 65537 ranks in all; the most is 65536 (found a mapping)",
    ),
]


@pytest.mark.parametrize("sections", HOLDS, ids=str)
def test_a_relation_holds_at_its_edge(sections: dict[str, Any]) -> None:
    assert parse(minimal(**sections), "test").name == "minimal"


@pytest.mark.parametrize(("sections", "problem"), BROKEN, ids=lambda v: str(v)[:60])
def test_a_broken_relation_says_both_values(
    tmp_path: Path, sections: dict[str, Any], problem: str
) -> None:
    assert problems_in(tmp_path, minimal(**sections)) == (problem,)


@pytest.mark.parametrize(("sections", "problem"), BROKEN, ids=lambda v: str(v)[:60])
def test_a_broken_relation_is_told_beside_unrelated_problems(
    tmp_path: Path, sections: dict[str, Any], problem: str
) -> None:
    told = problems_in(tmp_path, minimal(**sections, seed=-1, observe={"pulse": 1}))
    assert len(told) == 3
    assert problem in told


def test_a_relation_is_not_judged_on_a_value_that_is_wrong_by_itself(tmp_path: Path) -> None:
    sections = {"transceiver": {"max_inflight_transfers_per_peer": "many"}}
    (told,) = problems_in(tmp_path, minimal(**sections))
    assert told.startswith("transceiver.max_inflight_transfers_per_peer: must be a whole number")


def test_one_bad_fault_does_not_hide_the_next(tmp_path: Path) -> None:
    faults = [{"kind": "fail", "ranks": ["x"]}, {"kind": "stall", "ranks": [99]}]
    told = problems_in(tmp_path, minimal(faults=faults))
    assert [line.partition(":")[0] for line in told] == ["faults.0.ranks.0", "faults.1.ranks.0"]


@pytest.mark.parametrize("missing", ["rate", "requests", "prompt_tokens", "output_tokens"])
def test_a_missing_key_does_not_hide_the_other_relations(tmp_path: Path, missing: str) -> None:
    workload = {**POISSON, "cancel": {"delay": {"min": "2s"}}}
    del workload[missing]
    told = problems_in(tmp_path, minimal(workload=workload))
    named = {line.partition(":")[0] for line in told}
    assert named == {f"workload.{missing}", "workload.cancel.delay.min"}


@pytest.mark.parametrize("kind", ["context", "generation"])
def test_a_bad_topology_leaves_the_rest_to_be_judged(tmp_path: Path, kind: str) -> None:
    topology = {"context": {"ranks": 2}, "generation": {"ranks": 2}} | {kind: {}}
    told = problems_in(tmp_path, minimal(topology=topology, kv_cache={"blocks": 2}))
    assert [line.partition(":")[0] for line in told] == [
        f"topology.{kind}.ranks",
        "kv_cache.blocks",
    ]
