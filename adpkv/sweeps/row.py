"""One run of a sweep as a record, and a sweep's records as flat rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from adpkv.config import units
from adpkv.exit_codes import ExitCode
from adpkv.sweeps.figures import Cell, flat
from adpkv.sweeps.plan import value_text

__all__ = ["RunRow", "Task", "cells_of", "numeric", "table_rows"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One run to make: what a worker is given."""

    point: int
    seed: int
    settings: dict[str, Any]
    data: dict[str, Any]
    """The experiment's sections, without the settings of the point."""
    world: str
    out: str | None = None
    """The folder that the run leaves; None: no folder."""
    limit_s: float | None = None


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """How one run of a sweep ended: one line of `runs.jsonl`."""

    point: int
    seed: int
    settings: dict[str, Any]
    outcome: str
    """That of `summary.json`; `usage`: it could not be run; `killed`, `time_limit`: its process was
    ended."""
    exit_code: int | None
    """What the command line would have ended with; None where it was ended at its time limit."""
    error: str = ""
    """Why it did not complete; empty where it did."""
    wall_s: float = 0.0
    summary: dict[str, Any] | None = None
    """`summary.json`; None where there is none."""
    folder: str | None = None
    """Where the run's files are; None where it has none."""

    @property
    def ok(self) -> bool:
        """Did it complete?"""
        return self.exit_code == ExitCode.COMPLETED


IDENTITY: Final = ("point", "seed")
ENDING: Final = ("outcome", "exit_code", "error", "folder")


def cells_of(settings: Mapping[str, object]) -> dict[str, Cell]:
    """The settings of a point as columns: as they are written, and durations and sizes as numbers
    too (`transceiver.transfer_timeout_s`, `workload.x_bytes`)."""
    found: dict[str, Cell] = {}
    for path, value in settings.items():
        scalar = value is None or isinstance(value, int | float | str)
        found[path] = value if scalar else value_text(value)  # type: ignore[assignment]
        for unit, number in numeric(value).items():
            found[f"{path}{unit}"] = number
    return found


def numeric(value: object) -> dict[str, float | int]:
    """A duration in seconds by `_s`, a size in bytes by `_bytes`; empty for everything else."""
    if not isinstance(value, str):
        return {}
    try:
        return {"_s": float(units.parse_fine_duration(value)) / units.SECOND}
    except ValueError:
        pass
    try:
        return {"_bytes": units.parse_size(value)}
    except ValueError:
        return {}


def table_rows(rows: Iterable[RunRow]) -> list[dict[str, Cell]]:
    """A flat mapping for each run, all with the same keys: settings, how it ended, every figure. In
    order of points and seeds."""
    ordered = sorted(rows, key=lambda row: (row.point, row.seed))
    settings = _all_keys([cells_of(row.settings) for row in ordered])
    figures = _all_keys([flat(row.summary) for row in ordered if row.summary is not None])
    # What a run says of itself is there once, and the figures of a run without a summary are not.
    columns = [name for name in figures if name not in (*IDENTITY, *ENDING, "wall_s")]
    found = []
    for row in ordered:
        told = cells_of(row.settings)
        summed = {} if row.summary is None else flat(row.summary)
        found.append(
            {key: getattr(row, key) for key in IDENTITY}
            | {key: told.get(key) for key in settings}
            | {key: getattr(row, key) for key in ENDING}
            | {"wall_s": row.wall_s}
            | {key: summed.get(key) for key in columns}
        )
    return found


def _all_keys(mappings: Sequence[Mapping[str, Cell]]) -> list[str]:
    return list(dict.fromkeys(key for one in mappings for key in one))
