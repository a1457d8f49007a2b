"""The faults' section: what goes wrong on the wire, aimed by rank, peer, request and time.

A fault hits a transfer when everything it names fits; what it leaves out (null) fits anything.
Random ones are drawn from the experiment's seed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adpkv.config.base import Count, Duration, Fraction, Natural, Section, Switch, duration

__all__ = ["FaultConfig"]


class FaultConfig(Section):
    """One thing that goes wrong with some transfers."""

    kind: Literal["delay", "stall", "fail"] = Field(
        description="bytes come later; stop (for a time or for ever); the transfer fails"
    )
    ranks: tuple[Natural, ...] | None = Field(
        default=None, description="world ranks on whose side it happens; null for any"
    )
    peers: tuple[Natural, ...] | None = Field(
        default=None, description="world ranks at the other end; null for any"
    )
    requests: tuple[Natural, ...] | None = Field(
        default=None, description="requests, numbered by arrival from 0; null for any"
    )
    phase: Literal["post", "expect"] = Field(
        default="post", description="on the sender's side as it writes, or on the receiver's"
    )
    probability: Fraction = Field(default=1.0, description="chance that a fitting transfer is hit")
    count: Count | None = Field(
        default=None, description="hits after which it is over; null for no end"
    )
    after_ns: Duration = duration("0s", key="after", about="not before this time of the run")
    before_ns: Duration | None = Field(
        default=None,
        alias="before",
        description="not from this time of the run on; null for no end",
    )
    duration_ns: Duration | None = Field(
        default=None,
        alias="duration",
        description="of a delay (required) or a stall (null: for ever); not for fail",
    )
    proven: Switch = Field(
        default=True, description="fail only: whether the end is proof that nobody writes any more"
    )
