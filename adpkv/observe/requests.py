"""`requests.jsonl`: one line per request as it ends; and what the summary needs of them all."""

from __future__ import annotations

from array import array
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from adpkv.core.record import RequestRecord
from adpkv.core.values import Outcome

__all__ = ["RequestLog", "Tally", "read_tally"]

BATCH_RECORDS: Final = 1024
"""Records kept in memory before they are written."""


class Tally:
    """Outcomes counted and latencies of completed requests kept, eight bytes a sample."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.terminal = 0
        self.recomputed = 0
        """How often a request was begun again."""
        self.generated_tokens = 0
        self.ttft_ns = array("q")
        self.e2e_ns = array("q")
        self.tpot_ns = array("d")
        self.kv_transfer_ns = array("q")
        self.queue_wait_ns = array("q")

    @property
    def submitted(self) -> int:
        """Requests in all; the outcomes add up to it."""
        return sum(self.outcomes.values())

    def add(self, record: RequestRecord) -> None:
        """Count one request; only a completed one gives latency samples."""
        self.outcomes[record.outcome] += 1
        self.terminal += record.responses > 0
        self.generated_tokens += record.tokens
        self.recomputed += record.recomputed
        if record.outcome is not Outcome.COMPLETED:
            return
        self.queue_wait_ns.append(record.queue_ns)
        self.e2e_ns.append(record.ended_ns - record.arrival_ns)
        if record.first_token_ns >= 0:
            self.ttft_ns.append(record.first_token_ns - record.arrival_ns)
        if record.transfer_ns >= 0:
            self.kv_transfer_ns.append(record.transfer_ns)
        if record.decode_ns >= 0 and record.tokens > 1:
            self.tpot_ns.append(record.decode_ns / (record.tokens - 1))


def read_tally(path: Path) -> Tally:
    """Of the requests in a file, of which the last line may have been cut off."""
    tally = Tally()
    decoder = msgspec.json.Decoder(RequestRecord)
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            with suppress(msgspec.DecodeError):
                tally.add(decoder.decode(line))
    return tally


class RequestLog:
    """Writes records to a file in the order in which requests ended; `tally` counts them."""

    def __init__(self, path: Path) -> None:
        self.tally = Tally()
        self._file = path.open("wb")
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._pending: list[RequestRecord] = []

    def write(self, record: RequestRecord) -> None:
        """Note one request."""
        self.tally.add(record)
        self._pending.append(record)
        if len(self._pending) >= BATCH_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending now."""
        pending, self._pending = self._pending, []  # another thread may write meanwhile
        if pending:
            self._file.write(self._encode_lines(pending))
            self._file.flush()

    def close(self) -> None:
        """Write what is pending and close the file; closing twice is closing once."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()
