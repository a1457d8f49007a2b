"""The folder of a sweep: what it varies, every run as soon as it has ended, and the table.

`sweep.yaml` is the experiment with its `sweep` section, which can be run again. `runs.jsonl` has a
line for each run that has ended: it is only ever added to, so that a sweep that is interrupted or
killed keeps what it has, and goes on from there. `table.csv` and `table.parquet` are made of it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv import __version__
from adpkv.config import load
from adpkv.config.document import read, write
from adpkv.errors import UsageError
from adpkv.output.folder import RunFolder, locked
from adpkv.sweeps.figures import Cell
from adpkv.sweeps.parquet import parquet_writer, write_parquet
from adpkv.sweeps.plan import Plan, World, make_plan, settings_text
from adpkv.sweeps.row import RunRow, table_rows
from adpkv.whole_files import whole

__all__ = ["SweepFolder", "is_sweep"]


class _Head(msgspec.Struct, frozen=True):
    """The first line of `runs.jsonl`."""

    adpkv: str
    world: World
    keep: bool
    experiment: str = ""
    """What `sweep.yaml` said but for its `sweep` section, in short; empty where nobody noted it."""


PLAN: Final = "sweep.yaml"
JOURNAL: Final = "runs.jsonl"


def is_sweep(path: Path) -> bool:
    """Is it the folder of a sweep?"""
    return (path / JOURNAL).is_file() and (path / PLAN).is_file()


class SweepFolder:
    """One sweep's folder, open for writing by this process alone."""

    def __init__(self, path: Path, plan: Plan, head: _Head, rows: Sequence[RunRow]) -> None:
        self.path, self.plan, self.keep = path, plan, head.keep
        self.rows: list[RunRow] = list(rows)
        """The runs that have ended, those of earlier calls first."""
        self._lock = -1

    @classmethod
    def create(cls, plan: Plan, out: Path | None, *, keep: bool) -> SweepFolder:
        """A new folder, `runs/NAME-sweep-TIME` without `out`.

        Raises:
            UsageError: it cannot be written, or there is something in it.
        """
        path = RunFolder.reserve(f"{plan.name}-sweep", out).path
        try:
            path.mkdir(parents=True, exist_ok=True)
            names = sorted(os.listdir(path))
            if JOURNAL in names:
                raise UsageError(
                    f"{path}: there is a sweep in it: go on with it by --resume"
                    f" {shlex.quote(str(path))}, or choose another folder with --out"
                )
            if names:
                raise UsageError(
                    f"{path}: the folder holds {names[0]!r}; choose a new or empty one"
                )
            config = plan.config.model_dump(by_alias=True, exclude_unset=True)
            told = write({**plan.data, "sweep": config})
            (path / PLAN).write_text(f"# A sweep: adpkv sweep {PLAN}\n{told}", encoding="utf-8")
            head = _Head(__version__, plan.world, keep, _said(path))
            folder = cls(path, plan, head, ())
            folder._open(os.O_CREAT)
            os.write(folder._lock, msgspec.json.encode(head) + b"\n")
        except OSError as error:
            raise _unwritable(error, path) from error
        return folder

    @classmethod
    def resume(cls, path: Path) -> SweepFolder:
        """That of a sweep that was interrupted.

        Raises:
            UsageError: it is no sweep's, somebody is writing into it, another version has made it,
                whose figures may not be the same, or `sweep.yaml` now says something else.
        """
        plan, head, rows, whole = _read(path)
        if head.adpkv != __version__:
            raise UsageError(
                f"{path}: adpkv {head.adpkv} has begun it, and this is {__version__}: runs of the "
                "two are not to be compared"
            )
        _must_go_on(path, plan, head, rows)
        folder = cls(path, plan, head, rows)
        try:
            folder._open(0)
            os.ftruncate(folder._lock, whole)  # without the line in which its writer was killed
        except OSError as error:
            raise _unwritable(error, path) from error
        return folder

    @classmethod
    def read(cls, path: Path) -> SweepFolder:
        """As it is now, also while its sweep goes on.

        Raises:
            UsageError: it is no sweep's.
        """
        plan, head, rows, _ = _read(path)
        return cls(path, plan, head, rows)

    def _open(self, flags: int) -> None:
        self._lock = os.open(self.path / JOURNAL, os.O_RDWR | os.O_APPEND | flags, 0o666)
        if not locked(self._lock):
            raise UsageError(f"{self.path}: another sweep is writing into it; wait for its end")

    def add(self, row: RunRow) -> None:
        """One more run has ended.

        Raises:
            OSError: it cannot be written.
        """
        line = msgspec.json.encode(row) + b"\n"
        while line:
            line = line[os.write(self._lock, line) :]
        self.rows.append(row)

    def run_folder(self, point: int, seed: int) -> Path | None:
        """Where a run leaves its files; None where it leaves none."""
        return self.path / "runs" / f"point-{point}-seed-{seed}" if self.keep else None

    def write_tables(self) -> list[Path]:
        """Make the tables of all runs that have ended; those that were made.

        Raises:
            OSError: one cannot be written.
        """
        if not self.rows:
            return []
        rows = table_rows(self.rows)
        made = [_replaced(self.path / "table.csv", lambda path: _write_csv(path, rows))]
        if parquet_writer() is not None:
            parquet = self.path / "table.parquet"
            made.append(_replaced(parquet, lambda path: write_parquet(path, rows)))
        return made

    def close(self) -> None:
        """Others may write into it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _read(path: Path) -> tuple[Plan, _Head, list[RunRow], int]:
    """What the files say, and how many bytes of the journal are whole lines."""
    journal = path / JOURNAL
    try:
        text = journal.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{journal}: cannot be read: {error.strerror}; no sweep's folder"
        ) from None
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    try:
        head = msgspec.json.decode(lines[0], type=_Head)
    except (IndexError, msgspec.DecodeError):
        raise UsageError(f"{journal}:1: this is no sweep's journal") from None
    rows: dict[tuple[int, int], RunRow] = {}
    for number, line in enumerate(lines[1:], 2):
        try:
            row = msgspec.json.decode(line, type=RunRow)
        except msgspec.DecodeError as error:
            raise UsageError(f"{journal}:{number}: this is no run of a sweep: {error}") from None
        rows[row.point, row.seed] = row
    plan = make_plan(load(path / PLAN, installed=False), head.world)
    return plan, head, list(rows.values()), sum(map(len, lines))


def _said(path: Path) -> str:
    """A digest of the experiment in `sweep.yaml`."""
    data = read((path / PLAN).read_text(encoding="utf-8")).data
    assert isinstance(data, dict), "it was read as an experiment"
    sections = {str(key): value for key, value in data.items() if key != "sweep"}
    text = json.dumps(sections, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _must_go_on(path: Path, plan: Plan, head: _Head, rows: Sequence[RunRow]) -> None:
    """Check that the runs that have ended are those that `sweep.yaml` describes now: points and
    seeds may be added to it at its end.

    Raises:
        UsageError: they are others.
    """
    anew = f"sweep it anew: adpkv sweep {shlex.quote(str(path / PLAN))} --out DIR"
    if head.experiment and head.experiment != _said(path):
        raise UsageError(
            f"{path / PLAN}: the experiment was changed after runs of it had ended; {anew}"
        )
    settings = {point.number: msgspec.json.encode(point.settings) for point in plan.points}
    for row in rows:
        ended = msgspec.json.encode(row.settings)
        if row.seed not in plan.seeds:
            raise UsageError(
                f"{path / PLAN}: seed {row.seed} was run, and is none any more; {anew}"
            )
        if plan.points and settings.get(row.point, b"") != ended:
            raise UsageError(
                f"{path / PLAN}: its points were changed: point {row.point} was"
                f" {settings_text(row.settings)} when it was run; {anew}"
            )


def _write_csv(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _replaced(path: Path, make: Any) -> Path:
    with whole(path) as temporary:
        make(temporary)
    return path


def _unwritable(error: OSError, path: Path) -> UsageError:
    return UsageError(f"{error.filename or path}: cannot write here: {error.strerror or error}")
