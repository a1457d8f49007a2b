"""Pairs of experiments end as they have to: twice as slow, in other places, with a fault less."""

from __future__ import annotations

import pytest

from tests.fuzz.hunting import hunted, replay
from tests.fuzz.metamorphic import beside_its_double, doubled, twice
from tests.worlds.virtual.seeds import batch, first_quarter

PAIRS = ("doubled", "permuted", "relieved")


@pytest.mark.slow
@pytest.mark.parametrize("hunter", PAIRS)
@pytest.mark.parametrize("first", first_quarter(160))
def test_any_pair(hunter: str, first: int) -> None:
    hunts = {replay(hunter, seed): hunted(hunter, seed).found for seed in batch(first)}
    assert {command: wrong for command, wrong in hunts.items() if wrong} == {}


@pytest.mark.parametrize("hunter", PAIRS)
def test_some_pairs(hunter: str) -> None:
    hunts = {replay(hunter, seed): hunted(hunter, seed).found for seed in range(1000, 1005)}
    assert {command: wrong for command, wrong in hunts.items() if wrong} == {}


def test_what_comes_in_the_next_instant_is_doubled_too() -> None:
    """a rank failure told of a transfer that a slow link still held, and a post to the failed
    ranks."""
    data = {
        "name": "told-soon",
        "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
        "kv_cache": {"block_tokens": 16},
        "workload": {"kind": "trace", "limit": 12, "speed": 16.0},
        "transceiver": {
            "max_inflight_transfers": 1,
            "max_inflight_transfers_per_peer": 1,
            "link": {"bandwidth": "1MiB"},
        },
        "faults": [
            {"kind": "slow_link", "bandwidth": "64KiB"},
            {"kind": "sigkill", "ranks": [1], "after": "300ms", "phase": "step"},
        ],
    }
    assert beside_its_double(data) == []


def test_every_duration_is_doubled_and_every_rate_halved() -> None:
    data = {
        "name": "twice",
        "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
        "model": {"per_sequence": "12.5ns", "time_scale": 3.0},
        "workload": {
            "kind": "poisson",
            "rate": 10.0,
            "requests": 1,
            "prompt_tokens": {"min": 1, "max": 1},
            "output_tokens": {"min": 1, "max": 1},
        },
        "faults": [{"kind": "slow_link", "bandwidth": "64KiB", "after": "1ms"}],
    }
    found = twice(data)
    assert found["executor"]["queue_timeout"] == "1200s"
    assert found["model"]["per_sequence"] == "25ns"
    assert found["model"]["time_scale"] == 3.0
    assert found["transceiver"]["link"]["bandwidth"] == "5368709120B"
    assert found["workload"]["rate"] == 5.0
    assert found["faults"][0]["bandwidth"] == "32768B"
    assert found["faults"][0]["after"] == "2ms"
    assert found["faults"][0]["duration"] is None


def test_pairs_are_worth_it() -> None:
    """Faults do fault in them, and not all of them are alike."""
    faults = [len(doubled(seed)[0]["faults"]) for seed in range(20)]
    assert max(faults) > 1
