"""Vidur's processed traces (microsoft/vidur, `data/processed_traces`): CSV with seconds.

Its forks add `session_id`; a session's rows are whole prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adpkv.traces.csv_rows import table
from adpkv.traces.row import Format, Place, Reading, Row

__all__ = ["VIDUR"]

_COLUMNS: Final = ("arrived_at", "num_prefill_tokens", "num_decode_tokens")


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file.

    Raises:
        TraceError: a row cannot be used.
    """
    for record in table(path, _COLUMNS):
        session = record.text("session_id") or None
        yield (
            record,
            Row(
                at_ns=record.seconds("arrived_at"),
                prompt_tokens=record.count("num_prefill_tokens", 1),
                output_tokens=record.count("num_decode_tokens", 1),
                key=session,
                parent=session,
            ),
        )


VIDUR: Final = Format(
    name="vidur",
    title="Vidur CSV",
    fits=lambda head: set(_COLUMNS) <= set(head.columns),
    rows=rows,
    assumed="times in seconds",
    remark="a turn as long as all that its session has said begins with it",
    time_key="arrived_at",
    prompt_key="num_prefill_tokens",
)
