"""Latency, rates and utilisation from what ranks and requests tell."""

from __future__ import annotations

import pytest

from adpkv.core.gap_counts import GapCounts
from adpkv.core.token_gaps import TokenGaps
from adpkv.output.measures import distribution, gap_distribution, rates
from adpkv.output.requests import Tally
from tests.worlds.virtual.running import run


def test_a_percentile_of_gaps_is_right_to_a_thousandth() -> None:
    gaps, samples = TokenGaps(), [1_000_003 * (k % 97 + 1) for k in range(1000)]
    for gap_ns in samples:
        gaps.add(gap_ns, 1)
    found, exact = gap_distribution(gaps.snapshot()), distribution(samples)
    for key, value in exact.items():
        assert value is not None
        assert found[key] == pytest.approx(value, rel=1e-3)
    assert (found["mean"], found["max"]) == (exact["mean"], exact["max"])


def test_without_a_token_there_is_no_gap() -> None:
    assert set(gap_distribution(GapCounts()).values()) == {None}


def test_a_run_without_requests_has_no_rates() -> None:
    assert set(rates(Tally(), [], None, has_slo=True).values()) == {None}


def test_a_clock_that_jumps_in_a_step_puts_no_rank_in_steps_for_longer_than_the_run() -> None:
    """Both ranks were in the same steps, for 100 ms; the clock of one of them gained 300 ms."""
    jump = {"kind": "skew", "ranks": [1], "after": "50ms", "duration": "300ms"}
    skewed, right = (
        run(
            {
                "name": "skewed",
                "topology": {"context": {"ranks": 2}, "generation": {"ranks": 1}},
                "model": {"step_base": "100ms"},
                "workload": {
                    "kind": "script",
                    "requests": [{"at": "0s", "prompt_tokens": 16, "output_tokens": 1}],
                },
                "faults": faults,
            }
        ).summary["utilisation"]["context-0"]["step_share"]
        for faults in ([jump], [])
    )
    assert right < skewed <= 1
