"""The `faults` section: injected faults, aimed by rank, peer, request, phase and time.

A fault hits if all of its given keys fit; a key that is null fits anything. Random hits are drawn
from the experiment's seed. `fault_kinds` says which keys each kind needs.
"""

from typing import Literal

from pydantic import Field

from adpkv.config.base import Count, Duration, Fraction, Natural, Section, Size, Switch, duration

__all__ = ["FaultConfig"]


class FaultConfig(Section):
    """One injected fault, which hits some transfers, some messages or some ranks."""

    kind: Literal[
        "delay",
        "stall",
        "fail",
        "slow_link",
        "slow_first_contact",
        "handle_error",
        "refuse_registration",
        "false_completion",
        "write_after_cancel",
        "restart",
        "lose",
        "duplicate",
        "late",
        "reorder",
        "former_owner",
        "sigstop",
        "sigkill",
        "skew",
    ] = Field(description="what goes wrong: see Faults above")
    ranks: tuple[Natural, ...] | None = Field(
        default=None, description="world ranks on which it happens; null for any"
    )
    peers: tuple[Natural, ...] | None = Field(
        default=None, description="world ranks at the other end; null for any"
    )
    requests: tuple[Natural, ...] | None = Field(
        default=None, description="requests, numbered by arrival from 0; null for any"
    )
    phase: (
        Literal[
            "post",
            "expect",
            "withdraw",
            "advertise",
            "cached",
            "queued",
            "began",
            "ended",
            "never_started",
            "cancel",
            "unpacked",
            "intake",
            "sync",
            "flush",
            "step",
            "wait",
            "drain",
        ]
        | None
    ) = Field(
        default=None,
        description="when it happens: the phase of a transfer, the kind of message, or the phase "
        "of an iteration; null for the kind's default",
    )
    probability: Fraction = Field(default=1.0, description="chance of a hit where all else fits")
    count: Count | None = Field(
        default=None,
        description="most hits on each rank; null for no limit, or for one hit of a fault that"
        " happens at a point in time",
    )
    after_ns: Duration = duration("0s", key="after", about="not before this time of the run")
    before_ns: Duration | None = Field(
        default=None,
        alias="before",
        description="not from this time of the run on; null for no end; a fault that happens at a"
        " point in time is drawn between `after` and this, null for at `after`",
    )
    duration_ns: Duration | None = Field(
        default=None,
        alias="duration",
        description="how long it lasts, or by how much a clock is set ahead; null for a stall: for"
        " ever",
    )
    bandwidth_bytes_per_s: Size | None = Field(
        default=None, alias="bandwidth", description="slow_link only: bytes per second"
    )
    proven: Switch = Field(
        default=True, description="fail only: whether the end is proof that nobody writes any more"
    )
