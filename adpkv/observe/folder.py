"""The folder of one run: where it is, what is in it, and that nothing else is overwritten."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adpkv.errors import UsageError

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["RunFolder"]

OURS: Final = re.compile(
    r"config\.yaml|summary\.json|requests\.jsonl|events\.jsonl|deadlock\.json|timeline\.json\.gz"
    r"|rings|fr_trace|events\.-?\d+\.part|(summary\.json(\.\d+)?|events\.jsonl|deadlock\.json)\.tmp"
)
"""Every name that a run gives to a file of its folder."""

FOLDERS: Final = {
    "rings": re.compile(r"rank-\d+\.(ring|stacks|testimony)|run\.json"),
    "fr_trace": re.compile(r"rank_\d+"),
}
"""The folders that a run has in its own if it did not end well, and every name in them."""

WITNESSES: Final = ("summary.json", "requests.jsonl", "events.jsonl")
"""A folder with `config.yaml` alone could be a user's own; with one of these it is a run's."""

MOST_SAME_SECOND: Final = 1000
"""How many runs of one name may begin in one second."""


class RunFolder:
    """An existing folder; `create` makes one, under MPI on rank 0 only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, experiment: Experiment, out: Path | None = None, now: datetime | None = None
    ) -> RunFolder:
        """Make the folder and write `config.yaml`, the experiment as resolved.

        Without `out` it is `runs/NAME-TIME`, always a new one. With `out`, an empty folder is taken
        as it is, and one that holds a former run *and nothing else* is used again: the former run's
        files go. Anything else in it means that it is not ours to write into.

        Raises:
            UsageError: it cannot be made or written, or holds something that no run left there.
        """
        try:
            folder = cls._given(out) if out else cls._fresh(experiment.name, now or datetime.now())
            folder._write_config(experiment)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"{error.filename or out}: cannot write here: {reason}") from error
        return folder

    @classmethod
    def newest(cls) -> RunFolder:
        """The folder of `runs/` that was made last.

        Raises:
            UsageError: there is none.
        """
        runs = list(Path("runs").glob("*/config.yaml"))
        if not runs:
            raise UsageError("runs: there is no run here; say where it is with --out")
        return cls(max(runs, key=lambda path: path.stat().st_mtime_ns).parent)

    @property
    def config(self) -> Path:
        """The experiment as resolved."""
        return self.path / "config.yaml"

    @property
    def summary(self) -> Path:
        """The run in one JSON object."""
        return self.path / "summary.json"

    @property
    def requests(self) -> Path:
        """One line per request."""
        return self.path / "requests.jsonl"

    @property
    def events(self) -> Path:
        """One line per event."""
        return self.path / "events.jsonl"

    @property
    def deadlock(self) -> Path:
        """Why the ranks could not go on together; only where they could not."""
        return self.path / "deadlock.json"

    @property
    def fr_trace(self) -> Path:
        """The last collectives of each rank, as PyTorch's tools read them; where they got stuck."""
        return self.path / "fr_trace"

    def events_part(self, rank: int) -> Path:
        """One process's events until they are merged; the coordinator's rank is -1."""
        return self.path / f"events.{rank}.part"

    def events_parts(self) -> list[Path]:
        """The parts that exist."""
        return sorted(self.path.glob("events.*.part"))

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Write `summary.json` whole or not at all."""
        temporary = self.summary.with_name("summary.json.tmp")
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.summary)

    def write_first_summary(self, summary: Mapping[str, object]) -> bool:
        """The same where several may do it for a run that broke off: False, and nothing is written,
        for all but the first, and where it cannot be written."""
        temporary = self.summary.with_name(f"summary.json.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            os.link(temporary, self.summary)
        except OSError:
            return False
        finally:
            with suppress(OSError):
                temporary.unlink()
        return True

    @classmethod
    def _given(cls, out: Path) -> RunFolder:
        out.mkdir(parents=True, exist_ok=True)
        names = sorted(os.listdir(out))
        strange = [name for name in names if not OURS.fullmatch(name)]
        if strange:
            raise UsageError(
                f"{out}: the folder holds {strange[0]!r}, which no run wrote;"
                " choose a new or empty folder with --out"
            )
        if names and not any(name in names for name in WITNESSES):
            raise UsageError(
                f"{out}: the folder holds {names[0]!r} but no former run;"
                " choose a new or empty folder with --out"
            )
        for name in names:
            if name in FOLDERS:
                _remove(out / name)
            else:
                (out / name).unlink()
        return cls(out)

    @classmethod
    def _fresh(cls, name: str, now: datetime) -> RunFolder:
        stem = f"{name}-{now:%Y%m%d-%H%M%S}"
        runs = Path("runs")
        runs.mkdir(exist_ok=True)
        for attempt in range(1, MOST_SAME_SECOND + 1):
            path = runs / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return cls(path)
        raise UsageError(f"{runs / stem}: {MOST_SAME_SECOND} runs of this second exist already")

    def _write_config(self, experiment: Experiment) -> None:
        from adpkv.config import dump

        self.config.write_text(dump(experiment), encoding="utf-8")


def _remove(path: Path) -> None:
    for name in sorted(os.listdir(path)):
        if not FOLDERS[path.name].fullmatch(name):
            raise UsageError(
                f"{path}: the folder holds {name!r}, which no run wrote;"
                " choose a new or empty folder with --out"
            )
    shutil.rmtree(path)
