"""The folder of an exploration: its plan, a line for each batch, and what was found.

`batches.jsonl` is only ever added to: an exploration that is halted or killed keeps what it has,
and goes on from there. A find is written down as soon as it is met, and replaced when it is small.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv import __version__
from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.exploration.batch import BatchResult
from adpkv.exploration.campaign import Campaign, Plan
from adpkv.exploration.page import coverage_page
from adpkv.exploration.result import Exploration
from adpkv.output.folder import RunFolder, locked
from adpkv.whole_files import write_whole

__all__ = ["ExplorationFolder"]

JOURNAL: Final = "batches.jsonl"
RESULT: Final = "explore.json"
PAGE: Final = "coverage.html"
FINDS: Final = "finds"
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_]+")
MOST_NAME: Final = 60


class _Head(msgspec.Struct, frozen=True):
    """The first line of the journal."""

    adpkv: str
    plan: Plan


class ExplorationFolder:
    """One exploration's folder, open for writing by this process alone."""

    def __init__(self, path: Path, campaign: Campaign) -> None:
        self.path, self.campaign = path, campaign
        self._journal = -1
        self._written: set[str] = set()

    @classmethod
    def create(cls, plan: Plan, out: Path | None) -> ExplorationFolder:
        """A new folder, `runs/NAME-explore-TIME` without `out`.

        Raises:
            UsageError: it cannot be written, or there is something in it.
        """
        reserved = RunFolder.reserve(f"{plan.name}-explore", out)
        path, folder = reserved.path, None
        try:
            path.mkdir(parents=True, exist_ok=True)
            names = sorted(os.listdir(path))
            if JOURNAL in names:
                raise UsageError(f"{path}: {_told_of(path)} choose another folder with --out")
            if names:
                raise UsageError(
                    f"{path}: the folder holds {names[0]!r}; choose a new or empty one"
                )
            folder = cls(path, Campaign(plan))
            folder._open(os.O_CREAT)
            folder._add(_Head(__version__, plan))
        except OSError as error:
            if folder is not None and folder._journal >= 0:
                folder.close()
                with suppress(OSError):
                    (path / JOURNAL).unlink()
            reserved.withdraw()
            raise _unwritable(error, path) from error
        return folder

    @classmethod
    def resume(cls, path: Path, plan: Plan | None = None) -> ExplorationFolder:
        """That of an exploration that was halted; with a `plan`, which must be its own.

        Raises:
            UsageError: it is no exploration's, it is another experiment's, somebody is writing into
                it, or another version has made it.
        """
        head, results, whole = _read(path)
        if head.plan.strategy == "exhaustive":
            raise UsageError(f"{path}: a walk is made at one go: start it again with another --out")
        if head.adpkv != __version__:
            raise UsageError(
                f"{path}: adpkv {head.adpkv} has begun it, and this is {__version__}: what one"
                " finds, the other may not"
            )
        if plan is not None:
            _check_same(path, head.plan, plan)
        campaign = Campaign(head.plan if plan is None else plan)
        for result in results:
            campaign.take_kept(result)
        folder = cls(path, campaign)
        try:
            folder._open(0)
            os.ftruncate(folder._journal, whole)  # without the line in which its writer was killed
        except OSError as error:
            raise _unwritable(error, path) from error
        return folder

    def _open(self, flags: int) -> None:
        self._journal = os.open(self.path / JOURNAL, os.O_RDWR | os.O_APPEND | flags, 0o666)
        if not locked(self._journal):
            raise UsageError(f"{self.path}: another exploration is writing into it; wait for it")

    def _add(self, line: Any) -> None:
        text = msgspec.json.encode(line) + b"\n"
        while text:
            text = text[os.write(self._journal, text) :]

    def keep(self, result: BatchResult) -> None:
        """One more batch is done.

        Raises:
            OSError: it cannot be written.
        """
        self._add(result)
        for find in result.finds:
            if find.signature not in self._written:
                self._write_find(find.signature, find.file)

    def _write_find(self, known_by: str, text: str) -> Path:
        self._written.add(known_by)
        folder = self.path / FINDS
        folder.mkdir(exist_ok=True)
        name = _NO_NAME.sub("-", known_by).strip("-")[:MOST_NAME]
        return _replaced(folder / f"{name}.yaml", text)

    @classmethod
    def of_walk(cls, experiment: Experiment, out: Path | None) -> ExplorationFolder:
        """A new folder of an exhaustive walk, which is made at one go.

        Raises:
            UsageError: it cannot be written, or there is something in it.
        """
        return cls.create(Plan(experiment.name, "", "exhaustive"), out)

    def close_with(self, found: Exploration) -> Exploration:
        """Write what was found; the same with the places of its files.

        Raises:
            OSError: it cannot be written.
        """
        finds = [
            replace(one, file=self._write_find(one.signature, one.text)) for one in found.finds
        ]
        found = replace(found, finds=tuple(finds), folder=self.path)
        _replaced(self.path / RESULT, json.dumps(found.data(), indent=2) + "\n")
        _replaced(self.path / PAGE, coverage_page(found))
        return found

    def close(self) -> None:
        """Others may write into it."""
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1


def _check_same(path: Path, theirs: Plan, ours: Plan) -> None:
    if theirs.experiment != ours.experiment:
        mine: Mapping[str, Any] = msgspec.json.decode(ours.experiment)
        other: Mapping[str, Any] = msgspec.json.decode(theirs.experiment)
        keys = [key for key in mine if mine[key] != other.get(key)]
        differ = "differs" if len(keys) == 1 else "differ"
        raise UsageError(
            f"{path}: is of another experiment ({theirs.name}): {', '.join(keys)} {differ}"
        )
    if (theirs.strategy, theirs.depth, theirs.first) != (ours.strategy, ours.depth, ours.first):
        raise UsageError(
            f"{path}: is of --strategy {theirs.said} from seed {theirs.first} on, not of"
            f" {ours.said} from seed {ours.first} on"
        )


def _told_of(path: Path) -> str:
    """What is in this folder, and what else than another folder there is."""
    with suppress(UsageError):
        if _read(path)[0].plan.strategy == "exhaustive":
            return "there is a walk in it, and a walk is made at one go:"
    return f"there is an exploration in it: go on with it by --resume {shlex.quote(str(path))}, or"


def _read(path: Path) -> tuple[_Head, list[BatchResult], int]:
    """What the journal says, and how many bytes of it are whole lines."""
    journal = path / JOURNAL
    try:
        text = journal.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{journal}: cannot be read: {error.strerror}; no exploration's folder"
        ) from None
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    try:
        head = msgspec.json.decode(lines[0], type=_Head)
    except (IndexError, msgspec.DecodeError):
        raise UsageError(f"{journal}:1: this is no exploration's journal") from None
    found = []
    for number, line in enumerate(lines[1:], 2):
        try:
            found.append(msgspec.json.decode(line, type=BatchResult))
        except msgspec.DecodeError as error:
            raise UsageError(f"{journal}:{number}: this is no batch: {error}") from None
    return head, found, sum(map(len, lines))


def _replaced(path: Path, text: str) -> Path:
    write_whole(path, text)
    return path


def _unwritable(error: OSError, path: Path) -> UsageError:
    return UsageError(f"{error.filename or path}: cannot write here: {error.strerror or error}")
