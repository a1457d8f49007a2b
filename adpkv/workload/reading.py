"""From the rows of a trace file to its columns: sessions, scaling, and whether it can be served.

The whole file is read and checked at once, before anything runs: nothing is half-read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from adpkv.core.content import blocks_for
from adpkv.core.ids import LAST_NS
from adpkv.errors import TraceError, UsageError
from adpkv.random_draws import exponential
from adpkv.traces.registry import notice
from adpkv.traces.row import MOST_TOKENS, UNKNOWN, Format, Place, Reading, Row
from adpkv.workload.columns import Columns
from adpkv.workload.traces import FIRST, PLACE_BITS, Trace

__all__ = ["Limits", "Scaling", "Sessions", "read"]

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

_HASH_MASK: Final = (1 << 58) - 1
"""A chained id still fits 64 bits after multiplication by 16."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the servers can hold, in blocks per request and per prompt; a larger request could never
    be served."""

    block_tokens: int
    most_blocks: int
    most_prompt_blocks: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a trace is adapted to the servers: its first `limit` requests, `speed` times as fast,
    with prompt and output lengths multiplied (rounded, at least 1 token). Of the whole trace, the
    part from `from_ns` to before `until_ns`, in the trace's own time; the run begins there."""

    limit: int | None = None
    speed: float = 1.0
    prompt: float = 1.0
    output: float = 1.0
    from_ns: int = 0
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Sessions:
    """What becomes of sessions: whether their turns follow answers or come as `recorded`, and how
    much later; None: as the trace tells. With `rate_per_s` conversations start at random, so many a
    second, whatever times the trace tells."""

    mode: Literal["follow", "recorded"] = "follow"
    think_ns: int | None = None
    rate_per_s: float | None = None
    seed: int = 0


def read(
    path: Path,
    limits: Limits | None,
    scaling: Scaling,
    *,
    sessions: Sessions | None = None,
    reading: Reading | None = None,
) -> Trace:
    """Read a trace file of any format that is known.

    Lines that are not in order of time are refused, not sorted: such a file nearly always has a
    wrong unit or is two files in one, and "the first `limit` requests" would have two meanings.

    Args:
        path: the file.
        limits: what a request may need; None: anything, as nobody will serve it.
        scaling, sessions: what is made of its rows.
        reading: what its format leaves open; its defaults if None, as of `sessions`.

    Raises:
        TraceError: the file cannot be read, or a row cannot be used; the message begins with
            FILE:LINE and where it can with the column.
        MissingPieceError: it is compressed in a way that nothing here can read.
        UsageError: `kv_cache.block_tokens` does not fit its hash ids.
    """
    sessions, reading = sessions or Sessions(), reading or Reading()
    found = notice(path)
    tokens = reading.hash_tokens or found.hash_tokens or 1
    if limits is not None and found.hash_tokens:
        _check_block_size(path, limits.block_tokens, tokens)
    builder = _Builder(found, tokens, limits, scaling, sessions)
    for place, row in found.rows(path, reading):
        if not builder.add(place, row):
            break
        if scaling.limit is not None and builder.count >= scaling.limit:
            break
    if not builder.count:
        cut = ", in the part that is wanted" if scaling.from_ns or scaling.until_ns else ""
        raise TraceError(f"{path}:1: the trace is empty{cut}, at least one request is needed")
    return builder.trace()


def _check_block_size(path: Path, block_tokens: int, hash_tokens: int) -> None:
    if hash_tokens % block_tokens and block_tokens % hash_tokens:
        raise UsageError(
            f"kv_cache.block_tokens must divide {hash_tokens} or be a multiple of it: that is how"
            f" many tokens one hash id of a trace stands for, here of {path} (found {block_tokens})"
        )


@dataclass(slots=True)
class _Turn:
    """What a session's next turn needs to know of the one before, in the trace's own lengths."""

    row: int
    at_ns: int
    answer_ns: int
    tokens: int
    """Prompt and output."""
    conversation: int
    ids: Sequence[int]
    known_tokens: int


