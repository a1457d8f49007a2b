"""BurstGPT (HPMLL/BurstGPT): CSV with seconds; version 2 adds `Session ID` and `Elapsed time`.

A response of 0 tokens is a failure, which the publishers say is to be taken as one that got no
answer: here the client cancels, as long after its arrival as `Elapsed time` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adpkv.traces.csv_rows import table
from adpkv.traces.row import SECOND_NS, UNKNOWN, Format, Place, Reading, Row

__all__ = ["BURSTGPT", "FAILED_AFTER_NS", "FAILED_OUTPUT_TOKENS"]

FAILED_OUTPUT_TOKENS: Final = 256
"""What a failed answer would have been long: long enough that the cancel comes first."""

FAILED_AFTER_NS: Final = 1 * SECOND_NS
"""After so long the client of a failed answer cancels, where there is no `Elapsed time`."""

_COLUMNS: Final = ("Timestamp", "Request tokens", "Response tokens")


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file.

    Raises:
        TraceError: a row cannot be used.
    """
    for record in table(path, _COLUMNS):
        answer_ns = record.seconds("Elapsed time") if record.has("Elapsed time") else UNKNOWN
        session = record.text("Session ID") or None
        response = record.count("Response tokens", 0)
        row = Row(
            at_ns=record.seconds("Timestamp"),
            # Failures are also told with a request of 0 tokens.
            prompt_tokens=max(1, record.count("Request tokens", 0 if response == 0 else 1)),
            output_tokens=response or FAILED_OUTPUT_TOKENS,
            key=session,
            parent=session,
            answer_ns=answer_ns,
        )
        if response == 0:
            row.cancel_ns = FAILED_AFTER_NS if answer_ns < 0 else answer_ns
        yield record, row


BURSTGPT: Final = Format(
    name="burstgpt",
    title="BurstGPT CSV",
    fits=lambda head: set(_COLUMNS) <= set(head.columns),
    rows=rows,
    assumed="times in seconds",
    remark="a response of 0 tokens is a client that cancels; a turn as long as all that its session"
    " has said begins with it",
    time_key="Timestamp",
    prompt_key="Request tokens",
)
