"""The directory of a job in a host's shared memory: its ring files, and a description of the job.

::

    /dev/shm/adpkv-UID/JOB/     under the temporary folder where there is no shared memory
        rank-N.ring             the flight recorder of each rank of this host
        rank-N.stacks           where a rank writes its Python stacks when it is asked (SIGUSR1)
        group-N-EPOCH-TOKEN.slots   what members of a group contribute to its collectives
        run.json                the processes, the run's folder, the experiment

Each rank removes its own files when it leaves, and the last one the directory. After a kill they
stay until `adpkv run`, the job's owner, moves them into the run's folder, or until the next run on
this host finds that all processes are gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from adpkv.errors import UsageError
from adpkv.flight_recorder.processes import is_there, living_state
from adpkv.flight_recorder.reader import Ring

__all__ = [
    "RINGS",
    "JobDirectory",
    "JobInfo",
    "all_jobs",
    "new_job",
    "no_place",
    "read_info",
    "ring_path",
    "ring_paths",
    "roots",
    "slot_path",
    "slot_paths",
    "stacks_path",
    "sweep",
]

SHARED: Final = Path("/dev/shm")
"""In shared memory a write to a mapped file costs microseconds at worst; on a disk it can take
65."""

RINGS: Final = "rings"
"""The subfolder of a run that did not end well: what its job directory held is kept there."""

INFO: Final = "run.json"
PREFIX: Final = "adpkv-"
ENDED: Final = ".ended"
PRIVATE: Final = 0o700
MOST_ATTEMPTS: Final = 10
YOUNG_S: Final = 60.0
"""A directory without rings may still be in the making for this long."""


class JobInfo(msgspec.Struct, frozen=True):
    """`run.json`: what is known of a job on one host.

    `owner_pid` is the process that chose the job's name. `ranks` are this host's ranks with their
    process ids.
    """

    job: str
    owner_pid: int
    folder: str
    host: str
    size: int
    ranks: dict[int, int]
    experiment: str
    argv: list[str]
    instances: dict[str, tuple[int, int]] = {}
    """By name: each instance's first rank, and how many ranks it has."""

    def instance_of(self, rank: int) -> str:
        """The name of a rank's instance; empty if the file does not say."""
        spans = self.instances.items()
        return next((name for name, (first, count) in spans if 0 <= rank - first < count), "")


def roots() -> list[Path]:
    """The folders in which job directories can be, the best first.

    Raises:
        UsageError: there is no such folder.
    """
    found = [SHARED] if SHARED.is_dir() and os.access(SHARED, os.W_OK | os.X_OK) else []
    try:
        found.append(Path(tempfile.gettempdir()))
    except FileNotFoundError as error:
        if not found:
            raise UsageError(f"no place for the flight recorder: no {SHARED}, {error}") from error
    return found


def no_place(where: Path, error: OSError) -> UsageError:
    """The error for the user: a flight recorder cannot be written there."""
    return UsageError(f"{where}: no place for the flight recorder: {error.strerror or error}")


def new_job() -> str:
    """A new name for a job that this process owns."""
    return (
        f"{time.strftime('%Y%m%d-%H%M%S')}-{time.perf_counter_ns() % 1_000_000:06d}-{os.getpid()}"
    )


def _owner_pid(job: str) -> int:
    last = job.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def ring_path(folder: Path, rank: int) -> Path:
    """The flight recorder file of a rank."""
    return folder / f"rank-{rank}.ring"


def stacks_path(folder: Path, rank: int) -> Path:
    """The file into which a rank writes its Python stacks."""
    return folder / f"rank-{rank}.stacks"


def ring_paths(folder: Path) -> list[Path]:
    """All flight recorder files in a job directory, in rank order. An empty list if the directory
    is gone, which may happen at any moment."""
    found: list[int] = []
    with suppress(OSError):
        for name in os.listdir(folder):
            rank = name.removeprefix("rank-").removesuffix(".ring")
            if rank.isdecimal() and name == ring_path(folder, int(rank)).name:
                found.append(int(rank))
    return [ring_path(folder, rank) for rank in sorted(found)]


