"""What a run prints: progress on stderr, the closing tables or JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adpkv.errors import StuckError, UsageError
from adpkv.exit_codes import ExitCode
from adpkv.output.losses import lost_sentence
from adpkv.output.progress import Progress, QuietProgress, progress_for
from adpkv.terminal import console_for, stderr_line, terminal_columns

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["Screen"]

NS_PER_S: Final = 1e9
STORY_INDENT: Final = 2
"""Columns before each line of a story in the report of a stuck job."""


class Screen:
    """What one run prints; only what went wrong if `quiet`, only `summary.json` on stdout if
    `as_json`. All that its process prints goes through here: progress is removed before other text
    comes."""

    def __init__(
        self, experiment: Experiment, *, quiet: bool = False, as_json: bool = False
    ) -> None:
        self._experiment, self._quiet, self._as_json = experiment, quiet, as_json
        self.progress: Progress = QuietProgress()
        """How far the run is, on stderr; plain lines come at most once a pulse."""
        if not quiet:
            instances = experiment.topology.build().instances
            names = {instance.index: instance.name for instance in instances}
            pulse_s = experiment.observe.pulse_ns / NS_PER_S
            self.progress = progress_for(sys.stderr, names, pulse_s)

    def close(self, summary: Mapping[str, Any], folder: Path | None) -> None:
        """The run is over: tables and a sentence, or JSON, or nothing but what went wrong. What was
        lost is told of itself: it may be the file that says so."""
        self.progress.close()
        if self._as_json:
            print(json.dumps(summary, indent=2))
        elif not self._quiet:
            from adpkv.output.advice import afterwards
            from adpkv.output.closing import show_closing

            advice = afterwards(self._experiment, summary)
            show_closing(console_for(sys.stdout), summary, folder, advice)
        elif lost := lost_sentence(summary):
            stderr_line(f"adpkv: {lost}")
        elif summary["exit_code"] != ExitCode.COMPLETED:
            from adpkv.output.closing import closing_sentence

            where = "" if folder is None else f" Files: {folder}"
            stderr_line(f"adpkv: {closing_sentence(summary)}{where}")
        sys.stdout.flush()

    def broken_off(self, summary: Mapping[str, Any]) -> None:
        """The run ended with an error, which the caller prints on stderr: print the summary if JSON
        was asked for."""
        self.progress.close()
        if self._as_json:
            print(json.dumps(summary, indent=2))
            sys.stdout.flush()

    def stuck(self, error: StuckError) -> None:
        """The ranks could not go on together: give the error, which the caller prints, the stories
        of the requests that were open on them."""
        self.progress.close()
        if self._quiet or not error.folder:
            return
        from adpkv.output.folder import RunFolder
        from adpkv.output.story import last_open
        from adpkv.output.story_text import stories

        folder = RunFolder(Path(error.folder))
        try:
            open_then = getattr(error.report, "requests", ()) or last_open(
                folder, {place.rank for place in error.places}
            )
        except (OSError, UsageError):
            return  # the run was made without events
        columns = terminal_columns(sys.stderr)
        error.stories = tuple(stories(folder, open_then, columns and columns - STORY_INDENT))
