"""The folder of one run: where it is made, and that nothing else is overwritten.

The process that writes into it holds a lock on its `config.yaml`, which the system releases when
the process ends. A start that is refused removes what it has made.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adpkv.errors import UsageError
from adpkv.output.folder_files import EVIDENCE_FILES, FOLDERS, OURS, UNFINISHED, FolderFiles

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["RunFolder", "locked"]

MOST_SAME_SECOND: Final = 1000
"""How many runs of one name may begin in one second."""


NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of a file system without locks: there, two runs in one folder are not noticed."""


class RunFolder(FolderFiles):
    """An existing folder; `create` makes one, under MPI on rank 0 only."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = -1
        self._reserved = False
        self._made: list[Path] = []
        """What `withdraw` takes away, in this order."""

    @classmethod
    def create(
        cls, experiment: Experiment, out: Path | None = None, now: datetime | None = None
    ) -> RunFolder:
        """`claim` a folder and `begin` in it.

        Raises:
            UsageError: it cannot be had or written. Nothing is left behind.
        """
        folder = cls.claim(experiment.name, out, now)
        folder.begin(experiment)
        return folder

    @classmethod
    def claim(cls, name: str, out: Path | None = None, now: datetime | None = None) -> RunFolder:
        """Take a folder for this process alone, until `release` or the end of the process.

        Without `out` it is `runs/NAME-TIME`, always a new one. With `out`, an empty folder is taken
        as it is, and one that holds a former run *and nothing else* is used again, which `begin`
        removes. Anything else in it means that it is not ours to write into.

        Raises:
            UsageError: it cannot be made, or it is another run's, or holds something that no run
                left there. Nothing is left behind.
        """
        folder = None
        try:
            if out is None:
                folder = cls._fresh(name, now or datetime.now())
            else:
                folder = cls(out)
                folder._make(out)
            folder._take()
        except OSError as error:
            if folder is not None:
                folder.withdraw()
            raise _unwritable(error, out) from error
        except UsageError:
            if folder is not None:
                folder.withdraw()
            raise
        return folder

    @classmethod
    def reserve(cls, name: str, out: Path | None = None) -> RunFolder:
        """Choose a folder for another process, which is to `claim` it by its path: without `out` a
        new one is made. If the other one never came to `begin`, `withdraw` removes it.

        Raises:
            UsageError: it cannot be made.
        """
        try:
            folder = cls(out) if out is not None else cls._fresh(name, datetime.now())
        except OSError as error:
            raise _unwritable(error, out) from error
        folder._reserved = True
        if out is not None:
            folder._made = [at for at in (out, *out.parents) if not at.exists()]
        return folder

    def begin(self, experiment: Experiment) -> None:
        """The run begins: a former run's files go, and `config.yaml` says the experiment as
        resolved. From now on the folder is known to be a run's, however this one ends.

        Raises:
            UsageError: it cannot be written. Nothing is left behind.
        """
        from adpkv.config import dump

        try:
            self._empty()
            self._made[:0] = [self.events, self.samples, self.requests, self.config]
            if experiment.observe.timeline:
                self.timeline.mkdir()
                self._made.insert(0, self.timeline)
            # First: if this process is killed here, the next start can tell that the folder is a
            # run's.
            self.requests.touch()
            self.config.write_text(dump(experiment), encoding="utf-8")
        except OSError as error:
            self.withdraw()
            raise _unwritable(error, self.path) from error

    def withdraw(self) -> None:
        """The start is refused: take away what it has made, and nothing else."""
        if self._reserved:
            self._remove_claim()
        for path in self._made:
            with suppress(OSError):
                if path == self.timeline:
                    shutil.rmtree(path)
                else:
                    path.rmdir() if path.is_dir() else path.unlink()
        self._made.clear()
        self.release()

    def _remove_claim(self) -> None:
        """A process that was killed before `begin`, or in it, leaves an empty `config.yaml`, and
        perhaps another empty file."""
        with suppress(OSError):
            file = os.open(self.config, os.O_RDWR)
            try:
                if not os.fstat(file).st_size and locked(file):
                    self.config.unlink()
                    if not self.requests.stat().st_size:
                        self.requests.unlink()
            finally:
                os.close(file)

    def release(self) -> None:
        """Others may write into it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @classmethod
    def newest(cls) -> RunFolder:
        """The folder of `runs/` that was made last.

        Raises:
            UsageError: there is none.
        """
        runs = list(Path("runs").glob("*/config.yaml"))
        if not runs:
            raise UsageError("runs: there is no run here; say which folder it is in")
        return cls(max(runs, key=lambda path: path.stat().st_mtime_ns).parent)

    def _make(self, path: Path) -> None:
        """Make it and what is missing above it."""
        missing = [at for at in (path, *path.parents) if not at.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
        finally:
            self._made += [at for at in missing if at.exists()]

    @classmethod
    def _fresh(cls, name: str, now: datetime) -> RunFolder:
        stem = f"{name}-{now:%Y%m%d-%H%M%S}"
        runs = Path("runs")
        for attempt in range(1, MOST_SAME_SECOND + 1):
            folder = cls(runs / (stem if attempt == 1 else f"{stem}-{attempt}"))
            folder._make(runs)
            try:
                folder.path.mkdir()
            except FileExistsError:
                continue
            folder._made.insert(0, folder.path)
            return folder
        raise UsageError(f"{runs / stem}: {MOST_SAME_SECOND} runs of this second exist already")

    def _take(self) -> None:
        """Check that nothing but a run's files is in it, and lock it."""
        names = sorted(os.listdir(self.path))
        _check_names(self.path, names, OURS)
        for name in FOLDERS.keys() & names:
            inside = self.path / name
            _check_names(inside, sorted(os.listdir(inside)), FOLDERS[name])
        new = not self.config.exists()
        self._lock = os.open(self.config, os.O_RDWR | os.O_CREAT, 0o666)
        if not locked(self._lock) or not _is_at(self._lock, self.config):
            raise UsageError(
                f"{self.path}: another run is writing into this folder; wait for its end, or"
                " choose another folder with --out"
            )
        if new:
            self._made.insert(0, self.config)
        # An empty `config.yaml` alone is left by a start that was killed before `begin`.
        claimed = names == [self.config.name] and not self.config.stat().st_size
        if names and not claimed and not any(name in names for name in EVIDENCE_FILES):
            raise self._not_ours(f"{names[0]!r} but no former run")

    def _empty(self) -> None:
        """Remove all but the file that carries the lock."""
        for path in list(self.path.iterdir()):
            if path.name in FOLDERS:
                shutil.rmtree(path)
            elif path != self.config:
                path.unlink()

    def _not_ours(self, what: str) -> UsageError:
        return UsageError(_strange(self.path, what))


def _check_names(path: Path, names: list[str], ours: re.Pattern[str]) -> None:
    """All names in this folder are those of a run."""
    for name in names:
        if not (ours.fullmatch(name) or UNFINISHED.fullmatch(name)):
            raise UsageError(_strange(path, f"{name!r}, which no run wrote"))


def _strange(path: Path, what: str) -> str:
    return f"{path}: the folder holds {what}; choose a new or empty folder with --out"


def _unwritable(error: OSError, path: Path | None) -> UsageError:
    reason = error.strerror or str(error)
    return UsageError(f"{error.filename or path}: cannot write here: {reason}")


def locked(descriptor: int) -> bool:
    """Lock an open file for this process alone; False if another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Does this open file still have its name? A refused start may just have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
