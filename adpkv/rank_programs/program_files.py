"""Which files are the program's, and which are libraries: by where they are.

The program's modules are imported once for each rank, its lines are quoted, its variables compared.
Everything of Python itself, of an environment's packages and of adpkv is a library.
"""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Final

__all__ = ["ProgramFiles"]

OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of adpkv."""


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    whole = [*found, *(os.path.realpath(path) for path in found)]
    return tuple(sorted({os.path.join(path, "") for path in whole}))


class ProgramFiles:
    """Answers whether a file is the program's. `roots` are folders or files that are, wherever
    they lie; `shared` are top-level modules that are not, although they lie outside."""

    def __init__(self, roots: tuple[str, ...] = (), shared: tuple[str, ...] = ()) -> None:
        self.shared = shared
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._libraries = _library_folders()
        self._known: dict[str, bool] = {}

    def __contains__(self, file: str) -> bool:
        known = self._known.get(file)
        if known is None:
            known = self._known[file] = self._look(file)
        return known

    def _look(self, file: str) -> bool:
        if not file or file.startswith("<"):
            return False
        real = os.path.realpath(file)
        for root in self._roots:
            if real == root or real.startswith(os.path.join(root, "")):
                return True
        if real.startswith((*self._libraries, os.path.join(OWN, ""))):
            return False
        return file.endswith(".py")

    def frames(self, frame: FrameType | None) -> Iterator[FrameType]:
        """The program's frames from this one outwards."""
        while frame is not None:
            if frame.f_code.co_filename in self:
                yield frame
            frame = frame.f_back

    def place(self, frame: FrameType | None) -> tuple[CodeType | None, int]:
        """The code and the line of the innermost of the program's frames."""
        known = self._known
        while frame is not None:
            code = frame.f_code
            file = code.co_filename
            mine = known.get(file)
            if mine is None:
                mine = file in self
            if mine:
                return code, frame.f_lineno
            frame = frame.f_back
        return None, 0
