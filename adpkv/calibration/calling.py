"""What `adpkv calibrate` does: reads runs, fits, says errors, writes the section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adpkv.calibration.errors import Error, errors_of, held_out, of_experiments
from adpkv.calibration.fit import fitted
from adpkv.calibration.samples import RunSamples, read_run
from adpkv.config.calibration import CalibrationConfig
from adpkv.errors import UsageError
from adpkv.whole_files import write_whole

__all__ = ["calibrated", "write"]


def calibrated(
    paths: Sequence[Path], check: Sequence[Path]
) -> tuple[CalibrationConfig, list[Error], list[str]]:
    """(the calibration on all runs of `paths`, errors on runs that were not fitted on, the names of
    the experiments fitted on).

    With `check` the errors are on those runs; without, on each experiment by itself, fitted on the
    others; none where there is only one.

    Raises:
        UsageError: a folder is no real run with a timeline that ended well, or is given twice.
    """
    _check_distinct([*paths, *check])
    runs = [read_run(path) for path in paths]
    calibration, experiments = fitted(runs), of_experiments(runs)
    errors: list[Error] = []
    if check:
        others = of_experiments([read_run(path) for path in check])
        for own in others.values():
            errors += errors_of(own, calibration)
    elif len(experiments) > 1:
        errors = held_out(runs)
    return calibration, errors, [_named(name, own) for name, own in experiments.items()]


def _check_distinct(paths: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UsageError(f"{path}: is given twice")
        seen.add(path.resolve())


def _named(name: str, own: Sequence[RunSamples]) -> str:
    return f"{name} ({len(own)} runs)" if len(own) > 1 else name


def write(path: Path, text: str) -> None:
    """Write it whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise UsageError(f"{path}: cannot write here: {error.strerror or error}") from error
