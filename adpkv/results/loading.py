"""The folder of a run as a `Result`: of one that ended, was broken off, or was killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from adpkv import __version__
from adpkv.config import Experiment, load
from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import RINGS
from adpkv.output import BrokenOff, RunFolder, build_summary
from adpkv.output.folder_files import read_json
from adpkv.output.losses import with_losses
from adpkv.output.requests import Tally
from adpkv.output.samples import read_samples
from adpkv.output.story_files import RunFiles
from adpkv.output.story_words import Event
from adpkv.results.records import Events, Requests, Samples
from adpkv.results.report import DeadlockReport, of_values
from adpkv.results.result import Result
from adpkv.results.summary import Summary, typed

__all__ = ["load_run", "summary_so_far", "written_summary"]


def load_run(path: Path | str) -> Result:
    """The result of a run from its folder, the same as from `simulate` or `run`.

    A run that was killed has no `summary.json`: then one is made of what it had written, with
    `broken_off` saying so. Lines that cannot be read are left out and named in `Result.damage`.

    Raises:
        UsageError: it is no folder of a run.
    """
    folder = RunFolder(Path(path))
    if not os.path.isdir(folder.path):
        raise UsageError(f"{folder.path}: there is no such folder")
    if not folder.config.is_file():
        raise UsageError(f"{folder.path}: there is no config.yaml, so this is no run's")
    experiment = load(folder.config, installed=False)
    files = RunFiles(folder, experiment.topology.build())
    requests = list(files.all_records())
    events = _events(files)
    summary = written_summary(folder)
    if summary is None:
        tally = Tally(experiment.slo)
        for record in requests:
            tally.add(record)
        last_ns = max((event[0] for event in events), default=0)
        summary = summary_so_far(experiment, folder, tally, last_ns)
    return Result(
        experiment=experiment,
        summary=summary,
        requests=Requests(requests),
        events=Events(events),
        samples=Samples(list(read_samples(folder))),
        report=_report(folder),
        folder=folder.path,
        damage=tuple(files.damage.told()),
    )


def _events(files: RunFiles) -> list[Any]:
    folder = files.folder
    if not folder.events.exists() and not folder.events_parts():
        return []  # it was made without
    found = [event for event in files.events(None) if isinstance(event, Event)]
    return [(one.at_ns, one.rank, one.kind, one.request, one.detail) for one in found]


def written_summary(folder: RunFolder) -> Summary | None:
    """What `summary.json` says; None where there is none.

    Raises:
        UsageError: it is no summary of this version.
    """
    found: Any = None
    try:
        found = read_json(folder.summary)
        return typed(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        by = found.get("adpkv") if isinstance(found, dict) else __version__
        other = "" if by == __version__ else f" of adpkv {__version__}, but of {by or 'another'}"
        raise UsageError(
            f"{folder.summary}: this is no summary of a run{other}: {error}"
        ) from error


def summary_so_far(
    experiment: Experiment, folder: RunFolder, tally: Tally, last_ns: int
) -> Summary:
    """The summary of a run whose processes were all killed, or that is still at work: `tally` has
    its requests, and `last_ns` is the time of the last event."""
    real = bool(folder.events_parts()) or (folder.path / RINGS).is_dir()
    return typed(
        with_losses(
            build_summary(
                "mpi" if real else "virtual",
                experiment,
                [],
                tally,
                wall_s=last_ns / 1e9,
                simulated_s=None if real else last_ns / 1e9,
                broken_off=BrokenOff.killed(),
            ),
            (),
        )
    )


def _report(folder: RunFolder) -> DeadlockReport | None:
    try:
        return of_values(read_json(folder.deadlock))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{folder.deadlock}: this is no deadlock report: {error}") from error
