"""The request log: one line each, and what the tally keeps of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adpkv.config.serving import SloConfig
from adpkv.core.record import RequestRecord
from adpkv.core.values import Outcome
from adpkv.output import RequestLog, Tally
from adpkv.output.requests import decode_record

COMPLETED: dict[str, Any] = {
    "request_id": 1,
    "arrival_ns": 100,
    "prompt_tokens": 64,
    "output_tokens": 5,
    "outcome": Outcome.COMPLETED,
    "detail": "",
    "first_token_ns": 150,
    "ended_ns": 400,
    "context_queue_ns": 20,
    "prefill_ns": 10,
    "kv_transfer_ns": 20,
    "decode_queue_ns": 50,
    "decode_ns": 200,
    "tokens": 5,
    "responses": 1,
}


def _tally(*changes: dict[str, Any]) -> Tally:
    tally = Tally()
    for change in changes:
        tally.add(RequestRecord(**{**COMPLETED, **change}))
    return tally


def test_a_record_is_one_line(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "r")
    log.write(RequestRecord(**COMPLETED))
    log.write(RequestRecord(**{**COMPLETED, "request_id": 2}))
    log.close()
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [line["request_id"] for line in lines] == [1, 2]
    assert lines[0] == {**lines[0], **COMPLETED}
    assert log.tally.submitted == 2


def test_a_completed_request_gives_every_latency() -> None:
    tally = _tally({})
    assert list(tally.ttft_ns) == [50]
    assert list(tally.e2e_ns) == [300]
    assert list(tally.tpot_ns) == [62.5], "(e2e - ttft) / (n - 1)"
    assert list(tally.context_ttft_ns) == [30]
    assert list(tally.queue_wait_ns) == [70]
    assert sum(samples[0] for samples in tally.columns_ns) == 300


def test_one_token_has_no_time_per_output_token() -> None:
    tally = _tally({"tokens": 1})
    assert (len(tally.e2e_ns), len(tally.tpot_ns)) == (1, 0)


def test_what_kept_the_objective_is_counted() -> None:
    slo = SloConfig.model_validate({"ttft": "50ns", "tpot": "62ns"})
    tally = Tally(slo)
    tally.add(RequestRecord(**COMPLETED))
    assert tally.good == 0, "62.5 ns a token"
    tally.add(RequestRecord(**{**COMPLETED, "ended_ns": 398}))
    assert tally.good == 1
    tally.add(RequestRecord(**{**COMPLETED, "tokens": 1}))
    assert tally.good == 2, "one token has no time per output token to miss"
    tally.add(RequestRecord(**{**COMPLETED, "first_token_ns": 151}))
    assert tally.good == 2


def test_the_first_failures_by_number_are_named() -> None:
    failed = [{"request_id": 30 - i, "outcome": Outcome.FAILED} for i in range(20)]
    tally = _tally(*failed, {"outcome": Outcome.CANCELLED, "request_id": 0}, {})
    assert [record.request_id for record in tally.failures] == list(range(11, 21))


def test_outcomes_add_up_and_only_completed_requests_are_timed() -> None:
    others = (Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.FAILED)
    tally = _tally({}, *({"outcome": outcome} for outcome in others))
    assert tally.submitted == 4
    assert {tally.outcomes[outcome] for outcome in (Outcome.COMPLETED, *others)} == {1}
    assert len(tally.e2e_ns) == len(tally.ttft_ns) == len(tally.queue_wait_ns) == 1


def test_missing_responses_are_counted() -> None:
    tally = _tally({"responses": 0}, {"responses": 1})
    assert tally.terminal == 1


@pytest.mark.parametrize("value", [10**30, -(10**30)])
def test_a_time_that_no_run_has_is_no_record(value: int) -> None:
    line = json.dumps({**COMPLETED, "arrival_ns": value}).encode()
    with pytest.raises(ValueError, match="out of range"):
        decode_record(line)
