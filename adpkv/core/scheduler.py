"""What a rank computes in the next step: chunked prefill under a token budget, or decode.

Both kinds admit requests to KV blocks first come, first served: a large request at the head waits
for its blocks and nobody overtakes it, so it cannot starve. All blocks of a request's life are
reserved at admission (TensorRT-LLM's GUARANTEED_NO_EVICT): what runs is never evicted.
"""

from __future__ import annotations

import heapq
from collections import deque

from adpkv.core.request import RequestState, ServedRequest

__all__ = ["DecodeSchedule", "PrefillSchedule"]


class PrefillSchedule:
    """Prompts that have their blocks, oldest first, computed in chunks of a token budget."""

    def __init__(self, token_budget: int) -> None:
        self._budget = token_budget
        self._running: deque[ServedRequest] = deque()
        self._chunks: list[tuple[ServedRequest, int]] = []

    def __len__(self) -> int:
        return len(self._running)

    def add(self, request: ServedRequest) -> None:
        """A prompt has its blocks; `request.computed` tokens of it came from the prefix cache."""
        self._running.append(request)

    def plan(self, now_ns: int) -> tuple[int, int]:
        """Cut the next step's chunks. Returns (tokens, pairs): a token at position p attends to
        p + 1 tokens, so a chunk of n from p costs n * p + n * (n + 1) / 2 pairs."""
        left = self._budget
        pairs = 0
        self._chunks = []
        for request in self._running:
            if left == 0:
                break
            done = request.computed
            count = min(left, request.spec.prompt_tokens - done)
            pairs += count * done + count * (count + 1) // 2
            left -= count
            self._chunks.append((request, count))
            if request.computing_ns < 0:
                request.computing_ns = now_ns
        return self._budget - left, pairs

    def stepped(self) -> list[tuple[ServedRequest, int]]:
        """The planned chunks were computed: (request, tokens) of those that still run."""
        chunks, self._chunks = self._chunks, []
        still = [(r, count) for r, count in chunks if r.state is RequestState.PREFILLING]
        for request, count in still:
            request.computed += count
        return still

    def done(self, request: ServedRequest) -> None:
        """The request leaves, finished or ended. O(running) unless it is the head."""
        if self._running and self._running[0] is request:
            self._running.popleft()
        else:
            self._running.remove(request)


class DecodeSchedule:
    """Requests that decode one token each per step.

    No request is touched when a step is made: the rank counts its steps, and each request knows the
    step that finishes it. So a step costs O(finished), and n steps at once cost no more than one.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._new: list[ServedRequest] = []
        """They have not been in a step yet."""
        self.sequences = 0
        self.context_tokens = 0
        """Tokens of KV that the next step reads, over all sequences."""
        self._finish: list[tuple[int, int, ServedRequest]] = []

    def add(self, request: ServedRequest) -> None:
        """It has its KV and its first token (the context instance made it)."""
        request.finish_step = self.steps + request.spec.output_tokens - 1
        self.sequences += 1
        self.context_tokens += request.spec.prompt_tokens + 1
        heapq.heappush(self._finish, (request.finish_step, request.spec.request_id, request))
        self._new.append(request)

    def begin(self, now_ns: int) -> tuple[int, ...]:
        """A step begins: how long each that is new to it has waited since its KV was there."""
        if not self._new:
            return ()
        new = self._new = [r for r in self._new if r.state is RequestState.DECODING]
        for request in new:
            request.computing_ns = now_ns
        return tuple([now_ns - request.arrived_ns for request in new])

    def generated(self, request: ServedRequest) -> int:
        """How many tokens it has, the first one included."""
        return request.spec.output_tokens - (request.finish_step - self.steps)

    def remove(self, request: ServedRequest) -> None:
        """It decodes no longer, finished or not; its heap entry is dropped when it comes up."""
        self.sequences -= 1
        self.context_tokens -= request.spec.prompt_tokens + self.generated(request)

    def most_steps(self) -> int:
        """After how many steps the next request finishes; call only while something decodes."""
        finish = self._finish
        while finish[0][2].state is not RequestState.DECODING:
            heapq.heappop(finish)
        return finish[0][0] - self.steps

    def stepped(self, count: int) -> list[ServedRequest]:
        """`count` steps were made. Returns those that finished, still counted: `remove` them."""
        if count and self._new:
            self._new.clear()
        self.steps += count
        self.context_tokens += count * self.sequences
        done: list[ServedRequest] = []
        finish = self._finish
        while finish and finish[0][0] <= self.steps:
            request = heapq.heappop(finish)[2]
            if request.state is RequestState.DECODING:
                done.append(request)
        return done
