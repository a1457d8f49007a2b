"""Which libraries a program imports, in any of its files: its first one may import another.

Only texts are read: nothing is executed before it is known what each rank must have of its own.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["MOST_FILES", "Found", "imports_of", "imports_of_program"]

MOST_FILES: Final = 200
"""Files of a program that are read; what others import is not noticed."""


class Found(NamedTuple):
    """What a program's files say."""

    imports: frozenset[str]
    """The top-level modules that they import."""
    names_cuda: bool
    """Does one of them speak of CUDA?"""


def imports_of(tree: ast.AST) -> frozenset[str]:
    """The top-level modules that one file imports anywhere."""
    return frozenset(name.partition(".")[0] for name, level in _names(tree) if not level)


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names of what may be modules, each with its number of leading dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if base:
                yield base, node.level
            yield from ((f"{base}.{alias.name}".strip("."), node.level) for alias in node.names)


def imports_of_program(file: str, content: bytes, tree: ast.AST, folder: str) -> Found:
    """What a file and those of the program say that it imports, which are found from `folder`."""
    imports, cuda = set(imports_of(tree)), _speaks_of_cuda(content)
    seen, waiting = {os.path.abspath(file)}, [(os.path.abspath(file), tree)]
    while waiting and len(seen) < MOST_FILES:
        where, tree = waiting.pop()
        for name, level in _names(tree):
            start = where if level else folder
            for _ in range(level):
                start = os.path.dirname(start)
            for other in _files(start, name):
                if other not in seen:
                    seen.add(other)
                    read = _read(other)
                    if read is not None:
                        waiting.append((other, read[1]))
                        imports |= imports_of(read[1])
                        cuda = cuda or _speaks_of_cuda(read[0])
    return Found(frozenset(imports), cuda)


def _files(folder: str, name: str) -> Iterator[str]:
    """The files that are executed for a module of this name, its packages first."""
    at = folder
    for part in name.split("."):
        at = os.path.join(at, part)
        for file in (at + ".py", os.path.join(at, "__init__.py")):
            if os.path.isfile(file):
                yield os.path.abspath(file)


def _read(file: str) -> tuple[bytes, ast.AST] | None:
    try:
        with open(file, "rb") as opened:
            content = opened.read()
        return content, ast.parse(content)
    except (OSError, SyntaxError, ValueError):
        return None  # whoever imports it is told


def _speaks_of_cuda(content: bytes) -> bool:
    return b"cuda" in content or b"accelerator" in content
