"""Large jobs work: a thousand ranks in one group, four thousand in all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worlds.virtual.running import problems, run


def large(context: tuple[int, int], generation: tuple[int, int]) -> dict[str, Any]:
    """Few requests on many ranks: (instances, ranks of each)."""
    kinds = {"context": context, "generation": generation}
    return {
        "name": "large",
        "topology": {kind: {"instances": n, "ranks": r} for kind, (n, r) in kinds.items()},
        "kv_cache": {"block_tokens": 64, "blocks": 16},
        "workload": {
            "kind": "closed_loop",
            "users": 64,
            "requests": 96,
            "prompt_tokens": {"min": 64, "max": 512},
            "output_tokens": {"min": 2, "max": 8},
        },
    }


def _serves(data: dict[str, Any], ranks: int) -> None:
    ran = run(data)
    assert ran.summary["ranks"] == ranks
    assert ran.summary["requests"]["completed"] == 96
    assert problems(ran) == []


def test_a_thousand_ranks_in_one_group() -> None:
    _serves(large((1, 1024), (1, 8)), 1032)


@pytest.mark.slow
def test_four_thousand_ranks_in_all() -> None:
    _serves(large((2, 1024), (2, 1024)), 4096)
