"""`requests.jsonl`: one line per request as it ends; and what the summary needs of them all."""

from __future__ import annotations

from array import array
from bisect import insort
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from adpkv.core.columns import COLUMNS, CONTEXT_COLUMNS, CONTEXT_PLACE, WAITING_COLUMNS
from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.values import Outcome
from adpkv.output.json_lines import JsonLines
from adpkv.output.losses import Losses

if TYPE_CHECKING:
    from adpkv.config.serving import SloConfig

__all__ = ["RequestLog", "Tally", "decode_record", "read_tally"]

BATCH_RECORDS: Final = 128
"""Records kept in memory before they are written."""

MOST_FAILURES: Final = 10
"""Failed requests that a summary names."""

_COMPLETED: Final = Outcome.COMPLETED  # looked up once: that takes longer than what uses it

_packed: Final = Struct(f"{len(COLUMNS)}q").pack

UNTIL_FIRST: Final = CONTEXT_PLACE + len(CONTEXT_COLUMNS)
"""How many of the columns are over when the context server has the first token."""

QUEUES: Final = tuple(COLUMNS.index(column) for column in WAITING_COLUMNS)


class Tally:
    """Outcomes counted and latencies of completed requests kept, eight bytes a sample."""

    def __init__(self, slo: SloConfig | None = None) -> None:
        self._slo = slo
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.terminal = 0
        self.recomputed = 0
        """How often a request was begun again."""
        self.output_tokens = self.prompt_tokens = 0
        """Of completed requests."""
        self.good = 0
        """Completed requests that kept the objective."""
        self.first_arrival_ns = self.last_end_ns = -1
        self.failures: list[RequestRecord] = []
        """The first by number of those that failed or timed out."""
        self.ttft_ns = array("q")
        self.context_ttft_ns = array("q")
        self.e2e_ns = array("q")
        self.tpot_ns = array("d")
        self._columns_ns = array("q")
        """All columns of one request after the other."""

    @property
    def submitted(self) -> int:
        """Requests in all; the outcomes add up to it."""
        return sum(self.outcomes.values())

    @property
    def columns_ns(self) -> tuple[array[int], ...]:
        """The samples of each of `COLUMNS`."""
        return tuple(self._columns_ns[place :: len(COLUMNS)] for place in range(len(COLUMNS)))

    @property
    def queue_wait_ns(self) -> array[int]:
        """How long each request has only waited."""
        columns_ns = self.columns_ns
        waits = [columns_ns[place] for place in QUEUES]
        return array("q", map(sum, zip(*waits, strict=True)))

    @property
    def serving_ns(self) -> int:
        """From the first arrival to the last answer."""
        return self.last_end_ns - self.first_arrival_ns

    def add(self, record: RequestRecord) -> None:
        """Count one request; only a completed one gives latency samples."""
        self.outcomes[record.outcome] += 1
        if record.responses > 0:
            self.terminal += 1
        self.recomputed += record.recomputed
        if self.first_arrival_ns < 0 or record.arrival_ns < self.first_arrival_ns:
            self.first_arrival_ns = record.arrival_ns
        if record.ended_ns > self.last_end_ns:
            self.last_end_ns = record.ended_ns
        if record.outcome is _COMPLETED:
            self._sample(record)
        elif record.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
            self._note_failure(record)

    def _sample(self, record: RequestRecord) -> None:
        self.output_tokens += record.tokens
        self.prompt_tokens += record.prompt_tokens
        e2e_ns, columns = record.ended_ns - record.arrival_ns, record.columns()
        ttft_ns = tpot_ns = None  # of a request without tokens, and of one with one token
        if record.first_token_ns >= 0:
            ttft_ns = record.first_token_ns - record.arrival_ns
            self.ttft_ns.append(ttft_ns)
            self.context_ttft_ns.append(sum(columns[:UNTIL_FIRST]))
            if record.tokens > 1:
                tpot_ns = (e2e_ns - ttft_ns) / (record.tokens - 1)
                self.tpot_ns.append(tpot_ns)
        self.e2e_ns.append(e2e_ns)
        self._columns_ns.frombytes(_packed(*columns))  # a third of the time of `extend`
        if self._slo is not None:
            self.good += self._slo.kept(ttft_ns, tpot_ns, e2e_ns)

    def _note_failure(self, record: RequestRecord) -> None:
        insort(self.failures, record, key=lambda failed: failed.request_id)
        del self.failures[MOST_FAILURES:]


_DECODER: Final = msgspec.json.Decoder(RequestRecord)


def decode_record(line: bytes) -> RequestRecord:
    """A line of `requests.jsonl`.

    Raises:
        ValueError: it is none that adpkv writes; times outside of 64 bits are not either.
    """
    record = _DECODER.decode(line)
    for value in msgspec.structs.astuple(record):
        if isinstance(value, int) and not -NEVER <= value <= NEVER:
            raise ValueError(f"{value} is out of range")
    return record


def read_tally(path: Path, slo: SloConfig | None = None) -> Tally:
    """Of the requests in a file, of which the last line may have been cut off."""
    tally = Tally(slo)
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError, RecursionError):
                tally.add(decode_record(line))
    return tally


class RequestLog(JsonLines[RequestRecord]):
    """Writes records to a file in the order in which requests ended; `tally` counts them."""

    def __init__(
        self, path: Path, slo: SloConfig | None = None, losses: Losses | None = None
    ) -> None:
        super().__init__(path, BATCH_RECORDS, losses)
        self.tally = Tally(slo)

    def write(self, record: RequestRecord) -> None:
        """Note one request."""
        self.tally.add(record)
        self.add(record)
