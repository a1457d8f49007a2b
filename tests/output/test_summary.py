"""The summary: the documented keys, sums that count once, nearest-rank percentiles."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adpkv.config import Experiment
from adpkv.core.record import RequestRecord
from adpkv.core.report import BlockCounts, RankReport, TransferCounts
from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome, Violation
from adpkv.errors import DeadlockError
from adpkv.output import BrokenOff, Tally, build_summary
from adpkv.output.measures import distribution


def _report(rank: int, instance: int, **changes: Any) -> RankReport:
    fields: dict[str, Any] = {
        "rank": rank,
        "instance": instance,
        "exit_code": 0,
        "stop": None,
        "iterations": 10,
        "collectives": 30,
        "collectives_ns": 60_000,
        "mismatches": 0,
        "transfers": TransferCounts(completed=2, bytes=64, quarantined_peak=rank),
        "blocks": BlockCounts(total=8, free=5, cached=3),
    }
    return RankReport(**{**fields, **changes})


def _reports(**changes: Any) -> list[RankReport]:
    return [_report(0, 0), _report(1, 1), _report(2, 1, **changes)]


def _summary(experiment: Experiment, reports: list[RankReport], **more: Any) -> dict[str, Any]:
    tally = more.pop("tally", Tally())
    times = {"wall_s": 1.5, "simulated_s": 9.0}
    return build_summary("virtual", experiment, reports, tally, **times, **more)


def test_a_rank_without_a_report_is_lost_and_so_is_one_that_failed_after_it(
    experiment: Experiment,
) -> None:
    assert _summary(experiment, _reports())["lost"] == []
    without = _summary(experiment, _reports()[:2])
    assert (without["lost"], without["outcome"], without["exit_code"]) == ([2], "rank_lost", 5)
    after = _summary(experiment, _reports(), lost=[1])
    assert (after["lost"], after["exit_code"]) == ([1], 5)
    shrinks = experiment.model_copy(update={"on_rank_failure": "shrink"})
    went_on = _summary(shrinks, _reports()[:2])
    assert (went_on["lost"], went_on["outcome"], went_on["exit_code"]) == ([2], "completed", 0)
    assert _summary(shrinks, [])["exit_code"] == 5, "nobody is left to go on"


def test_the_keys_are_those_of_the_documentation(experiment: Experiment) -> None:
    summary = _summary(experiment, _reports())
    statistics = {"p50", "p90", "p99", "mean", "max"}
    assert ", ".join(summary) == (
        "adpkv, build, world, transport, memory, ranks, ranks_per_core, seed, outcome, exit_code,"
        " broken_off, lost, recomputed, wall_s, simulated_s,"
        " iterations, requests, failures, responses, transfers, blocks, staging, latency,"
        " rates, utilisation, collectives, health, avoided, outages,"
        " maintenance_missed, violations, faults, unfired"
    )
    assert set(summary["requests"]) == {
        "submitted", "completed", "cancelled", "timed_out", "failed", "refused", "never_arrived"
    }  # fmt: skip
    assert set(summary["responses"]) == {"terminal", "duplicates"}
    assert set(summary["transfers"]) == {
        "completed", "failed", "cancelled", "timed_out", "late", "bytes", "quarantined_peak",
        "quarantined_now", "bytes_cached", "cached",
    }  # fmt: skip
    assert set(summary["blocks"]) == {"context-0", "generation-1"}
    assert set(summary["blocks"]["context-0"]) == {
        "total", "free", "cached", "active", "in_transfer", "quarantined", "leaked"
    }  # fmt: skip
    assert set(summary["latency"]) == {
        "ttft_s", "context_ttft_s", "itl_s", "tpot_s", "e2e_s", "queue_wait_s",
        "coordinator_queue_s", "context_queue_s", "prefill_s", "hand_over_s", "block_wait_s",
        "slot_wait_s", "peer_slot_wait_s", "kv_transfer_s", "decode_queue_s", "decode_s",
        "lost_attempts_s",
    }  # fmt: skip
    assert set(summary["rates"]) == {
        "serving_s", "requests_per_s", "output_tokens_per_s", "prompt_tokens_per_s", "error_rate",
        "goodput_per_s", "slo_attainment", "prefix_hit_rate", "received_hit_rate",
    }  # fmt: skip
    assert set(summary["utilisation"]["context-0"]) == {
        "step_share", "compute_share", "step_wait_share", "steps", "tokens_per_step"
    }  # fmt: skip
    assert all(set(latency) == statistics for latency in summary["latency"].values())
    assert set(summary["collectives"]) == {"count", "mismatches", "mean_us", "over"}
    assert set(summary["health"]) == {"unhealthy_intervals", "first_unhealthy_s", "reasons"}


def test_a_clean_run(experiment: Experiment) -> None:
    summary = _summary(experiment, _reports())
    assert (summary["world"], summary["ranks"], summary["seed"]) == ("virtual", 3, 11)
    assert (summary["transport"], summary["memory"]) == ("virtual", "virtual")
    assert (summary["outcome"], summary["exit_code"]) == ("completed", 0)
    assert (summary["wall_s"], summary["simulated_s"]) == (1.5, 9.0)
    assert summary["violations"] == []


def test_what_a_group_does_together_counts_once(experiment: Experiment) -> None:
    summary = _summary(experiment, _reports(iterations=7, collectives=21))
    assert summary["iterations"] == 10 + 10
    assert summary["collectives"]["count"] == 30 + 30
    assert summary["collectives"]["mean_us"] == pytest.approx(180 / 81)


def test_a_transfer_counts_once_as_its_receiver_saw_it(experiment: Experiment) -> None:
    doubtful = TransferCounts(timed_out=1, late=1, quarantined_peak=5, quarantined_now=1)
    transfers = _summary(experiment, _reports(transfers=doubtful))["transfers"]
    assert (transfers["completed"], transfers["bytes"], transfers["timed_out"]) == (2, 64, 1)
    assert (transfers["quarantined_peak"], transfers["quarantined_now"]) == (5, 1)


def test_blocks_are_summed_over_an_instance(experiment: Experiment) -> None:
    blocks = _summary(experiment, _reports())["blocks"]
    assert (blocks["context-0"]["total"], blocks["generation-1"]["total"]) == (8, 16)
    assert blocks["generation-1"]["free"] == 10


def test_a_rank_that_never_reported_is_left_out(experiment: Experiment) -> None:
    summary = _summary(experiment, [_report(0, 0)], exit_codes=[5])
    assert (summary["outcome"], summary["exit_code"]) == ("rank_lost", 5)
    assert summary["blocks"]["generation-1"]["total"] == 0


def test_no_report_at_all_still_has_every_key(experiment: Experiment) -> None:
    summary = _summary(experiment, [], exit_codes=[70])
    assert summary["collectives"] == {
        "count": 0,
        "mismatches": 0,
        "mean_us": None,
        "over": None,
    }
    assert summary["outcome"] == "internal_error"


def test_the_worst_exit_code_wins(experiment: Experiment) -> None:
    assert _summary(experiment, _reports(exit_code=75), exit_codes=[130])["exit_code"] == 75


def test_a_violation_decides_the_outcome_and_is_listed_in_order_of_time(
    experiment: Experiment,
) -> None:
    late, early = Violation("leak", 2, 2_500_000_000, "b"), Violation("two_writers", -1, 1, "a")
    summary = _summary(experiment, _reports(violations=(late,)), violations=[early])
    assert (summary["outcome"], summary["exit_code"]) == ("violation", 4)
    assert summary["violations"] == [
        {"kind": "two_writers", "rank": -1, "at_s": 1e-9, "detail": "a"},
        {"kind": "leak", "rank": 2, "at_s": 2.5, "detail": "b"},
    ]


def test_health_names_the_first_moment_and_each_reason_once(experiment: Experiment) -> None:
    reports = [
        _report(0, 0, unhealthy_intervals=1, first_unhealthy_ns=9_000_000_000, reasons=("age",)),
        _report(1, 1, unhealthy_intervals=2, first_unhealthy_ns=4_000_000_000, reasons=("age",)),
        _report(2, 1),
    ]
    assert _summary(experiment, reports)["health"] == {
        "unhealthy_intervals": 3,
        "first_unhealthy_s": 4.0,
        "reasons": ["age"],
    }
    assert _summary(experiment, _reports())["health"]["first_unhealthy_s"] is None


def test_requests_and_latencies_come_from_the_tally(experiment: Experiment) -> None:
    tally = Tally()
    tally.add(
        RequestRecord(
            request_id=0,
            arrival_ns=0,
            prompt_tokens=1,
            output_tokens=1,
            outcome=Outcome.COMPLETED,
            detail="",
            first_token_ns=1_000_000_000,
            ended_ns=2_000_000_000,
            responses=1,
        )
    )
    summary = _summary(experiment, _reports(), tally=tally)
    assert summary["requests"]["submitted"] == summary["requests"]["completed"] == 1
    assert summary["responses"] == {"terminal": 1, "duplicates": 0}
    assert summary["latency"]["e2e_s"]["p50"] == 2.0
    assert summary["latency"]["ttft_s"]["p50"] == 1.0
    assert summary["latency"]["tpot_s"]["p50"] is None
    assert summary["rates"]["requests_per_s"] == 0.5


def test_duplicates_are_what_the_coordinator_reported(experiment: Experiment) -> None:
    twice = Violation("two_terminal_responses", 3, 5, "request 1: completed from rank 3")
    summary = _summary(experiment, _reports(), violations=[twice])
    assert summary["responses"]["duplicates"] == 1
    assert summary["exit_code"] == 4


def test_percentiles_are_nearest_rank() -> None:
    assert distribution([3e9, 1e9, 2e9, 4e9]) == {
        "p50": 2.0,
        "p90": 4.0,
        "p99": 4.0,
        "mean": 2.5,
        "max": 4.0,
    }
    hundred = distribution([n * 1e9 for n in range(1, 101)])
    assert (hundred["p50"], hundred["p90"], hundred["p99"]) == (50.0, 90.0, 99.0)
    assert distribution([1e9])["p50"] == 1.0


def test_what_broke_off_says_why_and_counts_what_is_known(experiment: Experiment) -> None:
    """Ranks that could not be asked are not failed, and those that could stood anywhere."""
    end = BrokenOff.by(DeadlockError("nobody can go on\nrank 1 is somewhere"), 7)
    parted = [msgspec.structs.replace(r, trace_length=r.rank, trace=r.rank) for r in _reports()[:2]]
    summary = _summary(experiment, parted, broken_off=end)
    assert (summary["outcome"], summary["exit_code"]) == ("deadlock", 3)
    assert summary["broken_off"] == {"why": "nobody can go on", "unanswered": 7}
    assert (summary["lost"], summary["violations"]) == ([], [])
    assert _summary(experiment, _reports())["broken_off"] is None
    bug = BrokenOff.by(KeyError("x"))
    assert (bug.exit_code, bug.why, bug.unanswered) == (70, "KeyError: 'x'", None)


def test_ill_health_that_cut_nobody_off_asks_for_no_restart(experiment: Experiment) -> None:
    assert _summary(experiment, _reports(exit_code=75), never_arrived=0)["exit_code"] == 0
    assert _summary(experiment, _reports(exit_code=75))["exit_code"] == 75
    more = {"never_arrived": 0, "retries_due": 1}
    assert _summary(experiment, _reports(exit_code=75), **more)["exit_code"] == 75


def test_beside_a_75_it_is_said_what_was_ill(experiment: Experiment) -> None:
    """Who was ill has failed since; the others know what it proposed."""
    reports = _reports(exit_code=75, stop=StopReason(75, "in words", ("no_progress",)))
    health = _summary(experiment, reports)["health"]
    assert health["reasons"] == ["no_progress"]  # type: ignore[index]
    assert health["unhealthy_intervals"] == 1  # type: ignore[index]
