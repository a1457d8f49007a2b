"""How long a rank may be silent though all is well: what its longest step and its messages take.

Whoever waits for a rank must be more patient than this, whatever limit an experiment sets: time
inside a legal step, on the way of a message, or in the line behind a poll limit is nobody's
silence. What is told here is a bound, from what the experiment says of its requests; where it says
nothing (a trace) the KV pool bounds them.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from adpkv.config.base import LARGEST
from adpkv.config.model import CostModelConfig, CustomModelConfig
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

__all__ = ["RANK_FAILURE_NS", "LegalSilence", "legal_silence", "longest_step_ns"]

COLLECTIVES: Final = 4
"""Small ones in an iteration, a step's own included."""

RANK_FAILURE_NS: Final = 50_000_000
"""For so long a group stands still when one of it has failed
(`worlds.virtual.paused_groups.NOTICE_NS`)."""


class LegalSilence(NamedTuple):
    """Bounds of legal silence, a loss in a group included. Nanoseconds."""

    look_ns: int
    """From one look of a rank at its messages to the next."""
    late_ns: int
    """From when something is due for a transfer until its rank sees it: nothing wakes a rank for
    that, which computes, or waits for `busy_wait`."""
    message_ns: int
    """From a question to another rank until its answer, or the last byte that it had sent, is
    there."""
    proof_ns: int
    """From a receiver's doubt until it has taken in the proof that nothing touches its blocks: its
    cancel is seen, the link gets quiet, and that end is taken in, at its sender and then here. A
    poll limit makes that more looks than one."""


def legal_silence(
    model: CostModelConfig | CustomModelConfig,
    executor: ExecutorConfig,
    cache: KvCacheConfig,
    transceiver: TransceiverConfig,
    workload: WorkloadConfig,
) -> LegalSilence:
    """How patient everybody must be."""
    step_ns = longest_step_ns(model, executor, cache, workload)
    real_ns = ceil(step_ns * Fraction(max(model.time_scale, 1)))
    small_ns = COLLECTIVES * model.collective_ns
    look_ns = real_ns + small_ns
    late_ns = max(real_ns, executor.busy_wait_ns) + small_ns
    ways_ns = 2 * transceiver.mail_latency_ns + transceiver.link.latency_ns
    # What ends at one rank at once was in flight there: as many as there are slots, or requests.
    ends = max(1, min(transceiver.max_inflight_transfers, _most_requests(workload)))
    taken_ns = -(-ends // transceiver.poll_limit) * look_ns
    # One look at the cancel and those at the end, at its sender; then those here, but for the
    # first, which is in time however late it is.
    proof_ns = look_ns + taken_ns + (taken_ns - look_ns) + ways_ns
    return LegalSilence(
        *(ns + RANK_FAILURE_NS for ns in (look_ns, late_ns, look_ns + ways_ns, proof_ns))
    )


def longest_step_ns(
    model: CostModelConfig | CustomModelConfig,
    executor: ExecutorConfig,
    cache: KvCacheConfig,
    workload: WorkloadConfig,
) -> int:
    """What the most that a rank may be given costs: it prefills, or it decodes. Of a model that is
    not ours, what the experiment says."""
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
    """How many requests there are; as many as can be where nothing says it."""
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
    """(requests, tokens of the longest, tokens of all) that one rank may have at once. A request
    that is longer than the pool is refused."""
    match workload:
        case TraceConfig() | CustomWorkloadConfig():
            requests, longest, total = most, pool, most * pool
        case ScriptConfig():
            sizes = [
                (one.prompt_tokens + one.output_tokens, one.times) for one in workload.requests
            ]
            fits = [(min(tokens, pool), times) for tokens, times in sizes]
            requests = sum(times for _, times in fits)
            longest = max((tokens for tokens, _ in fits), default=0)
            total = sum(tokens * times for tokens, times in fits)
        case PoissonConfig() | ClosedLoopConfig():
            requests = workload.requests
            if isinstance(workload, ClosedLoopConfig):
                requests = min(requests, workload.users)
            longest = min(workload.prompt_tokens.max + workload.output_tokens.max, pool)
            total = requests * longest
    requests = min(requests, most)
    return requests, longest, min(total, requests * longest)
