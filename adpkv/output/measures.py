"""How well a run served: latency, rates and utilisation, as `summary.json` has them.

docs/metrics.md has the formula of each, and which requests it covers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adpkv.core.columns import COLUMNS
from adpkv.core.gap_counts import GapCounts
from adpkv.core.report import RankReport, by_instance
from adpkv.core.token_gaps import together
from adpkv.core.topology import Topology
from adpkv.core.values import Outcome
from adpkv.output.requests import Tally

__all__ = ["distribution", "gap_distribution", "latency", "rates", "utilisation"]

NS_PER_S: Final = 1e9


def distribution(samples_ns: Sequence[float]) -> dict[str, float | None]:
    """Percentiles (nearest rank), mean and maximum in seconds; null where there is no sample."""
    if not samples_ns:
        return dict.fromkeys(("p50", "p90", "p99", "mean", "max"))
    ordered = sorted(samples_ns)
    count = len(ordered)
    # The nearest rank is the smallest sample that at least p percent of all do not exceed.
    nearest = {f"p{p}": ordered[-(-count * p // 100) - 1] / NS_PER_S for p in (50, 90, 99)}
    return {**nearest, "mean": sum(ordered) / count / NS_PER_S, "max": ordered[-1] / NS_PER_S}


def gap_distribution(gaps: GapCounts) -> dict[str, float | None]:
    """The same of the gaps between tokens; a percentile is that of its bucket, 0.1 % wide."""
    count = gaps.count
    if not count:
        return distribution(())
    found: dict[str, float | None] = {}
    for percent in (50, 90, 99):
        left = -(-count * percent // 100)
        for gap_ns, times in gaps.buckets:
            left -= times
            if left <= 0:
                found[f"p{percent}"] = gap_ns / NS_PER_S
                break
    mean_s = gaps.total_ns / count / NS_PER_S
    return {**found, "mean": mean_s, "max": gaps.longest_ns / NS_PER_S}


def latency(tally: Tally, reports: Sequence[RankReport]) -> dict[str, dict[str, float | None]]:
    """Of completed requests, each a distribution in seconds."""
    return {
        "ttft_s": distribution(tally.ttft_ns),
        "context_ttft_s": distribution(tally.context_ttft_ns),
        "itl_s": gap_distribution(together(report.gaps for report in reports)),
        "tpot_s": distribution(tally.tpot_ns),
        "e2e_s": distribution(tally.e2e_ns),
        "queue_wait_s": distribution(tally.queue_wait_ns),
        **{
            f"{column}_s": distribution(samples)
            for column, samples in zip(COLUMNS, tally.columns_ns, strict=True)
        },
    }


def rates(
    tally: Tally,
    reports: Sequence[RankReport],
    transfers: Mapping[str, int] | None,
    *,
    has_slo: bool,
) -> dict[str, float | None]:
    """Per second between the first arrival and the last answer, and shares. `transfers` are those
    of the summary; None if receivers keep nothing, so that they cannot have any of it already."""
    seconds = tally.serving_ns / NS_PER_S
    outcomes, submitted = tally.outcomes, tally.submitted
    failed = outcomes[Outcome.FAILED] + outcomes[Outcome.TIMED_OUT]
    cached = sum(report.work.cached_tokens for report in reports)
    good = tally.good if has_slo else None
    kept = None if transfers is None else transfers["bytes_cached"]
    sent = 0 if transfers is None else transfers["bytes"]
    return {
        "serving_s": seconds if submitted else None,
        "requests_per_s": _share(outcomes[Outcome.COMPLETED], seconds),
        "output_tokens_per_s": _share(tally.output_tokens, seconds),
        "prompt_tokens_per_s": _share(tally.prompt_tokens, seconds),
        "error_rate": _share(failed, submitted),
        "goodput_per_s": _share(good, seconds),
        "slo_attainment": _share(good, submitted - outcomes[Outcome.CANCELLED]),
        "prefix_hit_rate": _share(cached, sum(report.work.prompt_tokens for report in reports)),
        "received_hit_rate": _share(kept, (kept or 0) + sent),
    }


def utilisation(
    topology: Topology, reports: Sequence[RankReport], run_s: float
) -> dict[str, dict[str, float | None]]:
    """By instance: the share of the run's time in steps and in own computing, the share of the
    steps' time that went into waiting for slower ranks, and what a step computes. A rank whose
    clock ran ahead in a step was not in steps for longer than the run."""
    found: dict[str, dict[str, float | None]] = {}
    told = by_instance(reports)
    for instance in topology.instances:
        works = [report.work for report in told.get(instance.index, ())]
        steps = max((work.steps for work in works), default=0)
        in_steps_s = sum(min(work.step_ns / NS_PER_S, run_s) for work in works)
        own_s = sum(min(work.own_ns / NS_PER_S, run_s) for work in works)
        found[instance.name] = {
            "step_share": _share(in_steps_s, run_s * len(works)),
            "compute_share": _share(own_s, run_s * len(works)),
            "step_wait_share": _share(in_steps_s - own_s, in_steps_s),
            "steps": steps,
            "tokens_per_step": _share(sum(work.tokens for work in works), steps),
        }
    return found


def _share(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole > 0 else None
