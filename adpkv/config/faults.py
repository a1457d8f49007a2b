"""The faults' section: what goes wrong, aimed by rank, peer, request, phase and time.

A fault hits when everything it names fits; what it leaves out (null) fits anything. Random ones are
drawn from the experiment's seed. What each kind needs is in `fault_kinds`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adpkv.config.base import Count, Duration, Fraction, Natural, Section, Size, Switch, duration

__all__ = ["FaultConfig"]


class FaultConfig(Section):
    """One thing that goes wrong with some transfers, some messages or some ranks."""

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
        default=None, description="world ranks on whose side it happens; null for any"
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
            "queued",
            "began",
            "ended",
            "never_started",
            "cancel",
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
        description="of a transfer, a message or an iteration; null for the kind's first, or any",
    )
    probability: Fraction = Field(default=1.0, description="chance that what fits is hit")
    count: Count | None = Field(
        default=None,
        description="hits of each rank after which it is over; null for no end,"
        " or for one hit where it happens at an instant",
    )
    after_ns: Duration = duration("0s", key="after", about="not before this time of the run")
    before_ns: Duration | None = Field(
        default=None,
        alias="before",
        description="not from this time of the run on; null for no end; where it happens at an"
        " instant: drawn from `after` to here, null for right then",
    )
    duration_ns: Duration | None = Field(
        default=None,
        alias="duration",
        description="how long it lasts, or by how much a clock is ahead; a stall's null: for ever",
    )
    bandwidth_bytes_per_s: Size | None = Field(
        default=None, alias="bandwidth", description="slow_link only: bytes per second"
    )
    proven: Switch = Field(
        default=True, description="fail only: whether the end is proof that nobody writes any more"
    )
