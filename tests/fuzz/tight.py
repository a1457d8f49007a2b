"""Clean experiments whose limits are as short as they may be, and what they wait for is long.

Limits are meant to fit each other, whatever they are: nothing is wrong with such a run but that it
is slow, so nobody may be ill, in doubt at the end, or given up by the wrong side.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from adpkv.config.validation import validate
from tests.fuzz.experiments import Swarm, experiment

__all__ = ["tight"]

CLEAN: Final = Swarm(given=0.3, extreme=0.05, faults=0)

OURS: Final[dict[tuple[str, str], tuple[Any, ...]]] = {
    ("transceiver", "progress_deadline"): ("1ns", "1ms", "100ms"),
    ("transceiver", "shutdown_grace"): ("1ns", "1ms"),
    ("transceiver", "transfer_timeout"): ("1ms", "100ms", "1s", "5s"),
    ("transceiver", "wait_timeout"): ("1ms", "1s", "5s", "300s"),
    ("transceiver", "poll_limit"): (1, 1, 2, 3),
    ("transceiver", "mail_latency"): ("0s", "1ms", "500ms", "5s"),
    ("transceiver", "max_inflight_transfers"): (1, 2, 8, 64),
    ("transceiver", "max_inflight_transfers_per_peer"): (1, 2, 8),
    ("transceiver", "link"): (
        {"latency": "0s", "bandwidth": "1KiB"},
        {"latency": "20us", "bandwidth": "1MiB"},
        {"latency": "1s", "bandwidth": "64KiB"},
        {"latency": "10s", "bandwidth": "16B"},
    ),
    ("executor", "drain_timeout"): ("1ns", "1ms", "1s"),
    ("executor", "queue_timeout"): ("1ms", "1s", "600s"),
    ("executor", "busy_wait"): ("1ms", "1s", "100s"),
    ("executor", "idle_wait"): ("500ms", "100s", "300s"),
    ("model", "collective"): ("0s", "1ms", "100ms", "2s"),
    ("model", "step_base"): ("0s", "1ms", "1s", "30s"),
    ("model", "per_prefill_token"): ("0s", "20us", "100ms"),
}
"""Most of them are given, each one of these."""

GIVEN: Final = 0.6
ATTEMPTS: Final = 100


def tight(seed: int) -> dict[str, Any]:
    """The experiment of a seed."""
    for attempt in range(ATTEMPTS):
        draw = Random(f"tight {seed} {attempt}")
        data = experiment(seed, CLEAN)
        for section in ("policy", "observe", "diagnosis"):
            data.pop(section, None)
        for (section, key), values in OURS.items():
            if draw.random() < GIVEN:
                data.setdefault(section, {})[key] = draw.choice(values)
        if data["workload"]["kind"] == "script":
            for asked in data["workload"]["requests"]:
                asked["times"] = draw.choice((1, 8, 30))
        if not validate(data)[1]:
            return data
    raise AssertionError(f"no tight experiment of seed {seed} is valid")
