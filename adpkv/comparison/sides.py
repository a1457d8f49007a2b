"""What is compared: sides, each of them the runs of one experiment with different seeds.

Given are folders of runs, and of sweeps, whose points are a side each. Runs that differ in nothing
but their seed belong to one side. If then all are on one side, each run is a side by itself: two
real runs of the same experiment, say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv import __version__
from adpkv.config import Experiment, load
from adpkv.config.problem import dotted
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.folder_files import read_json
from adpkv.results import load_run
from adpkv.results.summary import typed
from adpkv.sweeps.folder import SweepFolder, is_sweep
from adpkv.sweeps.plan import settings_text
from adpkv.sweeps.result import of_folder

__all__ = ["ComparedRun", "Side", "read_sides"]

NOT_COMPARED: Final = ("name", "seed", "sweep", "observe", "regression")
"""Sections and keys in which the runs of one side may differ: they change no figure, or are what
the runs are for."""

MOST_SETTINGS: Final = 3
"""How many differing settings name a side."""

Flat = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run of a side."""

    seed: int
    summary: Mapping[str, Any]
    folder: Path | None
    """None where the run has left none: its requests are not known then."""


@dataclass(frozen=True, slots=True)
class Side:
    """One experiment."""

    label: str
    runs: tuple[ComparedRun, ...]

    @property
    def seeds(self) -> list[int]:
        """Of its runs, in their order."""
        return [run.seed for run in self.runs]


@dataclass(frozen=True, slots=True)
class _Read:
    name: str
    settings: Flat
    """Where it may differ from others: every value by its path, and the world."""
    run: ComparedRun


def read_sides(paths: Sequence[Path]) -> list[Side]:
    """The sides, in the order in which they are first named.

    Raises:
        UsageError: a folder is no run's and no sweep's, versions differ, or there is one side only.
    """
    found: list[_Read] = []
    for path in paths:
        found += _of_sweep(path) if is_sweep(path) else [_of_run(path)]
    given: set[Path] = set()
    for path in paths:
        if path.resolve() in given:
            raise UsageError(f"{path}: is given twice")
        given.add(path.resolve())
    versions = {str(read.run.summary.get("adpkv", "")): read.name for read in found}
    if len(versions) > 1:
        told = ", ".join(f"{name} by adpkv {by or 'unknown'}" for by, name in versions.items())
        raise UsageError(f"made by different versions, whose figures may differ for that: {told}")
    grouped: dict[str, list[_Read]] = {}
    for read in found:
        grouped.setdefault(repr(sorted(read.settings.items())), []).append(read)
    groups = list(grouped.values())
    if len(groups) == 1:
        groups = [[read] for read in found]
    if len(groups) < 2:
        raise UsageError("one run alone cannot be compared: give two or more")
    labels = _labels(groups)
    return [
        Side(label, tuple(read.run for read in group))
        for label, group in zip(labels, groups, strict=True)
    ]


def _of_run(path: Path) -> _Read:
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise UsageError(f"{path}: there is no config.yaml, so this is no run's; and no sweep's")
    summary = load_run(path).to_dict() if not folder.summary.exists() else _summary(folder)
    experiment = load(folder.config, installed=False)
    settings = _flat(experiment) | {"world": summary["world"]}
    return _Read(str(path), settings, ComparedRun(experiment.seed, summary, path))


def _summary(folder: RunFolder) -> dict[str, Any]:
    try:
        found = read_json(folder.summary)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder.summary}: this is no summary of a run: {error}") from error
    if not isinstance(found, dict) or found.get("adpkv") != __version__:
        by = found.get("adpkv") if isinstance(found, dict) else None
        raise UsageError(
            f"{folder.path}: made by {f'adpkv {by}' if by else 'another version'}, and this is "
            f"{__version__}: figures of two versions are not to be compared"
        )
    return _checked(found, str(folder.summary))


def _checked(summary: dict[str, Any], of: str) -> dict[str, Any]:
    """A summary that somebody may have edited, or cut off, since a run wrote it.

    Raises:
        UsageError: it has not all that one has.
    """
    try:
        typed(summary)
    except msgspec.ValidationError as error:
        raise UsageError(f"{of}: this is no summary of a run: {error}") from error
    return summary


def _of_sweep(path: Path) -> list[_Read]:
    opened = SweepFolder.read(path)
    plan, made = opened.plan, of_folder(opened)
    found = []
    for run in made.runs:
        if run.summary is None:
            continue
        settings = _flat(plan.experiment(run.settings)) | {"world": plan.world}
        folder = None if run.folder is None else Path(run.folder)
        if folder is not None and not folder.is_dir():
            folder = None
        name = f"{path}: {settings_text(run.settings)}"
        summary = _checked(run.summary, f"{path}: point {run.point}, seed {run.seed}")
        found.append(_Read(name, settings, ComparedRun(run.seed, summary, folder)))
    if not found:
        raise UsageError(f"{path}: no run of this sweep has a summary")
    return found


def _flat(experiment: Experiment) -> Flat:
    values = experiment.model_dump(by_alias=True)
    return dict(
        _leaves((), {key: value for key, value in values.items() if key not in NOT_COMPARED})
    )


def _leaves(above: tuple[str | int, ...], value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, one in value.items() for leaf in _leaves((*above, key), one)]
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        return [leaf for at, one in enumerate(value) for leaf in _leaves((*above, at), one)]
    return [(dotted(above), value)]


def _labels(groups: Sequence[Sequence[_Read]]) -> list[str]:
    """By the settings in which they differ, or by folder where that says nothing or too much."""
    each = [group[0].settings for group in groups]
    keys = dict.fromkeys(key for settings in each for key in settings)
    differing = [key for key in keys if len({repr(one.get(key)) for one in each}) > 1]
    if not differing or len(differing) > MOST_SETTINGS:
        return [group[0].name for group in groups]
    return [settings_text({key: one.get(key) for key in differing}) for one in each]
