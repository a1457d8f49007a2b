"""The diagnosis section: when ranks count as stuck, and what is kept of what they did."""

from __future__ import annotations

from pydantic import Field

from adpkv.config.base import Duration, Section

__all__ = ["DiagnosisConfig"]


class DiagnosisConfig(Section):
    """When the ranks of a job can no longer go on together, and what is known about them then."""

    hang_timeout_ns: Duration | None = Field(
        default=None,
        gt=0,
        alias="hang_timeout",
        description="ranks that wait so long for another of their group are stuck; more than any "
        "step; null for 30s, or more where steps can be long",
    )
    ring: int = Field(
        default=4096,
        strict=True,
        ge=16,
        le=100_000,
        description="records of 64 bytes that each rank's flight recorder keeps, the newest ones",
    )
