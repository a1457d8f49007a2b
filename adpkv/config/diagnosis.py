"""The `diagnosis` section: when ranks count as stuck, and how much of their history is kept."""

from pydantic import Field

from adpkv.config.base import Duration, Section

__all__ = ["DiagnosisConfig"]


class DiagnosisConfig(Section):
    """When the ranks of a job count as stuck, and how much of their history is recorded."""

    hang_timeout_ns: Duration | None = Field(
        default=None,
        gt=0,
        alias="hang_timeout",
        description="ranks that wait this long for another of their group are stuck; must be "
        "longer than any step; null for 30s, or more if steps can be long",
    )
    ring: int = Field(
        default=4096,
        strict=True,
        ge=16,
        le=100_000,
        description="how many records, of 64 bytes, each rank's flight recorder keeps",
    )