class _Builder:
    """Adds rows to a trace, one after the other."""

    def __init__(
        self,
        found: Format,
        tokens: int,
        limits: Limits | None,
        scaling: Scaling,
        sessions: Sessions,
    ) -> None:
        self.count = 0
        """Rows that were taken."""
        self._columns = Columns(tokens)
        self._tokens = tokens
        self._format, self._limits = found, limits
        self._scaling, self._sessions = scaling, sessions
        self._turns: dict[Any, _Turn] = {}
        self._first_ns = UNKNOWN
        """The recorded time of the first row: the run begins there."""
        self._last_ns = 0
        self._drawn = 0
        self._drawn_last_ns = 0
        self._conversations = 0

    def add(self, place: Place, row: Row) -> bool:
        """Append a row, unless it is before the part that is wanted; False: it is after that.

        Raises:
            TraceError: it cannot be used, or needs a rate and there is none.
        """
        before = self._turns.get(row.parent) if row.parent is not None else None
        told_ns = self._told_ns(place, row, before)
        if self._is_early(row, before):
            return True
        until_ns = self._scaling.until_ns
        if row.at_ns != UNKNOWN and until_ns is not None and self._last_ns >= until_ns:
            return False
        grown = row.prompt_tokens
        if row.adds and before is not None:
            grown += before.tokens
        ids, known_tokens = self._content(row, before)
        conversation = self._conversation(row, before, grown)
        prompt = _scaled(grown, self._scaling.prompt)
        output = _scaled(row.output_tokens, self._scaling.output)
        self._check_fits(place, prompt, output)
        at_ns, follows, think_ns = told_ns, FIRST, 0
        if before is not None and self._sessions.mode == "follow":
            follows, think_ns = before.row, self._think_ns(row, before, told_ns)
        if told_ns == UNKNOWN or self._sessions.rate_per_s is not None:
            at_ns = UNKNOWN if follows != FIRST else self._drawn_ns(place)
        known = known_tokens if known_tokens < prompt else prompt
        self._columns.add(
            (at_ns, prompt, output, known, conversation, follows, think_ns, row.cancel_ns), ids
        )
        if row.key is not None:
            said, place_then = grown + row.output_tokens, self.count
            self._turns[row.key] = _Turn(
                place_then, told_ns, row.answer_ns, said, conversation, ids, known_tokens
            )
        self.count += 1
        return True

    def trace(self) -> Trace:
        """What was added so far."""
        return self._columns.trace()

    def _is_early(self, row: Row, before: _Turn | None) -> bool:
        """Whether it is before the part that is wanted, or a turn of a session whose first was."""
        if not self._scaling.from_ns:
            return False
        if row.at_ns == UNKNOWN and row.parent is not None:
            return before is None
        return self._last_ns < self._scaling.from_ns

    # -- times ---------------------------------------------------------------------------------

    def _told_ns(self, place: Place, row: Row, before: _Turn | None) -> int:
        """Its recorded time, as the run's; `UNKNOWN` where there is none."""
        key = self._format.time_key
        if row.at_ns == UNKNOWN:
            if before is not None and self._sessions.mode != "follow":
                raise place.error(
                    key, "this turn has no time of its own: workload.sessions must be follow"
                )
            return UNKNOWN
        if self._first_ns == UNKNOWN:
            self._first_ns = row.at_ns if self._format.from_first else 0
        at_ns = row.at_ns - self._first_ns
        scaled = max(0, at_ns - self._scaling.from_ns) / self._scaling.speed
        if not scaled <= LAST_NS:
            raise place.error(key, f"{key} {at_ns / NS_PER_MS:g} ms is too large")
        if at_ns < self._last_ns:
            raise place.error(
                key,
                f"{key} {at_ns / NS_PER_MS:g} ms is before that of the line above; lines must be"
                " in order of time",
            )
        self._last_ns = at_ns
        return round(scaled)

    def _drawn_ns(self, place: Place) -> int:
        rate = self._sessions.rate_per_s
        if rate is None:
            raise place.error(
                "",
                f"{self._format.title} has no times: give workload.rate, how many conversations"
                " start per second",
            )
        gap_ns = NS_PER_S / rate * exponential(self._sessions.seed, "session", self._drawn)
        self._drawn += 1
        at_ns = self._drawn_last_ns + gap_ns
        if not at_ns <= LAST_NS:
            raise place.error(
                "",
                f"a rate of {rate:g} a second has this conversation start after ten years, the"
                " longest run",
            )
        self._drawn_last_ns += round(gap_ns)
        return self._drawn_last_ns

    def _think_ns(self, row: Row, before: _Turn | None, at_ns: int) -> int:
        """From the answer before it to this turn. Where the trace does not tell how long that
        answer took, all of the time between the two arrivals counts as thinking."""
        if self._sessions.think_ns is not None:
            return self._sessions.think_ns
        if row.think_ns != UNKNOWN:
            return min(round(row.think_ns / self._scaling.speed), LAST_NS)
        if before is None or UNKNOWN in (at_ns, before.at_ns):
            return 0
        answer_ns = max(before.answer_ns, 0) / self._scaling.speed
        return max(0, at_ns - before.at_ns - round(answer_ns))

    # -- lengths and content -------------------------------------------------------------------

    def _content(self, row: Row, before: _Turn | None) -> tuple[Sequence[int], int]:
        """The ids of its prompt, and how many of its tokens they name."""
        ids = row.hash_ids
        if before is not None and row.adds:
            # Its own ids would name what it adds, which stands elsewhere in this prompt.
            return before.ids, before.known_tokens
        if ids is None:
            return (), 0
        named = len(ids) * self._tokens
        known = named if named < row.prompt_tokens else row.prompt_tokens
        return _chained(ids) if self._format.chained else ids, known

    def _conversation(self, row: Row, before: _Turn | None, grown: int) -> int:
        """Whose words follow those that ids name; -1: nobody knows."""
        if row.key is None or (row.hash_ids is not None and not row.adds):
            return -1
        # A shorter prompt than all that was said before is of another conversation: something was
        # left out of it, and nobody knows where.
        if before is not None and grown >= before.tokens and before.conversation >= 0:
            return before.conversation
        self._conversations += 1
        return self._conversations - 1

    def _check_fits(self, place: Place, prompt: int, output: int) -> None:
        limits, key = self._limits, self._format.prompt_key
        if limits is None:
            return
        blocks = blocks_for(prompt + output, limits.block_tokens)
        if blocks > limits.most_blocks:
            raise place.error(
                key,
                f"a request of {prompt} prompt and {output} output tokens needs {blocks}"
                f" blocks, a rank's pool has {limits.most_blocks} to give (kv_cache.blocks less the"
                " reserved one)",
            )
        prompt_blocks = blocks_for(prompt, limits.block_tokens)
        if prompt_blocks > limits.most_prompt_blocks or prompt_blocks >= 1 << PLACE_BITS:
            most = min(limits.most_prompt_blocks, 1 << PLACE_BITS)
            raise place.error(
                key,
                f"a prompt of {prompt} tokens is a transfer of {prompt_blocks} blocks,"
                f" transceiver.max_inflight_blocks_per_peer is {most}",
            )


def _chained(ids: list[int]) -> list[int]:
    """Ids of contents as ids of prefixes: each is mixed with all before it (the finaliser of
    SplitMix64; two different prefixes of ten million get one id with a chance of 1 in 6,000)."""
    found, value = [], 0
    for one in ids:
        value = (value + one + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
        found.append(value & _HASH_MASK)
    return found


def _scaled(tokens: int, factor: float) -> int:
    if factor == 1.0 and 1 <= tokens <= MOST_TOKENS:
        return tokens
    return max(1, round(min(tokens * factor, MOST_TOKENS)))
