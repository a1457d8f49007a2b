"""How long a healthy rank may take to react: the longest step, message delays, poll limits.

A limit on waiting for a rank must be longer than this, whatever an experiment sets. Otherwise time
inside a long step, on the way of a message or behind a poll limit would count as a failure. The
values are upper bounds, computed from the experiment's requests. If it does not list their lengths
(a trace), the KV pool limits them.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from adpkv.config.base import LARGEST
from adpkv.config.calibration import CalibrationConfig
from adpkv.config.model import CustomModelConfig, ModelConfig
from adpkv.config.serving import ExecutorConfig, KvCacheConfig
from adpkv.config.transceiver import TransceiverConfig
from adpkv.config.workload import (
    ClosedLoopConfig,
    CustomWorkloadConfig,
    PoissonConfig,
    ScriptConfig,
    TraceConfig,
    WorkloadConfig,
)
from adpkv.core.step_cost import Costs

__all__ = ["RANK_FAILURE_NS", "LegalSilence", "calibrated_ns", "legal_silence", "longest_step_ns"]

COLLECTIVES: Final = 4
"""Small collectives per iteration, that of the step included."""

NS_PER_S: Final = 1_000_000_000

RANK_FAILURE_NS: Final = 50_000_000
"""How long a group does nothing when one of its ranks has failed
(`worlds.virtual.paused_groups.NOTICE_NS`)."""


class LegalSilence(NamedTuple):
    """Upper bounds for a healthy rank, in nanoseconds, with one rank failure in its group."""

    look_ns: int
    """From one time that a rank reads its messages to the next."""
    late_ns: int
    """From when a limit of a transfer passes until its rank notices: the rank may be computing, or
    waiting for `executor.busy_wait`."""
    message_ns: int
    """From a message to another rank until its answer, or the last byte it sent before, is here."""
    proof_ns: int
    """From the quarantine of a receiver's blocks until the receiver has processed the proof that
    they are not touched any more. In between, the sender reads the cancel, its link finishes, and
    the end is processed on the sender and then here. With a poll limit, each may take several
    iterations. So long a transfer may also show no progress: with staging, because its chunk waits
    at both ends for the copies of others."""


def legal_silence(
    model: ModelConfig,
    executor: ExecutorConfig,
    cache: KvCacheConfig,
    transceiver: TransceiverConfig,
    workload: WorkloadConfig,
    staged_bytes: int = 0,
    calibration: CalibrationConfig | None = None,
    ranks: int = 1,
) -> LegalSilence:
    """Compute the bounds from the experiment's sections. `staged_bytes`: the size of a rank's
    staging area; a transfer may wait at each end until so much is packed or unpacked. `ranks`: of
    the largest group."""
    step_ns = longest_step_ns(model, executor, cache, workload)
    more_ns = calibrated_ns(calibration, executor, transceiver, cache, model, ranks)
    real_ns = ceil(step_ns * Fraction(model.time_scale)) if model.time_scale > 1 else step_ns
    small_ns = COLLECTIVES * model.collective_ns
    look_ns = with_stalls(real_ns + small_ns + more_ns, calibration)
    late_ns = with_stalls(max(real_ns, executor.busy_wait_ns) + small_ns + more_ns, calibration)
    message_ns, link_ns = transceiver.mail_latency_ns, transceiver.link.latency_ns
    if calibration is not None:
        # A message goes out when the iteration has come to it.
        message_ns = max(message_ns, calibration.messages.longest_ns + more_ns)
        link_ns = max(link_ns, calibration.transfers.latency_ns)
    ways_ns = 2 * message_ns + link_ns
    # At most as many transfers end on a rank at once as it has slots, or as there are requests.
    ends = max(1, min(transceiver.max_inflight_transfers, _most_requests(workload)))
    taken_ns = -(-ends // transceiver.poll_limit) * look_ns
    # The sender reads the cancel, then processes the ends; then this rank processes the ends. Its
    # first check is not counted, because the end counts as in time at that check.
    proof_ns = look_ns + taken_ns + (taken_ns - look_ns) + ways_ns
    copies_ns = -(-staged_bytes * NS_PER_S // transceiver.staging_bandwidth_bytes_per_s)
    proof_ns += 2 * copies_ns
    return LegalSilence(
        *(ns + RANK_FAILURE_NS for ns in (look_ns, late_ns, look_ns + ways_ns, proof_ns))
    )


def calibrated_ns(
    calibration: CalibrationConfig | None,
    executor: ExecutorConfig,
    transceiver: TransceiverConfig,
    cache: KvCacheConfig,
    model: ModelConfig,
    ranks: int,
) -> int:
    """By how much an iteration of a group of so many ranks is longer at most, as calibrated."""
    if calibration is None:
        return 0
    pool = cache.blocks * cache.block_tokens
    sequences = executor.max_batch_size
    prefill, decode = executor.token_budget, min(sequences * pool, LARGEST)
    step_ns = calibration.step.added_to(Costs(0, 0, 0, 0, 0)).step_ns(
        prefill, prefill * pool, sequences, decode
    )
    group_ns = max(
        (
            COLLECTIVES * one.collective_ns
            + max(one.iteration_ns, one.idle_ns)
            + one.sequence_ns * sequences
            + one.jitter.longest_ns
            for one in calibration.groups
        ),
        default=Fraction(0),
    )
    # The rank that has most of one thing to do may be another one than of the next.
    transfers, requests = calibration.transfers, calibration.requests
    kib = Fraction(pool * model.kv_bytes_per_token, 1024)
    ends = ranks * min(transceiver.poll_limit, transceiver.max_inflight_transfers)
    work_ns = sum(
        (
            work.most_ns(times, cache.blocks, kib)
            for work, times in (
                (transfers.posted, ranks * transceiver.max_inflight_transfers),
                (transfers.sent, ends),
                (transfers.received, ends),
                (requests.prefilled, 1),
                (requests.assigned, ranks * executor.max_requests_per_rank),
                (requests.advertised, ranks * executor.max_requests_per_rank),
                (requests.answered, ranks * executor.max_requests_per_rank),
            )
        ),
        Fraction(0),
    )
    return ceil(step_ns + group_ns + calibration.messages.notice.longest_ns + work_ns)


def with_stalls(ns: int, calibration: CalibrationConfig | None) -> int:
    """How long something of `ns` takes at most with the stalls that it meets. It meets one in each
    window that it lasts into, and they are at most half of a window (`checks.limits`)."""
    stalls = [] if calibration is None else [one.stalls for one in calibration.groups]
    longest_ns = max((one.length.longest_ns for one in stalls if one.every_ns), default=0)
    return 2 * ns + 4 * longest_ns if longest_ns else ns


def longest_step_ns(
    model: ModelConfig,
    executor: ExecutorConfig,
    cache: KvCacheConfig,
    workload: WorkloadConfig,
) -> int:
    """An upper bound of one step in nanoseconds: the largest batch of prefill or of decode that a
    rank can get. For a custom model it is `model.longest_step`."""
    if isinstance(model, CustomModelConfig):
        return model.longest_step_ns
    pool = (cache.blocks - 1) * cache.block_tokens
    requests, longest, total = _sizes(workload, executor.max_requests_per_rank, pool)
    computed = min(executor.token_budget, total)
    sequences = min(executor.max_batch_size, requests)
    read = min(sequences * longest, total, pool)
    costs = model.costs
    prefill_ns = costs.step_ns(prefill_tokens=computed, prefill_pairs=longest * computed)
    decode_ns = costs.step_ns(sequences=sequences, context_tokens=read)
    return ceil(max(prefill_ns, decode_ns))


def _most_requests(workload: WorkloadConfig) -> int:
    """How many requests there are at most; `LARGEST` if the experiment does not say."""
    match workload:
        case CustomWorkloadConfig():
            return LARGEST
        case TraceConfig():
            return workload.limit or LARGEST
        case ScriptConfig():
            return sum(one.times for one in workload.requests)
        case PoissonConfig() | ClosedLoopConfig():
            return workload.requests


def _sizes(workload: WorkloadConfig, most: int, pool: int) -> tuple[int, int, int]:
    """(requests, tokens of the longest one, tokens of all) that one rank may have at once.

    Args:
        most: the most requests that a rank may own.
        pool: the tokens that a rank's KV pool holds. A longer request is refused.
    """
    match workload:
        case TraceConfig() | CustomWorkloadConfig():
            requests, longest, total = most, pool, most * pool
        case ScriptConfig():
            requests = longest = total = 0
            for one in workload.requests:
                tokens, times = min(one.prompt_tokens + one.output_tokens, pool), one.times
                requests += times
                longest = max(longest, tokens)
                total += tokens * times
        case PoissonConfig() | ClosedLoopConfig():
            requests = workload.requests
            if isinstance(workload, ClosedLoopConfig):
                requests = min(requests, workload.users)
            longest = min(workload.prompt_tokens.max + workload.output_tokens.max, pool)
            total = requests * longest
    requests = min(requests, most)
    return requests, longest, min(total, requests * longest)
