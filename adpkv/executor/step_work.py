"""What a rank brings to a step, and what all of its steps came to."""

from __future__ import annotations

from typing import NamedTuple

from adpkv.core.report import WorkCounts
from adpkv.model.port import Batch

__all__ = ["StepWork", "WorkMeter"]


class StepWork(NamedTuple):
    """What one rank brings to a step. A dummy is all defaults."""

    batch: Batch = Batch()
    most: int = 1 << 30
    """How many such steps can be made in a row."""
    tokens: int = 0
    """Tokens that clients get with each of them."""
    waited: tuple[int, ...] = ()
    """For each request that is new to the step, how long it has waited for it."""


class WorkMeter:
    """Counts what a rank has computed, for its utilisation."""

    __slots__ = ("cached_tokens", "prompt_tokens", "step_ns", "steps", "tokens")

    def __init__(self) -> None:
        self.steps = self.step_ns = 0
        self.tokens = 0
        """Of prompts on a context rank, made ones on a generation rank; of replicas, one counts."""
        self.prompt_tokens = self.cached_tokens = 0
        """Of requests whose prefill began: all of them, and those that were there already."""

    def stepped(self, count: int, took_ns: int) -> None:
        """So many steps of its group took so long; a skewed clock may say less than nothing."""
        self.steps += count
        self.step_ns += max(took_ns, 0)

    def counts(self) -> WorkCounts:
        """What there is so far."""
        return WorkCounts(
            self.steps, self.step_ns, self.tokens, self.prompt_tokens, self.cached_tokens
        )
