"""Makes the report of a stuck job from its evidence, and writes it into the run's folder."""

from __future__ import annotations

import shlex
from typing import Any, Final

import msgspec

from adpkv.diagnosis.evidence import Evidence
from adpkv.diagnosis.pytorch_dump import write_fr_trace
from adpkv.diagnosis.render import report_text
from adpkv.diagnosis.report import Report, as_values, make_report, write_deadlock
from adpkv.errors import StuckError, UsageError
from adpkv.output.folder import RunFolder
from adpkv.output.losses import Losses
from adpkv.output.story import last_open, read_stories
from adpkv.output.story_text import as_values as story_values

__all__ = ["conclude", "deadlock_values", "error_text"]

MOST_STORIES: Final = 3
MOST_EVENTS: Final = 40
"""Events of one story in `deadlock.json`: its last ones."""


def conclude(folder: RunFolder, error: StuckError, seed: int, losses: Losses) -> None:
    """Make the report of an error that has evidence, and write `deadlock.json`.

    The events of the run must be on disk. What cannot be written is listed in `error.unwritten`.
    """
    error.folder = str(folder.path)
    if isinstance(error.evidence, Evidence):
        replay = (
            f"adpkv simulate {shlex.quote(str(folder.told / folder.config.name))} --seed {seed}"
        )
        report = make_report(error.evidence, replay)
        error.report = _with_stories(report, folder)
        with losses.of(folder.fr_trace.name):
            write_fr_trace(folder.fr_trace, error.evidence)
    with losses.of(folder.deadlock.name):
        write_deadlock(folder.deadlock, deadlock_values(error))
    error.unwritten = losses.told()


def deadlock_values(error: StuckError) -> dict[str, Any]:
    """What `deadlock.json` holds: the report for programs, and as text for people."""
    return {**as_values(error), "text": error_text(error)}


def error_text(error: StuckError, width: int | None = None) -> str:
    """The error for people: its report, or its message if it has none; then the stories of the
    requests. `width` is the window's, in columns."""
    lost = [f"could not be written: {line}" for line in error.unwritten]
    if not isinstance(error.report, Report):
        return "\n".join([str(error), *error.stories, *lost])
    return "\n".join([report_text(error.report, width, error.stories), *lost])


def _with_stories(report: Report, folder: RunFolder) -> Report:
    """The report with the stories of the requests that the outliers hold. If they hold none, those
    of the requests that were open last."""
    diagnosis = report.diagnosis
    try:
        requests = report.requests or last_open(folder, {*diagnosis.outliers, *diagnosis.others})
        stories = read_stories(folder, requests[:MOST_STORIES])
    except (OSError, UsageError):
        return report  # the run wrote no events
    return msgspec.structs.replace(
        report,
        requests=tuple(requests[: 2 * MOST_STORIES]),
        stories=tuple(_bounded(story_values(story)) for story in stories),
    )


def _bounded(story: dict[str, Any]) -> dict[str, Any]:
    return story | {"events": story["events"][-MOST_EVENTS:]}
