"""What mpi4py takes as a buffer, as flat numpy arrays that share its memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adpkv.errors import NotProvidedError
from adpkv.rank_programs.mpi_ranks.provided import Provided

__all__ = [
    "DATATYPES",
    "ERROR_CLASSES",
    "ERR_PROC_FAILED",
    "ERR_PROC_FAILED_PENDING",
    "ERR_REVOKED",
    "IN_PLACE",
    "Datatype",
    "InPlace",
    "MpiError",
    "blocks",
    "view",
]


class MpiError(RuntimeError):
    """`MPI.Exception`."""

    def __init__(self, told: object = "", error_class: int = 0) -> None:
        super().__init__(told)
        name = str(told).partition(":")[0].removeprefix("MPI_")
        self.error_class = error_class or ERROR_CLASSES.get(name, ERROR_CLASSES["ERR_OTHER"])

    def Get_error_class(self) -> int:  # noqa: N802
        """Its class: `MPI.ERR_RANK` and the like."""
        return self.error_class

    Get_error_code = Get_error_class
    error_code = property(Get_error_class)

    def Get_error_string(self) -> str:  # noqa: N802
        """Its text."""
        return str(self)

    error_string = property(Get_error_string)


ERR_PROC_FAILED: Final = 75
ERR_PROC_FAILED_PENDING: Final = 76
ERR_REVOKED: Final = 77
"""Classes of errors; the numbers are Open MPI's."""


ERROR_CLASSES: Final = {
    "SUCCESS": 0, "ERR_BUFFER": 1, "ERR_COUNT": 2, "ERR_TYPE": 3, "ERR_TAG": 4, "ERR_COMM": 5,
    "ERR_RANK": 6, "ERR_REQUEST": 7, "ERR_ROOT": 8, "ERR_GROUP": 9, "ERR_OP": 10, "ERR_ARG": 13,
    "ERR_UNKNOWN": 14, "ERR_TRUNCATE": 15, "ERR_OTHER": 16, "ERR_INTERN": 17, "ERR_IN_STATUS": 18,
    "ERR_PENDING": 19, "ERR_PROC_FAILED": ERR_PROC_FAILED, "ERR_REVOKED": ERR_REVOKED,
    "ERR_PROC_FAILED_PENDING": ERR_PROC_FAILED_PENDING,
}  # fmt: skip
"""By name."""

# What a program sees is MPI's own name.
MpiError.__module__ = "mpi4py.MPI"
MpiError.__name__ = MpiError.__qualname__ = "Exception"


class InPlace:
    """`MPI.IN_PLACE`."""

    def __repr__(self) -> str:
        return "MPI.IN_PLACE"


IN_PLACE: Final = InPlace()


class Datatype(Provided):
    """A basic datatype of MPI."""

    def __init__(self, name: str, code: str) -> None:
        self.name, self.dtype = name, np.dtype(code)

    def Get_size(self) -> int:  # noqa: N802
        """Bytes."""
        return self.dtype.itemsize

    size = property(Get_size)
    extent = property(Get_size)

    def Get_name(self) -> str:  # noqa: N802
        """Its name in MPI."""
        return f"MPI_{self.name}"

    def Get_extent(self) -> tuple[int, int]:  # noqa: N802
        """Where it begins, and bytes."""
        return 0, self.dtype.itemsize

    def Commit(self) -> Datatype:  # noqa: N802
        """Nothing to do."""
        return self

    def Free(self) -> None:  # noqa: N802
        """Nothing to do."""

    def __repr__(self) -> str:
        return f"MPI.{self.name}"


_CODES: Final = {
    "BYTE": "u1", "CHAR": "S1", "SIGNED_CHAR": "i1", "UNSIGNED_CHAR": "u1", "SHORT": "i2",
    "UNSIGNED_SHORT": "u2", "INT": "i4", "UNSIGNED": "u4", "LONG": "i8", "UNSIGNED_LONG": "u8",
    "LONG_LONG": "i8", "FLOAT": "f4", "DOUBLE": "f8", "INT8_T": "i1", "INT16_T": "i2",
    "INT32_T": "i4", "INT64_T": "i8", "UINT8_T": "u1", "UINT16_T": "u2", "UINT32_T": "u4",
    "UINT64_T": "u8", "BOOL": "?", "C_BOOL": "?", "COMPLEX": "c8", "DOUBLE_COMPLEX": "c16",
    "C_FLOAT_COMPLEX": "c8", "C_DOUBLE_COMPLEX": "c16", "INTEGER": "i4", "REAL": "f4",
    "DOUBLE_PRECISION": "f8", "REAL4": "f4", "REAL8": "f8", "AINT": "i8", "OFFSET": "i8",
    "UNSIGNED_INT": "u4", "LONG_DOUBLE": "g",
}  # fmt: skip

