"""A session folder of its own for each mpirun, removed when the job has ended.

Open MPI names its session folder in the temporary folder by mpirun's process id. An mpirun that is
killed leaves it behind, and the next one that gets the same id ends with "The PMIx server's
listener thread failed to start". So each job gets a new folder; `mpirun.sh` does the same for a
user who types mpirun. A lock on the folder, which ends with its holder, says that it is in use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from adpkv.worlds.mpi.launcher.segments import remove_unused, segments_of_job

__all__ = ["note_mpirun", "session_folder", "session_place", "sweep_sessions"]

PREFIX: Final = "adpkv-mpirun-"
PLACE: Final = "PRTE_MCA_prte_local_tmpdir_base"
"""It concerns this host alone: other hosts have no such folder."""

MPIRUN: Final = "mpirun"
"""A file in it: mpirun's process id. `mpirun.sh` writes it too."""

CHOSEN: Final = ("PRTE_MCA_prte_tmpdir_base", PLACE)
YOUNG_S: Final = 60.0
"""A younger folder is never removed: for a moment after its creation it is not locked yet."""


@contextmanager
def session_folder() -> Iterator[dict[str, str]]:
    """What to add to mpirun's environment. Empty if the user has chosen a folder, or if none can be
    created: then Open MPI reports what is wrong, or finds another."""
    if any(name in os.environ for name in CHOSEN):
        yield {}
        return
    try:
        sweep_sessions(Path(tempfile.gettempdir()))
        made = tempfile.mkdtemp(prefix=PREFIX)
    except OSError:
        yield {}
        return
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield {PLACE: made}
    finally:
        os.close(lock)
        shutil.rmtree(made, ignore_errors=True)


def session_place(added: Mapping[str, str]) -> Path:
    """The folder in which mpirun creates its session folder, with `added` in its environment."""
    found = [{**os.environ, **added}.get(name) for name in reversed(CHOSEN)]
    return Path(next(filter(None, found), tempfile.gettempdir()))


def note_mpirun(place: Path, pid: int) -> None:
    """Write down whose folder it is: should everybody be killed, the next run removes the shared
    memory of its ranks with it."""
    if place.name.startswith(PREFIX):
        with suppress(OSError):
            (place / MPIRUN).write_text(str(pid))


def sweep_sessions(place: Path) -> None:
    """Remove this user's folders that a kill has left behind, and the shared memory of the jobs
    that had them."""
    for path in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = path.stat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > YOUNG_S:
                _remove_unused(path)


def _remove_unused(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError, ValueError):
            if not remove_unused(segments_of_job(int((path / MPIRUN).read_text())), YOUNG_S):
                return  # it tells a later run whose they are
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
