"""A folder of its own for what mpirun writes while it runs, taken away when the job has ended.

Open MPI names its folder in the system's temporary one by mpirun's process id. An mpirun that is
killed leaves it, and the next one to which the system gives that id ends with "The PMIx server's
listener thread failed to start". So each job gets a folder that nobody had before; `mpirun.sh` does
so for who types mpirun. A lock on it, which ends with its holder, says that it is in use.
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

__all__ = ["session_folder", "session_place", "sweep_sessions"]

PREFIX: Final = "adpkv-mpirun-"
PLACE: Final = "PRTE_MCA_prte_local_tmpdir_base"
"""Concerns this host alone: other hosts have no such folder."""

CHOSEN: Final = ("PRTE_MCA_prte_tmpdir_base", PLACE)
YOUNG_S: Final = 60.0
"""Between its making and its locking a folder is nobody's for a moment."""


@contextmanager
def session_folder() -> Iterator[dict[str, str]]:
    """What to add to mpirun's environment; nothing where the user has chosen a place, or where none
    can be made: then Open MPI says what is wrong, or finds another."""
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
    """Where mpirun makes its folder, with this added to its environment."""
    found = [{**os.environ, **added}.get(name) for name in reversed(CHOSEN)]
    return Path(next(filter(None, found), tempfile.gettempdir()))


def sweep_sessions(place: Path) -> None:
    """Remove this user's folders that a kill has left."""
    for path in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = path.stat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > YOUNG_S:
                _remove_unused(path)


def _remove_unused(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
