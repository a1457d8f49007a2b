"""Files that are written whole or not at all: beside their place, and then moved to it.

Where a disk fills up, or a process is killed, what stood there before stays, and no half of a file
is left to be taken for one.

What is no file, as a pipe or a device, is written straight through: to move a file there would put
one in its place. So is what is open already, as /dev/stdout: whoever opened it may have written
there, and goes on. A link stays, and what it leads to is written.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

__all__ = ["beside", "is_open", "whole", "write_whole"]

MARK: Final = ".adpkv-"
"""How a temporary file's name begins."""

MOST_LINKS: Final = 40
"""As many as Linux follows."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to be at `path`; at the end of the block it is.

    Raises:
        OSError: it cannot be written. What the block has written is gone then, but where it went
            straight through.
    """
    descriptor = _descriptor(path)
    if descriptor is not None:
        with _written_to(descriptor) as straight:
            yield straight
        return
    before = None
    with suppress(FileNotFoundError):
        before = path.stat()
    place = Path(os.path.realpath(path))
    if before is not None and not stat.S_ISREG(before.st_mode):
        yield path
        return
    temporary = None
    try:
        # Until it has the mode of the file before, nobody else may read it.
        temporary = _made_beside(place, 0o666 if before is None else 0o600)
        yield temporary
        if before is not None:
            with suppress(PermissionError):  # a file system without modes
                temporary.chmod(stat.S_IMODE(before.st_mode))
        _move(temporary, place)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        # The temporary name is ours, and says nothing to who gave the path.
        if isinstance(error, OSError) and Path(str(error.filename)).name.startswith(MARK):
            error.filename = str(path)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with whole(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def is_open(path: Path) -> bool:
    """Whether the path is what this process has open, as /dev/stdout."""
    return _descriptor(path) is not None


def beside(path: Path | None) -> TextIO:
    """Where to tell what was written to `path`: not between the lines of what goes on there."""
    return sys.stderr if path is not None and is_open(path) else sys.stdout


def _descriptor(path: Path) -> int | None:
    """The descriptor of this process that a path such as /dev/stdout or /dev/fd/3 is."""
    place = path
    for _ in range(MOST_LINKS):
        folder = os.path.realpath(place.parent)
        if folder == f"/proc/{os.getpid()}/fd" and place.name.isdecimal():
            return int(place.name)
        if not place.is_symlink():
            return None
        place = place.parent / place.readlink()
    return None


@contextmanager
def _written_to(descriptor: int) -> Iterator[Path]:
    """Where to write what is then written to an open descriptor, behind what it has had."""
    with tempfile.NamedTemporaryFile(prefix=MARK) as temporary:
        yield Path(temporary.name)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with open(os.dup(descriptor), "wb") as out, open(temporary.name, "rb") as found:
            shutil.copyfileobj(found, out)


def _made_beside(place: Path, mode: int) -> Path:
    """A new file. `tempfile` would not give it the mode that the umask asks for."""
    number = 0
    while True:
        made = place.with_name(f"{MARK}{os.getpid()}-{number}.tmp")
        try:
            made.touch(mode, exist_ok=False)
        except FileExistsError:  # of another thread, or of a process that was killed
            number += 1
        else:
            return made


def _move(temporary: Path, place: Path) -> None:
    try:
        temporary.replace(place)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A file that is mounted into a container cannot be replaced, only written.
        shutil.copyfile(temporary, place)
        temporary.unlink()
