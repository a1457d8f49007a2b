"""Azure's LLM inference traces of 2023 and 2024 (Azure/AzurePublicDataset): CSV with dates.

`TIMESTAMP` has seven digits of a second in 2023, six and a time zone in 2024.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from adpkv.traces.csv_rows import Record, table
from adpkv.traces.row import SECOND_NS, Format, Place, Reading, Row

__all__ = ["AZURE"]

_COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_DATE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?"
)


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file; an answer of 0 tokens counts as one of 1.

    Raises:
        TraceError: a row cannot be used.
    """
    for record in table(path, _COLUMNS):
        yield (
            record,
            Row(
                at_ns=_date_ns(record),
                prompt_tokens=record.count("ContextTokens", 1),
                output_tokens=max(1, record.count("GeneratedTokens", 0)),
            ),
        )


def _date_ns(record: Record) -> int:
    text = record.text("TIMESTAMP")
    if not text:
        raise record.error("TIMESTAMP", "TIMESTAMP is empty: a row without a time cannot be placed")
    found = _DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        zone = (found[3] or "+00:00").replace("Z", "+00:00")
        date = datetime.fromisoformat(found[1] + zone)
    except ValueError:
        raise record.error(
            "TIMESTAMP", f"TIMESTAMP must be a date such as 2023-11-16 18:15:46.680, not {text!r}"
        ) from None
    # Not through floats: a date of today in nanoseconds has more digits than they keep.
    whole = int((date - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return whole * SECOND_NS + int((found[2] or "").ljust(9, "0"))


AZURE: Final = Format(
    name="azure",
    title="Azure LLM inference CSV",
    fits=lambda head: set(_COLUMNS) <= set(head.columns),
    rows=rows,
    assumed="times are dates",
    time_key="TIMESTAMP",
    prompt_key="ContextTokens",
)
