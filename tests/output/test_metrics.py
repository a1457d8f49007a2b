"""The page of figures: what Prometheus reads back is what was put in; the text names each."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from adpkv.core.values import Outcome
from adpkv.errors import MissingPieceError
from adpkv.executor.messages import Pulse, UnhealthyRank
from adpkv.output.metrics import Figures, Metrics, ServerFigures

TEXT = Path(__file__).parents[2] / "docs" / "launching.md"

PULSE = Pulse(
    running=3,
    waiting=4,
    in_transfer=5,
    quarantined=6,
    unhealthy=(UnhealthyRank(2, ("no_progress",)),),
    tokens=700,
    iterations=80,
    collectives=320,
    collectives_ns=1_500_000_000,
    transfers_cached=9,
    bytes_cached=4_096,
)
FIGURES = Figures(
    outcomes=dict.fromkeys(Outcome, 0) | {Outcome.COMPLETED: 11, Outcome.FAILED: 2},
    submitted=20,
    servers=[ServerFigures("context-0", Pulse(), 0.25), ServerFigures("generation-1", PULSE, 1.5)],
    unready={"silent": 0, "no_progress": 1},
    lost=1,
)


def samples(accepts: str = "") -> dict[tuple[str, str], float]:
    """(name, value of its label or nothing) of every sample on the page."""
    body, kind = Metrics().page(FIGURES, accepts)
    parsed = open_families if "openmetrics" in kind else plain_families
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in parsed(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accepts", ["", "application/openmetrics-text; version=1.0.0"])
def test_what_is_read_back_is_what_was_put_in(accepts: str) -> None:
    found = samples(accepts)
    assert found["adpkv_requests_total", "completed"] == 11
    assert found["adpkv_requests_total", "failed"] == 2
    assert ("adpkv_requests_total", "prefilled") not in found
    assert found["adpkv_requests_submitted_total", ""] == 20
    wanted = {
        "requests_running": 3,
        "requests_waiting": 4,
        "transfers_in_flight": 5,
        "transfers_quarantined": 6,
        "instance_healthy": 0,
        "tokens_total": 700,
        "iterations_total": 80,
        "collectives_total": 320,
        "collectives_seconds_total": 1.5,
        "transfers_cached_total": 9,
        "transfer_bytes_cached_total": 4_096,
        "instance_since_progress_seconds": 1.5,
    }
    assert {name: found[f"adpkv_{name}", "generation-1"] for name in wanted} == wanted
    assert found["adpkv_instance_healthy", "context-0"] == 1
    assert found["adpkv_unready_reasons", "no_progress"] == 1
    assert found["adpkv_ready", ""] == 0
    assert found["adpkv_ranks_lost", ""] == 1


def test_the_text_names_every_metric_and_no_other() -> None:
    told = set(re.findall(r"`(adpkv_\w+)", TEXT.read_text(encoding="utf-8")))
    assert told == {name for name, _ in samples()}


def test_a_missing_package_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    with pytest.raises(MissingPieceError, match=r"pip install 'adpkv\[http\]'"):
        Metrics()
