"""What `adpkv calibrate` does: reads runs, fits, says errors, writes the sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adpkv.calibration.crowding import alike, by_crowding, is_told
from adpkv.calibration.errors import Error, errors_of, held_out, of_experiments
from adpkv.calibration.fit import fitted
from adpkv.calibration.samples import RunSamples, read_run
from adpkv.config.calibration import CalibrationConfig
from adpkv.errors import UsageError
from adpkv.whole_files import is_open, write_whole

__all__ = ["Calibration", "calibrated", "places", "write"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration, for jobs with so many ranks on a core, and the experiments it was fitted
    on."""

    ranks_per_core: float
    section: CalibrationConfig
    experiments: list[str]
    is_told: bool = True
    """All of its runs say how many ranks shared a core; else it is a guess for some."""


def calibrated(
    paths: Sequence[Path], check: Sequence[Path]
) -> tuple[list[Calibration], list[Error]]:
    """A calibration for each number of ranks on a core among the runs of `paths`, and errors on
    runs that were not fitted on.

    With `check` the errors are on those runs; without, on each experiment by itself, fitted on the
    others; none where there is only one.

    Raises:
        UsageError: a folder is no real run with a timeline that ended well, or is given twice.
    """
    _check_distinct([*paths, *check])
    runs = [read_run(path) for path in paths]
    errors: list[Error] = []
    found = [
        Calibration(
            shared,
            fitted(*alike(runs, own[0])),
            [_named(*one) for one in of_experiments(own).items()],
            is_told=all(map(is_told, own)),
        )
        for shared, own in by_crowding(runs).items()
    ]
    if check:
        for own in of_experiments([read_run(path) for path in check]).values():
            for same in by_crowding(own).values():
                errors += errors_of(same, fitted(*alike(runs, same[0])))
    elif len(of_experiments(runs)) > 1:
        errors = held_out(runs)
    return found, errors


def _check_distinct(paths: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UsageError(f"{path}: is given twice")
        seen.add(path.resolve())


def _named(name: str, own: Sequence[RunSamples]) -> str:
    return f"{name} ({len(own)} runs)" if len(own) > 1 else name


def places(output: Path, found: Sequence[Calibration]) -> list[Path]:
    """Where each calibration goes: to `output`, or if there are several, beside it with the ranks
    on a core in its name.

    Raises:
        UsageError: there are several, and `output` is no file: nothing is beside a pipe.
    """
    if len(found) == 1:
        return [output]
    if is_open(output) or (output.exists() and not output.is_file()):
        kinds = f"the runs are of {len(found)} kinds, each with a file of its own"
        raise UsageError(f"{output}: {kinds}: name a file")
    return [
        output.with_name(f"{output.stem}-{one.ranks_per_core:g}-ranks-a-core{output.suffix}")
        for one in found
    ]


def write(path: Path, text: str) -> None:
    """Write it whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise UsageError(f"{path}: cannot write here: {error.strerror or error}") from error
