"""A rank's part of a step, and counters of all its steps."""

from __future__ import annotations

from typing import Final

from adpkv.core.report import WorkCounts
from adpkv.executor.collectives import NO_WORK
from adpkv.model.port import Batch

__all__ = ["DUMMY", "StepWork", "WorkMeter"]


StepWork = tuple[Batch, int, int, tuple[int, ...], int]
"""One rank's part of a step: the batch; how many steps in a row it allows; how many tokens clients
get from this rank with each step; for each request that is new to the batch, how many nanoseconds
ago its KV arrived; and by how many ticks each further step in a row is longer because of its
prompt tokens. A plain tuple: one is made for each step."""

DUMMY: Final[StepWork] = (NO_WORK, 1 << 30, 0, (), 0)
"""That of a rank without work. It is known by its batch: mypyc makes a tuple of a known
length a structure, which has no identity."""


class WorkMeter:
    """Counts what a rank has computed, from which its utilisation follows."""

    __slots__ = (
        "_ticks_per_ns",
        "cached_tokens",
        "own_ticks",
        "prompt_tokens",
        "step_ns",
        "steps",
        "tokens",
    )

    def __init__(self, ticks_per_ns: int = 1) -> None:
        self._ticks_per_ns = ticks_per_ns
        self.steps = self.step_ns = 0
        self.own_ticks = 0
        """What its own batches took, without waiting for other ranks. In the model's ticks, so that
        many steps at once add up to the same as one by one."""
        self.tokens = 0
        """Prompt tokens on a context rank, generated ones on a generation rank. Without ADP only
        one rank of an instance counts them."""
        self.prompt_tokens = self.cached_tokens = 0
        """Prompt tokens of the requests whose prefill began: all, and those found in the cache."""

    def stepped(self, count: int, took_ns: int, own_ticks: int = 0) -> None:
        """`count` steps of the group took `took_ns`, which a clock set back may make negative, and
        this rank's own part of them so many ticks."""
        self.steps += count
        if took_ns > 0:
            self.step_ns += took_ns
        self.own_ticks += own_ticks

    def counts(self) -> WorkCounts:
        """The counts so far."""
        own_ns = self.own_ticks // self._ticks_per_ns
        return WorkCounts(
            self.steps,
            self.step_ns,
            self.tokens,
            self.prompt_tokens,
            self.cached_tokens,
            own_ns if own_ns < self.step_ns else self.step_ns,
        )
