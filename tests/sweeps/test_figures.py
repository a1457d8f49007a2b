"""Figures by name."""

from __future__ import annotations

import pytest

import adpkv
from adpkv.errors import UsageError
from adpkv.sweeps.figures import column_for, flat, known_figures


@pytest.fixture(scope="module")
def known() -> dict[str, object]:
    return dict(known_figures(adpkv.load("quickstart")))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("goodput", "rates.goodput_per_s"),
        ("error_rate", "rates.error_rate"),
        ("ttft_p99", "latency.ttft_s.p99"),
        ("e2e_mean", "latency.e2e_s.mean"),
        ("requests.failed", "requests.failed"),
        ("output_tokens_per_s", "rates.output_tokens_per_s"),
        ("violations", "violations"),
        ("wall", "wall_s"),
        ("makespan", "rates.serving_s"),
        ("outages", "outages"),
    ],
)
def test_a_name_leads_to_its_column(known: dict[str, object], name: str, column: str) -> None:
    assert column_for(name, known) == column


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gootput", "'gootput' is no figure of a run: did you mean goodput"),
        ("failed", "'failed' may be requests.failed or transfers.failed: give the whole name"),
        ("outcome", "'outcome' is no figure of a run"),
        ("zzzz", "'zzzz' is no figure of a run: docs/metrics.md lists the figures"),
    ],
)
def test_what_is_no_figure(known: dict[str, object], name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        column_for(name, known)
    assert str(caught.value).startswith(said)


def test_the_figures_are_known_before_anything_has_run(known: dict[str, object]) -> None:
    run = adpkv.simulate("quickstart", set={"workload.requests": 5})
    assert set(flat(run.to_dict())) == set(known)
