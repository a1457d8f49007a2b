"""A trace as columns, and as a workload.

A million Python integers would take 32 MB, so block ids stay in an array until their request is
taken. Where a trace has sessions, a turn follows the answer before it; `reading` makes the columns.
"""

from __future__ import annotations

from array import array
from typing import Final

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.errors import BadCallError
from adpkv.heaps import heappop, heappush
from adpkv.workload.cancels import NO_CANCEL_NS, Clients
from adpkv.workload.given import NoneDueError, having, whole
from adpkv.workload.port import Arrival

__all__ = ["FIRST", "PLACE_BITS", "SessionWorkload", "Trace", "TraceWorkload"]

FIRST: Final = -1
"""`Trace.follows` of a request that follows no other."""

PLACE_BITS: Final = 24
"""A prompt has fewer than 2**24 blocks: the hash of a session's block is (conversation << 24) +
place."""


class Trace:
    """The requests of a trace as columns; `ids` of request n are `ids[first_id[n]:][:id_count]`."""

    __slots__ = (
        "at_ns",
        "cancel_ns",
        "conversation",
        "first_id",
        "follows",
        "hash_tokens",
        "ids",
        "known_tokens",
        "output_tokens",
        "prompt_tokens",
        "think_ns",
    )

    def __init__(self, hash_tokens: int) -> None:
        self.hash_tokens = hash_tokens
        """Prompt tokens per id."""
        self.at_ns = array("q")
        """Arrivals as recorded; -1 where the trace tells none, as the turn follows an answer."""
        self.prompt_tokens = array("q")
        self.output_tokens = array("q")
        self.known_tokens = array("q")
        """Prompt tokens whose content the ids identify: not all if scaling made the prompt
        longer."""
        self.ids = array("q")
        self.first_id = array("q", [0])
        self.conversation = array("q")
        """Which conversation names the blocks after the known tokens; -1: nothing does. Prompts of
        one conversation begin alike."""
        self.follows = array("q")
        """Which request's answer it follows, or `FIRST`."""
        self.think_ns = array("q")
        """How long after that answer."""
        self.cancel_ns = array("q")
        """As `Arrival.cancel_ns`."""

    def __len__(self) -> int:
        return len(self.at_ns)

    def columns(self) -> list[array[int]]:
        """All columns."""
        return [getattr(self, name) for name in self.__slots__ if name != "hash_tokens"]

    @property
    def has_sessions(self) -> bool:
        """Whether any request follows another one's answer."""
        return any(one != FIRST for one in self.follows)

    def hashes(self, number: int, block_tokens: int) -> tuple[int, ...]:
        """The prefix hashes of request `number`: one value per full block of `block_tokens` of the
        part of its prompt that the ids identify, and of the rest if it is of a conversation.

        An id identifies the whole prompt up to the end of its tokens. So the hash of a block that
        is several times as large is its last id; the hash of a smaller block is made from the id
        that it is part of and its place there.
        """
        ids = self.ids[self.first_id[number] : self.first_id[number + 1]]
        blocks, tokens = self.known_tokens[number] // block_tokens, self.hash_tokens
        if block_tokens == tokens:
            known = tuple(ids[:blocks].tolist())
        elif block_tokens > tokens:
            stride = block_tokens // tokens
            known = tuple(ids[stride - 1 : blocks * stride : stride])
        else:
            parts = tokens // block_tokens
            known = tuple([ids[i // parts] * parts + i % parts for i in range(blocks)])
        conversation = self.conversation[number]
        if conversation < 0:
            return known
        own = (1 << 62) + (conversation << PLACE_BITS)
        return (*known, *range(own + blocks, own + self.prompt_tokens[number] // block_tokens))


class TraceWorkload:
    """A trace as a `Workload`: arrivals are those of the trace and do not depend on answers."""

    def __init__(self, trace: Trace, clients: Clients, block_tokens: int) -> None:
        if not isinstance(trace, Trace):
            raise BadCallError(f"{type(self).__name__}: trace is {trace!r:.80}, no Trace")
        having(f"{type(self).__name__}: clients", clients, "cancel_ns", "wanted")
        whole(f"{type(self).__name__}: block_tokens", block_tokens, 1)
        self.total = len(trace)
        self._trace, self._clients, self._block_tokens = trace, clients, block_tokens
        self._number = 0
        self._due_ns = trace.at_ns[0] if self.total else NEVER

    @property
    def tokens(self) -> int:
        """Prompt and output tokens of all requests together."""
        return sum(self._trace.prompt_tokens) + sum(self._trace.output_tokens)

    @property
    def nbytes(self) -> int:
        """How many bytes of memory the trace takes."""
        return sum(column.itemsize * len(column) for column in self._trace.columns())

    def due_ns(self) -> int:
        """When the next request arrives; `NEVER` after the last."""
        return self._due_ns

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            NoneDueError: all requests were taken.
        """
        number, trace = self._number, self._trace
        if number >= self.total:
            raise NoneDueError(f"all {self.total} requests were taken")
        self._number += 1
        self._due_ns = trace.at_ns[number + 1] if number + 1 < self.total else NEVER
        return self._arrival(number, trace.at_ns[number])

    def ended(self, now_ns: int, number: int) -> None:
        """Nothing to do: arrivals do not depend on answers."""

    def _arrival(self, row: int, at_ns: int) -> Arrival:
        trace = self._trace
        cancel_ns, told_ns = self._clients.cancel_ns(row), trace.cancel_ns[row]
        if told_ns != NO_CANCEL_NS:
            cancel_ns = told_ns if cancel_ns == NO_CANCEL_NS else min(cancel_ns, told_ns)
        return Arrival(
            at_ns,
            trace.prompt_tokens[row],
            trace.output_tokens[row],
            trace.hashes(row, self._block_tokens),
            cancel_ns,
            self._clients.wanted(row),
        )


class SessionWorkload(TraceWorkload):
    """A trace whose turns follow the answers before them: a slow server gets the next turn later,
    as from people. What begins a session arrives as recorded.

    A session goes on after an answer that is none (cancelled, timed out, failed): the user asks the
    next question. Requests are numbered as they arrive, so a row's number depends on the answers.
    """

    def __init__(self, trace: Trace, clients: Clients, block_tokens: int) -> None:
        super().__init__(trace, clients, block_tokens)
        self._starts = array("q", [n for n, one in enumerate(trace.follows) if one == FIRST])
        self._next_start = 0
        self._after: dict[int, list[int]] = {}
        """Row -> the rows that follow its answer."""
        for row, before in enumerate(trace.follows):
            if before != FIRST:
                self._after.setdefault(before, []).append(row)
        self._answered: list[tuple[int, int]] = []
        """(due, row) of turns whose answer before them has come: a heap."""
        self._open: dict[int, int] = {}
        """Number of a request -> its row, while turns wait for its answer."""
        self._look()

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            NoneDueError: all that are left wait for answers, or all were taken.
        """
        due_ns = self._due_ns
        if due_ns == NEVER:
            raise NoneDueError("every turn that is left waits for an answer, or all were taken")
        if self._answered and self._answered[0][0] == due_ns:
            row = heappop(self._answered)[1]
        else:
            row = self._starts[self._next_start]
            self._next_start += 1
        if row in self._after:
            self._open[self._number] = row
        self._number += 1
        self._look()
        return self._arrival(row, due_ns)

    def ended(self, now_ns: int, number: int) -> None:
        """The turns after this request come when their users have thought.

        Raises:
            BadCallError: that is no time, or no number of a request.
        """
        try:
            row = self._open.pop(number, None)
            if row is None:
                return
            for turn in self._after.pop(row):
                due_ns = min(now_ns + self._trace.think_ns[turn], LAST_NS)
                heappush(self._answered, (due_ns, turn))
        except TypeError:
            whole("SessionWorkload: ended: now_ns", now_ns)
            whole("SessionWorkload: ended: number", number)
            raise
        self._look()

    def _look(self) -> None:
        left = self._next_start < len(self._starts)
        start_ns = self._trace.at_ns[self._starts[self._next_start]] if left else NEVER
        self._due_ns = min(start_ns, self._answered[0][0] if self._answered else NEVER)
