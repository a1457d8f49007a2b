"""The diagnosis section: when ranks that wait for each other count as stuck."""

from __future__ import annotations

from adpkv.config.base import Duration, Section, duration

__all__ = ["DiagnosisConfig"]


class DiagnosisConfig(Section):
    """When the ranks of a job can no longer go on together, and who says so."""

    hang_timeout_ns: Duration = duration(
        "30s",
        key="hang_timeout",
        about="ranks that wait so long for another of their group are stuck; far above any step",
        gt=0,
    )
