"""A burst of long prompts: the leader hands its group what a broadcast can carry, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.executor import leader
from tests.worlds.virtual.running import problems, run

REQUESTS = 60


def burst() -> dict[str, Any]:
    """Every user asks at once, each for a prompt of its own."""
    return {
        "name": "burst",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "kv_cache": {"block_tokens": 16, "blocks": 256},
        "workload": {
            "kind": "closed_loop",
            "users": REQUESTS,
            "requests": REQUESTS,
            "prompt_tokens": {"min": 512, "max": 1024},
            "output_tokens": {"min": 2, "max": 8},
        },
    }


@pytest.mark.parametrize("most", [1, 200, 1000])
def test_all_are_served_whatever_fits_in_one_broadcast(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(leader, "BROADCAST_IDS", most)
    ran = run(burst())
    assert ran.summary["requests"]["completed"] == REQUESTS
    assert problems(ran) == []
