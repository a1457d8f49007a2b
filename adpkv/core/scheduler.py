"""What a rank computes in the next step: chunked prefill under a token budget, or decode.

Both kinds of rank give KV blocks first come, first served: a large request at the head waits for
its blocks and no other overtakes it, so it cannot starve. All blocks that a request will ever need
are reserved at admission (TensorRT-LLM's GUARANTEED_NO_EVICT), so a running request is never
evicted.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from adpkv.core.request import RequestState, ServedRequest, made_tokens
from adpkv.heaps import heappop, heappush

__all__ = ["DecodeSchedule", "PrefillSchedule"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_DECODING: Final = RequestState.DECODING
_PREFILLING: Final = RequestState.PREFILLING


class PrefillSchedule:
    """Prompts that have their blocks, oldest first, computed in chunks within a token budget."""

    def __init__(self, token_budget: int) -> None:
        self._budget = token_budget
        self.running: deque[ServedRequest] = deque()
        """Read only."""
        self._chunks: list[tuple[ServedRequest, int]] = []

    def add(self, request: ServedRequest) -> None:
        """Add a prompt that has its blocks; `request.computed` of its tokens were cached."""
        self.running.append(request)

    def plan(self, now_ns: int) -> tuple[int, int, int]:
        """Choose the chunks of the next step. Returns (tokens, pairs, steps in a row).

        Pairs are the (token, attended token) pairs of causal attention: a token at position p
        attends to p + 1 tokens, so a chunk of n tokens from p has n * p + n * (n + 1) / 2 pairs.

        As long as the oldest prompt takes the whole budget, each step in a row has a chunk of it of
        n tokens, and n * n more pairs than the one before.
        """
        left = self._budget
        pairs = 0
        self._chunks = []
        for request in self.running:
            if left == 0:
                break
            done = request.computed
            count = request.spec.prompt_tokens - done
            if count > left:
                count = left
            pairs += count * done + count * (count + 1) // 2
            left -= count
            self._chunks.append((request, count))
            if request.computing_ns < 0:
                request.computing_ns = now_ns
        chunks, most = self._chunks, 1
        if left == 0 and len(chunks) == 1:
            request, count = chunks[0]
            most = (request.spec.prompt_tokens - request.computed) // count
        return self._budget - left, pairs, most

    def stepped(self, steps: int = 1) -> list[tuple[ServedRequest, int]]:
        """The planned chunks of `steps` steps in a row were computed. Returns (request, tokens
        computed) of the requests that have not ended meanwhile."""
        chunks = self._chunks
        if not chunks:
            return chunks
        self._chunks = []
        still: list[tuple[ServedRequest, int]] = []
        for request, count in chunks:
            if request.state is _PREFILLING:
                count *= steps
                request.computed += count
                still.append((request, count))
        return still

    def done(self, request: ServedRequest) -> None:
        """Remove a request, finished or ended. O(running) unless it is the oldest."""
        if self.running and self.running[0] is request:
            self.running.popleft()
        else:
            self.running.remove(request)


class DecodeSchedule:
    """Requests that decode one token each per step.

    A step does not touch its requests: the rank counts its steps, and each request knows the number
    of the step that finishes it. So a step costs O(finished), and counting n steps at once costs no
    more than one.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._new: list[ServedRequest] = []
        """Requests that have not been in a step yet."""
        self.sequences = 0
        self.context_tokens = 0
        """KV tokens that the next step reads, over all sequences."""
        self._finish: list[tuple[int, int, ServedRequest]] = []

    def add(self, request: ServedRequest) -> None:
        """Add a request that has its KV and its first token, made by the context instance."""
        request.finish_step = self.steps + made_tokens(request.spec) - 1
        self.sequences += 1
        self.context_tokens += request.spec.prompt_tokens + 1
        heappush(self._finish, (request.finish_step, request.spec.request_id, request))
        self._new.append(request)

    def begin(self, now_ns: int) -> tuple[int, ...]:
        """A step begins. Returns, for each request that is new to the batch, how many nanoseconds
        ago its KV had arrived."""
        if not self._new:
            return ()
        new = self._new = [r for r in self._new if r.state is _DECODING]
        for request in new:
            request.computing_ns = now_ns
        return tuple([now_ns - request.arrived_ns for request in new])

    def generated(self, request: ServedRequest) -> int:
        """How many tokens the request has, the first one included."""
        return made_tokens(request.spec) - (request.finish_step - self.steps)

    def remove(self, request: ServedRequest) -> None:
        """Remove a request, finished or ended. Its heap entry is dropped once it is at the top."""
        self.sequences -= 1
        self.context_tokens -= request.spec.prompt_tokens + self.generated(request)

    def most_steps(self) -> int:
        """After how many steps the next request finishes. Call it only while a request decodes."""
        finish = self._finish
        while finish[0][2].state is not _DECODING:
            heappop(finish)
        return finish[0][0] - self.steps

    def stepped(self, count: int) -> list[ServedRequest]:
        """Count `count` steps. Returns the finished requests; the caller must `remove` them."""
        if count and self._new:
            self._new.clear()
        self.steps += count
        self.context_tokens += count * self.sequences
        done: list[ServedRequest] = []
        finish = self._finish
        while finish and finish[0][0] <= self.steps:
            request = heappop(finish)[2]
            if request.state is _DECODING:
                done.append(request)
        return done
