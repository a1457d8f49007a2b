"""What a run could not write: the disk is full, its folder is gone. The run goes on without.

A writer of a run's file notes its first error here and drops all further lines: a run that serves
requests does not end for a line about them. At the end the summary says what was lost and what the
run itself came to, and the exit code is 74, unless the run itself ended worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adpkv.exit_codes import OUTCOMES, ExitCode, worst

if TYPE_CHECKING:
    from adpkv.output.folder import RunFolder

__all__ = ["LOST", "LineFile", "Losses", "complete", "lost_sentence", "with_losses"]

LOST: Final = "output_lost"
"""The key of the summary: null, or what was lost and how the run itself ended."""

MOST_TOLD: Final = 4
"""Files named in a sentence; of a job of many ranks the rest are counted."""


class Losses:
    """The files that could not be written whole; the first reason of each stands."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def note(self, name: str, error: OSError) -> None:
        """A file could not be written."""
        self._found.setdefault(name, error.strerror or str(error))

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """An `OSError` inside the block is noted, and not raised."""
        try:
            yield
        except OSError as error:
            self.note(name, error)

    def told(self) -> tuple[str, ...]:
        """One line each: the file, and why."""
        return tuple(f"{name}: {why}" for name, why in self._found.items())


class LineFile:
    """A file of whole lines. From the first that cannot be written on, all are dropped."""

    def __init__(self, path: Path, losses: Losses | None = None) -> None:
        self._name, self._losses = path.name, losses or Losses()
        self._file: FileIO | None = None
        with self._losses.of(self._name):
            self._file = FileIO(path, "wb")

    def write(self, lines: bytes) -> None:
        """Write them now, all or none."""
        if self._file is None:
            return
        before = self._file.tell()
        try:
            left = memoryview(lines)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._losses.note(self._name, error)
            with suppress(OSError):
                self._file.truncate(before)
            self.close()

    def close(self) -> None:
        """No more; closing twice is closing once."""
        file, self._file = self._file, None
        if file is not None:
            with self._losses.of(self._name):  # a network file system may report an error only now
                file.close()


def complete(
    folder: RunFolder, summary: Mapping[str, object], losses: Losses, others: Sequence[str] = ()
) -> dict[str, object]:
    """Write `summary.json`; the summary with all that was lost, of this process and of `others`,
    as it is in the file, if it could be written."""
    said = with_losses(summary, [*losses.told(), *others])
    with losses.of(folder.summary.name):
        folder.write_summary(said)
    return with_losses(summary, [*losses.told(), *others])


def with_losses(summary: Mapping[str, object], lost: Sequence[str]) -> dict[str, object]:
    """The summary of a run of whose files these are lost."""
    said = dict(summary)
    said[LOST] = None
    if lost:
        own = said["exit_code"]
        assert isinstance(own, int)
        said["exit_code"] = code = worst([own, ExitCode.OUTPUT_LOST])
        said["outcome"] = OUTCOMES[code]
        said[LOST] = {"files": list(lost), "outcome": OUTCOMES[own], "exit_code": own}
    return said


def lost_sentence(summary: Mapping[str, Any]) -> str:
    """What could not be written, and how the run itself ended; empty where nothing is lost."""
    lost = summary.get(LOST)
    if not lost:
        return ""
    files, more = lost["files"][:MOST_TOLD], len(lost["files"]) - MOST_TOLD
    listed = "; ".join([*files, *([f"and {more} more"] if more > 0 else [])])
    return (
        f"output lost: not all could be written ({listed});"
        f" the run itself ended with {lost['exit_code']}, {lost['outcome']}"
    )