def slot_path(folder: Path, group: int, epoch: int, token: bytes) -> Path:
    """The file with the slots of a group. Its name is used only once: a rank failure begins a new
    epoch, and whoever opens it again in the same epoch has another token."""
    return folder / f"group-{group}-{epoch}-{token.hex()}.slots"


def slot_paths(folder: Path, group: int | None = None, epoch: int | None = None) -> list[Path]:
    """The files with slots: of one group in one epoch, or of all."""
    which = ("*" if number is None else str(number) for number in (group, epoch))
    return sorted(folder.glob(f"group-{'-'.join(which)}-*.slots"))


def read_info(folder: Path) -> JobInfo | None:
    """The contents of `run.json`; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((folder / INFO).read_bytes(), type=JobInfo)
    except (OSError, ValueError, RecursionError):  # bad bytes, and depth, are no `DecodeError`
        return None


class JobDirectory:
    """One job's directory on this host."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, job: str) -> JobDirectory:
        """Create it, readable only for this user.

        Raises:
            UsageError: it cannot be created.
        """
        root = roots()[0] / f"{PREFIX}{os.geteuid()}"
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                root.mkdir(PRIVATE, exist_ok=True)
                if root.is_symlink() or root.stat().st_uid != os.geteuid():
                    raise UsageError(f"{root}: no place for the flight recorder, another user's")
                (root / job).mkdir(PRIVATE)
            except OSError as error:
                # Between the two calls, another job's last rank may have removed the empty root.
                if not isinstance(error, FileNotFoundError) or attempt == MOST_ATTEMPTS:
                    raise no_place(root, error) from error
            else:
                break
        return cls(root / job)

    @classmethod
    def of(cls, job: str) -> list[JobDirectory]:
        """The directories of one of this user's jobs on this host: its own, or the renamed one that
        a rank was about to remove when it failed."""
        places = [root / f"{PREFIX}{os.geteuid()}" for root in roots()]
        return [cls(path) for place in places for path in place.glob(f"{job}*") if path.is_dir()]

    def write_info(self, note: JobInfo) -> None:
        """Write `run.json`, atomically."""
        temporary = self.path / f"{INFO}.tmp"
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
        temporary.replace(self.path / INFO)

    def leave(self, rank: int) -> None:
        """Remove one rank's files; after the last rank's, the directory."""
        for path in (ring_path(self.path, rank), stacks_path(self.path, rank)):
            with suppress(OSError):
                path.unlink()  # or the next run does
        if not ring_paths(self.path):
            self.remove()

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            self.path.parent.rmdir()  # the user's, if this was the last job

    def rescue(self) -> None:
        """Move everything to `rings` in the run's folder, as far as that can be written, and remove
        it here. If several processes call this at once, one of them does the work."""
        claimed = self.path.with_name(self.path.name + ENDED)
        try:
            self.path.rename(claimed)
        except OSError:
            return
        note = read_info(claimed)
        if note is not None:
            with suppress(OSError):
                into = Path(note.folder) / RINGS
                into.mkdir(exist_ok=True)
                for path in claimed.iterdir():
                    if path.stat().st_size:
                        shutil.copyfile(path, into / path.name)
        JobDirectory(claimed).remove()


def all_jobs() -> Iterator[Path]:
    """The directories of all jobs on this host that this user may read, other users' jobs too."""
    for root in roots():
        for place in sorted(root.glob(f"{PREFIX}[0-9]*")):
            with suppress(OSError):
                yield from sorted(path for path in place.iterdir() if path.is_dir())


def sweep() -> list[Path]:
    """Remove what killed jobs of this user have left behind; returns the removed directories."""
    removed = []
    for path in all_jobs():
        if path.parent.name == f"{PREFIX}{os.geteuid()}" and _is_stale(path):
            JobDirectory(path).remove()
            removed.append(path)
    return removed


def _is_stale(path: Path) -> bool:
    if is_there(_owner_pid(path.name.partition(ENDED)[0])):
        return False
    rings = ring_paths(path)
    if not rings:
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > YOUNG_S
        return False
    return all(_has_ended(ring) for ring in rings)


def _has_ended(path: Path) -> bool:
    try:
        owner = Ring.open(path).owner
    except (OSError, UsageError):
        return True
    return living_state(owner.pid, owner.start_ticks) in ("ended", "gone")
