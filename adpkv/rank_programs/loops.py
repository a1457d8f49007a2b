"""The loops of a source file: in which of them each line stands."""

from __future__ import annotations

import ast
import linecache

__all__ = ["Loops"]


class Loops:
    """`around(line)` has the first lines of the loops around a line, outermost first; `within` has,
    for the first line of each loop, those of the loops in it."""

    def __init__(self, file: str) -> None:
        self._spans: list[tuple[int, int]] = []
        self._around: dict[int, tuple[int, ...]] = {}
        self.within: dict[int, tuple[int, ...]] = {}
        try:
            tree = ast.parse("".join(linecache.getlines(file)))
        except (SyntaxError, ValueError):
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.For | ast.While | ast.AsyncFor):
                self._spans.append((node.lineno, node.end_lineno or node.lineno))
        self._spans.sort()
        for first, last in self._spans:
            self.within[first] = tuple(f for f, _ in self._spans if first < f <= last)

    def around(self, line: int) -> tuple[int, ...]:
        """The loops around a line, the one that begins there included."""
        found = self._around.get(line)
        if found is None:
            found = tuple(first for first, last in self._spans if first <= line <= last)
            self._around[line] = found
        return found
