"""A run with faults and a sweep, made once and only looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

import adpkv

FAULTS = [
    {"kind": "stall", "probability": 0.05, "duration": "8s"},
    {"kind": "delay", "probability": 0.05, "duration": "300ms"},
]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 requests of the quickstart, with faults: some are cancelled, some time out, and
    transceivers are unhealthy."""
    folder = tmp_path_factory.mktemp("report") / "run"
    adpkv.simulate(
        "quickstart",
        set={
            "workload.requests": 100,
            "workload.rate": 30,
            "slo": {"ttft": "200ms", "tpot": "30ms"},
            "faults": FAULTS,
            "transceiver.transfer_timeout": "1s",
            "transceiver.progress_deadline": "3s",
        },
        out=folder,
    )
    return folder


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two axes of two and three values, two seeds."""
    folder = tmp_path_factory.mktemp("report") / "sweep"
    adpkv.sweep(
        "quickstart",
        set={"workload.requests": 30, "faults": FAULTS[:1], "slo": {"ttft": "500ms"}},
        vary={
            "transceiver.transfer_timeout": ["100ms", "1s", "20s"],
            "transceiver.max_inflight_transfers_per_peer": [1, 4],
        },
        seeds=2,
        jobs=1,
        out=folder,
    )
    return folder
