"""A sweep as one value: `Sweep`, with a record for each run and data frames of all figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from adpkv.errors import MissingPieceError
from adpkv.sweeps.figures import Cell, column_for, flat
from adpkv.sweeps.folder import SweepFolder
from adpkv.sweeps.plan import settings_text
from adpkv.sweeps.row import RunRow, table_rows

__all__ = ["Sweep", "SweepPoint", "described", "load_sweep", "of_folder", "points_of"]


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point with its runs, one for each seed."""

    number: int
    settings: Mapping[str, Any]
    runs: tuple[RunRow, ...]

    def values(self, figure: str) -> list[float]:
        """A figure of each run that has it, by its name in docs/metrics.md or for short.

        Raises:
            UsageError: it is no figure.
        """
        summed = [flat(run.summary) for run in self.runs if run.summary is not None]
        if not summed:
            return []
        column = column_for(figure, dict.fromkeys(key for one in summed for key in one))
        found = [one.get(column) for one in summed]
        return [float(value) for value in found if isinstance(value, int | float)]

    def mean(self, figure: str) -> float | None:
        """The mean of a figure over the seeds; None where no run has it."""
        values = self.values(figure)
        return statistics.fmean(values) if values else None


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """All runs of a sweep that have ended."""

    name: str
    axes: tuple[str, ...]
    """The paths of what is varied."""
    runs: tuple[RunRow, ...]
    """In order of points and seeds."""
    total: int
    """How many runs there are when it is complete."""
    folder: Path | None = None

    @property
    def failed(self) -> tuple[RunRow, ...]:
        """The runs that did not complete."""
        return tuple(run for run in self.runs if not run.ok)

    @property
    def points(self) -> tuple[SweepPoint, ...]:
        """The runs by point."""
        return points_of(self.runs)

    def rows(self) -> list[dict[str, Cell]]:
        """The table: a flat mapping for each run, all with the same keys."""
        return table_rows(self.runs)

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`.

        Raises:
            MissingPieceError: pandas is not installed.
        """
        try:
            return import_module("pandas").DataFrame(self.rows())
        except ImportError:
            raise MissingPieceError("a data frame needs pandas: pip install pandas") from None

    def without_folder(self) -> Sweep:
        """The same sweep for a folder that is about to be removed."""
        runs = tuple(msgspec.structs.replace(run, folder=None) for run in self.runs)
        return replace(self, folder=None, runs=runs)

    def __repr__(self) -> str:
        return f"<Sweep of {self.name}: {len(self.runs)} of {self.total} runs>"


def points_of(runs: Sequence[RunRow]) -> tuple[SweepPoint, ...]:
    """The runs by point, in order."""
    found: dict[int, list[RunRow]] = {}
    for run in sorted(runs, key=lambda run: (run.point, run.seed)):
        found.setdefault(run.point, []).append(run)
    return tuple(
        SweepPoint(number, of_point[0].settings, tuple(of_point))
        for number, of_point in found.items()
    )


def load_sweep(path: Path) -> Sweep:
    """The sweep in a folder, also one that was interrupted or is going on.

    Raises:
        UsageError: it is no sweep's.
    """
    return of_folder(SweepFolder.read(path))


def of_folder(found: SweepFolder) -> Sweep:
    """What is in an open folder."""
    runs = tuple(sorted(found.rows, key=lambda run: (run.point, run.seed)))
    axes = tuple(axis.path for axis in found.plan.axes)
    return Sweep(found.plan.name, axes, runs, found.plan.runs, found.path)


def described(run: RunRow) -> str:
    """Which run it is, and how it ended."""
    where = f"{settings_text(run.settings)}, seed {run.seed}"
    error = run.error.partition("\n")[0]
    return f"{where}: {run.outcome}" + (f": {error}" if error else "")
