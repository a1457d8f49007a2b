"""Why a run got stuck, as typed values: what `deadlock.json` says, from memory or from the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adpkv.diagnosis.conclude import deadlock_values
from adpkv.errors import StuckError

__all__ = ["DeadlockReport", "RankPlace", "of_error", "of_values"]


class RankPlace(msgspec.Struct, frozen=True):
    """Where a rank was when the job got stuck: in which collective, or in which wait of its own."""

    rank: int
    kind: str
    site: str
    iteration: int


class DeadlockReport(msgspec.Struct, frozen=True, kw_only=True):
    """`print(report)` is the report as the command line shows it.

    `error` says how it was noticed (`mismatch`, `deadlock`, `livelock`), `kind` what it is, where
    that is known. `outliers` are the ranks that differ from the `others` of their `group`. What is
    nested is as in `deadlock.json` (docs/diagnosis.md).
    """

    error: str
    message: str
    places: list[RankPlace]
    kind: str = ""
    diagnosis: str = ""
    at_s: float | None = None
    group: str = ""
    outliers: list[int] = []
    others: list[int] = []
    why: list[dict[str, Any]] = []
    classes: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    graph: dict[str, Any] = {}
    pinned: list[dict[str, Any]] = []
    requests: list[int] = []
    stories: list[dict[str, Any]] = []
    replay: str = ""
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.message


def of_error(error: StuckError) -> DeadlockReport:
    """The report of an error, which has been examined."""
    return of_values(deadlock_values(error))


def of_values(values: Mapping[str, Any]) -> DeadlockReport:
    """The report that `deadlock.json` holds.

    Raises:
        msgspec.ValidationError: it is not of this version.
    """
    return msgspec.convert(values, DeadlockReport, strict=False)
