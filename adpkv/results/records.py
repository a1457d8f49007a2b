"""Requests and events of a run as sequences of typed records, and as data frames where pandas or
pyarrow are installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

from adpkv.core.record import COLUMN_FIELDS, RequestRecord
from adpkv.core.sample import RankSample
from adpkv.errors import MissingPieceError, UsageError
from adpkv.output.story_words import KINDS, Event

__all__ = ["Event", "Events", "RawEvent", "Records", "Requests", "Samples"]

Record = TypeVar("Record")

RawEvent = tuple[int, int, str, int, dict[str, Any]]
"""(at_ns, rank, kind, request, detail) of an event."""


class Records(Sequence[Record], Generic[Record]):
    """Records in order. A slice is of the same kind."""

    def __init__(self, records: Sequence[Any]) -> None:
        self._records = records

    def _made(self, record: Any) -> Record:
        raise NotImplementedError

    def _row(self, record: Any) -> dict[str, Any]:
        raise NotImplementedError

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Records[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | Records[Record]:
        if isinstance(at, slice):
            return type(self)(self._records[at])
        return self._made(self._records[at])

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return map(self._made, self._records)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} {type(self).__name__.lower()}>"

    def rows(self) -> list[dict[str, Any]]:
        """Each as a flat mapping of plain values, all with the same keys."""
        return [self._row(record) for record in self._records]

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, a row each.

        Raises:
            MissingPieceError: pandas is not installed.
        """
        return _installed("pandas").DataFrame(self.rows())

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`, a row each.

        Raises:
            MissingPieceError: pyarrow is not installed.
        """
        return _installed("pyarrow").Table.from_pylist(self.rows())


class Requests(Records[RequestRecord]):
    """In the order in which they ended; `RequestRecord` says what its fields are."""

    COLUMNS: Final = COLUMN_FIELDS
    """The fields that add up to `ended_ns` - `arrival_ns`, in nanoseconds."""

    def _made(self, record: RequestRecord) -> RequestRecord:
        return record

    def _row(self, record: RequestRecord) -> dict[str, Any]:
        return {**msgspec.structs.asdict(record), "outcome": record.outcome.value}


class Samples(Records[RankSample]):
    """How each rank was over time, in the order in which it was written down."""

    def _made(self, record: RankSample) -> RankSample:
        return record

    def _row(self, record: RankSample) -> dict[str, Any]:
        return msgspec.structs.asdict(record)


class Events(Records[Event]):
    """In order of time."""

    def _made(self, record: RawEvent) -> Event:
        at_ns, rank, kind, request, detail = record
        # As a line of the file has it: no enums and no tuples.
        return Event(at_ns, rank, kind, request, _decoded(_encoded(detail)))

    def _row(self, record: RawEvent) -> dict[str, Any]:
        at_ns, rank, kind, request, detail = record
        told = msgspec.json.encode(detail).decode()
        return {"at_ns": at_ns, "rank": rank, "kind": kind, "request": request, "detail": told}

    def of(self, request: int) -> Events:
        """Those that concern one request."""
        return Events([record for record in self._records if record[3] == request])

    def of_kind(self, *kinds: str) -> Events:
        """Those of these kinds.

        Raises:
            UsageError: there is no such kind, neither here nor in any other run.
        """
        for kind in kinds:
            if kind not in KINDS and not any(record[2] == kind for record in self._records):
                raise UsageError(_unknown_kind(kind))
        return Events([record for record in self._records if record[2] in kinds])


_encoded = msgspec.json.Encoder().encode
_decoded = msgspec.json.Decoder().decode


def _unknown_kind(kind: object) -> str:
    import difflib

    near = difflib.get_close_matches(str(kind), sorted(KINDS), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(KINDS))}"
    return f"{kind!r} is no kind of event: {hint}"


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingPieceError(f"a table needs {name}: pip install {name}") from None
