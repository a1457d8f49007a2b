"""A small experiment and its reports, for everything that sums a run up."""

from __future__ import annotations

import pytest

from adpkv import config
from adpkv.config import Experiment


@pytest.fixture
def experiment() -> Experiment:
    return config.parse(
        {
            "name": "tiny",
            "seed": 11,
            "topology": {"context": {"ranks": 1}, "generation": {"ranks": 2}},
            "workload": {
                "kind": "closed_loop",
                "users": 2,
                "requests": 4,
                "prompt_tokens": {"min": 64, "max": 128},
                "output_tokens": {"min": 1, "max": 4},
            },
        },
        "test",
    )
