"""Open MPI's shared memory of a host: which files a process has mapped, and which are a job's.

Each rank makes a file in /dev/shm, and mpirun removes them; a killed mpirun does not. So whoever
outlives it removes them by name. The names follow from mpirun's process id, so they are known also
where all processes were killed before anybody could look at them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["remove_unused", "remove_with_their_job", "segments_of", "segments_of_job"]

SEGMENT: Final = "/dev/shm/sm_segment."
"""The beginning of the names; HOST.USER.JOB.RANK follows, the job in hexadecimal."""

FIRST_JOB: Final = 1
"""mpirun numbers its jobs, and has one."""

INIT: Final = 1
"""In a container it may hide what it has mapped from everybody. mpirun starts no rank as that."""

WORD: Final = 0xFFFFFFFF


def segments_of(pid: int) -> set[str]:
    """The shared memory that a process has mapped: its own and that of ranks it communicates with,
    as paths."""
    try:
        return _mapped_by(pid)
    except OSError:
        return set()


def _mapped_by(pid: int) -> set[str]:
    maps = Path(f"/proc/{pid}/maps").read_text()
    # "FROM-TO PERMISSIONS OFFSET DEVICE INODE PATH", and "(deleted)" once it has no name.
    fields = [line.split(maxsplit=5) for line in maps.splitlines() if SEGMENT in line]
    return {found[5] for found in fields if len(found) == 6 and found[5].startswith(SEGMENT)}


def segments_of_job(mpirun: int) -> set[str]:
    """The shared memory of this user's job with this process id of mpirun, as paths that exist.
    Empty for another MPI, or an Open MPI that names it in another way than 5.0 does."""
    stem = Path(SEGMENT)
    host = socket.gethostname()
    jobs = {_job(f"prterun-{name}-{mpirun}") for name in (host, host.partition(".")[0])}
    return {
        str(path)
        for job in jobs
        for path in stem.parent.glob(f"{stem.name}*.{os.geteuid()}.{job:x}.*")
    }


def _job(name: str) -> int:
    """The number that Open MPI makes of a job's name: Jenkins' one-at-a-time hash, its halves
    folded, before the number of the job."""
    found = 0
    for byte in name.encode():
        found = (found + byte) * 1025 & WORD
        found ^= found >> 6
    found = found * 9 & WORD
    found ^= found >> 11
    found = found * 32769 & WORD
    return (found >> 16 ^ found & 0xFFFF) << 16 | FIRST_JOB


def remove_with_their_job(segments: Iterable[str]) -> None:
    """Remove these files, and those of ranks of the same jobs that nobody has seen."""
    for segment in map(Path, segments):
        for path in segment.parent.glob(f"{segment.stem}.*"):
            with suppress(OSError):
                path.unlink()


def remove_unused(segments: Iterable[str], young_s: float) -> bool:
    """Remove those of these files that no process of this host has mapped. Another job may have got
    the process id of an earlier mpirun, and so its names: a file younger than `young_s` seconds
    stays, as it may be mapped only in a moment. All stay while it cannot be known of a process that
    could have mapped them; then this returns False."""
    old = {path for path in segments if _age_s(path) > young_s}
    if not old:
        return True
    try:
        unused = old.difference(*map(_known_to_be_mapped_by, _processes()))
    except PermissionError:
        return False
    for path in unused:
        with suppress(OSError):
            os.unlink(path)
    return True


def _known_to_be_mapped_by(pid: int) -> set[str]:
    """What a process has mapped, as far as it can have any of this user's files, which are nobody
    else's to open.

    Raises:
        PermissionError: it is this user's, and hides what it has mapped.
    """
    try:
        return _mapped_by(pid)
    except PermissionError:
        if pid != INIT and _is_own(pid):
            raise
    except OSError:
        pass  # it has ended
    return set()


def _is_own(pid: int) -> bool:
    """Whether a process runs as this user; also if that cannot be known, unless it has ended. Its
    folder belongs to root where it hides what it has."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    users = next((line for line in status.splitlines() if line.startswith("Uid:")), "Uid:")
    return not users.split()[1:] or str(os.geteuid()) in users.split()[1:]


def _age_s(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0.0


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())
