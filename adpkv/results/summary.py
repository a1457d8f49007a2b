"""`summary.json` as typed values; docs/metrics.md says what each figure is and covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adpkv.exit_codes import ExitCode

__all__ = ["Distribution", "Summary", "typed"]


class Distribution(msgspec.Struct, frozen=True):
    """Percentiles (nearest rank), mean and maximum, in seconds; None where there is no sample."""

    p50: float | None
    p90: float | None
    p99: float | None
    mean: float | None
    max: float | None


class Latency(msgspec.Struct, frozen=True):
    """Of completed requests, in seconds. The columns, from `coordinator_queue_s` on, are parts of
    a request's time; their means add up to that of `e2e_s`."""

    ttft_s: Distribution
    context_ttft_s: Distribution
    itl_s: Distribution
    tpot_s: Distribution
    e2e_s: Distribution
    queue_wait_s: Distribution
    coordinator_queue_s: Distribution
    context_queue_s: Distribution
    prefill_s: Distribution
    hand_over_s: Distribution
    block_wait_s: Distribution
    slot_wait_s: Distribution
    peer_slot_wait_s: Distribution
    kv_transfer_s: Distribution
    decode_queue_s: Distribution
    decode_s: Distribution
    lost_attempts_s: Distribution


class RequestCounts(msgspec.Struct, frozen=True):
    """The outcomes add up to `submitted`. `never_arrived` is None where nobody knows it."""

    submitted: int
    completed: int
    cancelled: int
    timed_out: int
    failed: int
    refused: int
    never_arrived: int | None


class Failure(msgspec.Struct, frozen=True):
    """One of the first requests that failed or timed out."""

    request: int
    outcome: str
    detail: str


class Responses(msgspec.Struct, frozen=True):
    """Terminal responses that clients got; a duplicate is a violation."""

    terminal: int
    duplicates: int


class Transfers(msgspec.Struct, frozen=True):
    """KV transfers, each counted once; `quarantined_peak` is the worst rank's. Of the completed
    ones, `cached` moved no byte, as their receivers had all of the KV; `bytes_cached` is what
    receivers had, so that it was not sent."""

    completed: int
    failed: int
    cancelled: int
    timed_out: int
    late: int
    bytes: int
    quarantined_peak: int
    quarantined_now: int
    bytes_cached: int = 0
    cached: int = 0


class Blocks(msgspec.Struct, frozen=True):
    """Where the KV blocks of an instance are at the end."""

    total: int
    free: int
    cached: int
    active: int
    in_transfer: int
    quarantined: int
    leaked: int


class Staging(msgspec.Struct, frozen=True):
    """Where the staging slots of all ranks are at the end."""

    total: int
    free: int
    quarantined: int


class Rates(msgspec.Struct, frozen=True):
    """Per second between the first arrival and the last answer, and shares between 0 and 1; None
    where there is nothing to measure."""

    serving_s: float | None
    requests_per_s: float | None
    output_tokens_per_s: float | None
    prompt_tokens_per_s: float | None
    error_rate: float | None
    goodput_per_s: float | None
    slo_attainment: float | None
    prefix_hit_rate: float | None
    received_hit_rate: float | None = None


class Utilisation(msgspec.Struct, frozen=True):
    """How an instance spent its time: the share in steps, how many, and tokens in each; the share
    in which its ranks computed themselves, and the share of the steps' time that they waited for
    slower ranks."""

    step_share: float | None
    steps: int
    tokens_per_step: float | None
    compute_share: float | None = None
    step_wait_share: float | None = None


class Collectives(msgspec.Struct, frozen=True):
    """Counted once per group; `mean_us` is None where there was none."""

    count: int
    mismatches: int
    mean_us: float | None
    over: str | None = None
    """What carried them, of real ranks: `shared_memory` or `mpi`."""


class Health(msgspec.Struct, frozen=True):
    """Of the transceivers."""

    unhealthy_intervals: int
    first_unhealthy_s: float | None
    reasons: list[str]


class Avoided(msgspec.Struct, frozen=True):
    """A rank that got no requests for a while after failures of its own: how often, how many probes
    it got, how often one of them was served, for how long in all, and whether it is so at the end.
    """

    rank: int
    instance: str
    times: int
    probes: int
    readmitted: int
    for_s: float
    now: bool


class OutageTold(msgspec.Struct, frozen=True):
    """An instance that was taken out of service: why, from when, when it had no request any more,
    and when it was put in again (None: it was not); how many requests were taken from it, and which
    spare stepped in."""

    instance: str
    why: str
    from_s: float
    drained_s: float | None
    until_s: float | None
    taken: int
    spare: str | None


class MissedMaintenance(msgspec.Struct, frozen=True):
    """An entry of `topology.maintenance` that took no instance out, and why."""

    entry: int
    instance: str
    after_s: float
    why: str


class Found(msgspec.Struct, frozen=True):
    """A violation of the contract, as the summary lists it."""

    kind: str
    rank: int
    at_s: float
    detail: str


class BrokenOff(msgspec.Struct, frozen=True):
    """Why a run ended without the agreement of its ranks."""

    why: str
    unanswered: int | None


class OutputLost(msgspec.Struct, frozen=True):
    """What could not be written, and how the run itself ended."""

    files: list[str]
    outcome: str
    exit_code: ExitCode


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in one value, with the same fields in both worlds.

    `simulated_s` is None where time was real. `blocks` and `utilisation` are by the instance's
    name, `faults` by kind. `staging` is None without it. `lost` are ranks that failed.
    """

    adpkv: str
    """The version that made the run."""
    build: str = "python"
    """Of which build that was: `python`, or `compiled`."""
    world: str
    transport: str = ""
    """What moved the KV, and below where it was; `virtual` for the link and the ledger."""
    memory: str = ""
    ranks: int
    ranks_per_core: float | None = None
    """How many real ranks shared a core on the host of rank 0; None in virtual time, and where a
    run was broken off."""
    seed: int
    outcome: str
    exit_code: ExitCode
    broken_off: BrokenOff | None
    lost: list[int]
    recomputed: int
    wall_s: float
    simulated_s: float | None
    iterations: int
    requests: RequestCounts
    failures: list[Failure]
    responses: Responses
    transfers: Transfers
    blocks: dict[str, Blocks]
    staging: Staging | None = None
    latency: Latency
    rates: Rates
    utilisation: dict[str, Utilisation]
    collectives: Collectives
    health: Health
    avoided: list[Avoided] = []
    outages: list[OutageTold] = []
    maintenance_missed: list[MissedMaintenance] = []
    violations: list[Found]
    faults: dict[str, int]
    unfired: list[str]
    output_lost: OutputLost | None = None


def typed(summary: Mapping[str, Any]) -> Summary:
    """The typed values of `summary.json`.

    Raises:
        msgspec.ValidationError: it is no summary of this version.
    """
    return msgspec.convert(summary, Summary, strict=False)
