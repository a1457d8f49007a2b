"""How one rank was at a time: one line of `ranks.jsonl` (docs/outputs.md)."""

from __future__ import annotations

import msgspec

__all__ = ["RankSample"]


class RankSample(msgspec.Struct, frozen=True):
    """One rank at `at_ns`, nanoseconds since the run began.

    States hold since the rank's last line, but for what came and went between them. Counters are
    totals since the run began.
    """

    at_ns: int
    rank: int
    free: int
    cached: int
    active: int
    in_transfer: int
    quarantined: int
    """KV blocks by state; they add up to the rank's pool."""
    requests: int
    """Requests that it has, from assignment to answer."""
    running: int
    """Those that are being computed."""
    transfers: int
    """Its transfers under way."""
    doubtful: int
    """Its transfers in quarantine."""
    healthy: bool
    steps: int
    """Forward steps of its group so far."""
    step_ns: int
    """The time in them."""
    own_ns: int
    """The part of that time in which this rank itself computed; the rest it waited."""
    tokens: int
    """Tokens so far: computed prompt tokens of a context rank, made ones of a generation rank."""
