"""The diagnosis section: when ranks count as stuck, and what is kept of what they did."""

from __future__ import annotations

from pydantic import Field

from adpkv.config.base import Duration, Section, duration

__all__ = ["DiagnosisConfig"]


class DiagnosisConfig(Section):
    """When the ranks of a job can no longer go on together, and what is known about them then."""

    hang_timeout_ns: Duration = duration(
        "30s",
        key="hang_timeout",
        about="ranks that wait so long for another of their group are stuck; far above any step",
        gt=0,
    )
    ring: int = Field(
        default=4096,
        strict=True,
        ge=16,
        le=100_000,
        description="records of 64 bytes that each rank's flight recorder keeps, the newest ones",
    )