DATATYPES: Final = {name: Datatype(name, code) for name, code in _CODES.items()}
"""By name."""


def _flat(buffer: Any, datatype: Any) -> np.ndarray[Any, Any]:
    if buffer is None:
        found = np.zeros(0, dtype=np.uint8)
    elif isinstance(buffer, np.ndarray):
        if not (buffer.flags.c_contiguous or buffer.flags.f_contiguous):
            raise BufferError("ndarray is not contiguous")
        found = buffer.reshape(-1, order="A")
    elif hasattr(buffer, "__cuda_array_interface__"):
        raise NotProvidedError("adpkv check does not provide buffers in a GPU's memory")
    else:
        try:
            whole = memoryview(buffer)
        except TypeError:
            raise TypeError(f"message: cannot use {type(buffer).__name__} as a buffer") from None
        found = np.frombuffer(whole, dtype=np.uint8)
        if whole.format not in ("B", "b", "c") and datatype is None:
            found = found.view(np.dtype(whole.format))
    if isinstance(datatype, Datatype) and found.dtype != datatype.dtype:
        found = found.view(datatype.dtype)
    return found


def view(spec: Any) -> np.ndarray[Any, Any]:
    """The elements of `buffer`, `[buffer, datatype]`, `[buffer, count]` or `[buffer, count,
    datatype]`."""
    if not isinstance(spec, list | tuple):
        return _flat(spec, None)
    buffer, *rest = spec
    datatype = None
    if rest and (isinstance(rest[-1], Datatype | str)):
        last = rest.pop()
        datatype = DATATYPES[_named(last)] if isinstance(last, str) else last
    found = _flat(buffer, datatype)
    if rest and rest[0] is not None:
        count = rest[0]
        if isinstance(count, Sequence):
            count = count[0] if len(count) == 2 else sum(count)
        found = found[: int(count)]
    return found


def blocks(spec: Any, parts: int) -> list[np.ndarray[Any, Any]]:
    """The elements of a buffer in equal parts, or as `[buffer, counts, displacements, datatype]`
    and `[buffer, (counts, displacements), datatype]` say."""
    counts: Any = None
    displacements: Any = None
    if isinstance(spec, list | tuple):
        buffer, *rest = spec
        datatype = rest.pop() if rest and isinstance(rest[-1], Datatype | str) else None
        if rest:
            counts = rest[0]
            displacements = rest[1] if len(rest) > 1 else None
            if displacements is None and isinstance(counts, tuple) and len(counts) == 2:
                counts, displacements = counts if not np.isscalar(counts[0]) else (counts, None)
        spec = [buffer] if datatype is None else [buffer, datatype]
    whole = view(spec)
    if counts is None:
        if whole.size % parts:
            raise ValueError(
                f"message: buffer of {whole.size} elements is not divisible by {parts}"
            )
        counts = whole.size // parts
    if np.isscalar(counts):
        step = int(counts)  # type: ignore[arg-type]
        if step * parts > whole.size:
            raise ValueError(f"message: {parts} times {step} elements of {whole.size}")
        return [whole[place * step : (place + 1) * step] for place in range(parts)]
    if displacements is None:
        displacements = [sum(counts[:place]) for place in range(parts)]
    pairs = zip(counts, displacements, strict=True)
    return [whole[int(start) : int(start) + int(count)] for count, start in pairs]


def _named(code: str) -> str:
    by_code = {"d": "DOUBLE", "f": "FLOAT", "i": "INT", "l": "LONG", "b": "SIGNED_CHAR",
               "B": "BYTE", "q": "LONG_LONG", "c": "CHAR"}  # fmt: skip
    return by_code.get(code, code)
