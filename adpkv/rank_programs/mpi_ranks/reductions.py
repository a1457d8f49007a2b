"""`MPI.Op`: how values of ranks, or elements of their buffers, become one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

__all__ = ["OPS", "Op"]

Combine = Callable[[Any, Any], Any]


class Op:
    """A reduction; `of_arrays` for buffers, `of_objects` for objects."""

    def __init__(self, name: str, of_objects: Combine, of_arrays: Combine | None) -> None:
        self.name, self._of_objects, self._of_arrays = name, of_objects, of_arrays

    @classmethod
    def Create(cls, function: Callable[..., Any], commute: bool = False) -> Op:  # noqa: N802
        """A reduction of the program's own: `function(inbuf, inoutbuf, datatype)`."""

        def of_arrays(one: Any, other: Any) -> Any:
            given, result = one.copy(), other.copy()
            function(memoryview(given).cast("B"), memoryview(result).cast("B"), None)
            return result

        return cls("user", lambda one, other: function(one, other, None), of_arrays)

    def Free(self) -> None:  # noqa: N802
        """Nothing to do."""

    def __call__(self, one: Any, other: Any) -> Any:
        """Two values as one."""
        return self._of_objects(one, other)

    def objects(self, values: Sequence[Any]) -> Any:
        """All values as one, in rank order."""
        return functools.reduce(self._of_objects, values)

    def arrays(self, values: Sequence[Any]) -> Any:
        """The same element by element."""
        if self._of_arrays is None:
            raise TypeError(f"adpkv check does not know MPI.{self.name} of buffers")
        return functools.reduce(self._of_arrays, values)


def _location(better: Callable[[Any, Any], bool]) -> Combine:
    def pick(one: Any, other: Any) -> Any:
        if one[0] == other[0]:
            return (one[0], min(one[1], other[1]))
        return one if better(one[0], other[0]) else other

    return pick


OPS: Final = {
    op.name: op
    for op in (
        Op("SUM", lambda a, b: a + b, np.add),
        Op("PROD", lambda a, b: a * b, np.multiply),
        Op("MAX", lambda a, b: b if b > a else a, np.maximum),
        Op("MIN", lambda a, b: b if b < a else a, np.minimum),
        Op("LAND", lambda a, b: bool(a) and bool(b), np.logical_and),
        Op("LOR", lambda a, b: bool(a) or bool(b), np.logical_or),
        Op("LXOR", lambda a, b: bool(a) != bool(b), np.logical_xor),
        Op("BAND", lambda a, b: a & b, np.bitwise_and),
        Op("BOR", lambda a, b: a | b, np.bitwise_or),
        Op("BXOR", lambda a, b: a ^ b, np.bitwise_xor),
        Op("MAXLOC", _location(lambda a, b: a > b), None),
        Op("MINLOC", _location(lambda a, b: a < b), None),
    )
}
"""By name."""
