"""Policies about what a receiver has already (contract 10)."""

from __future__ import annotations

from typing import Final

from adpkv.core.request import ServedRequest
from adpkv.core.rules import Rules
from adpkv.core.session import Blocks, Event, Line, Role, State
from adpkv.executor.generation import GenerationServing
from adpkv.field_policies.policy import Policy, with_lines

__all__ = ["FULL_HIT_SILENT", "REUSE_UNPINNED", "PinsNothing"]


class PinsNothing(GenerationServing):
    """Uses the cached blocks that it finds, without keeping them from others."""

    def take_blocks(self, request: ServedRequest) -> bool:
        """Whoever needs blocks may have those that this request reads."""
        taken = super().take_blocks(request)
        if request.pins is not None:
            self.pool.release(request.pins)
        return taken


REUSE_UNPINNED: Final = Policy(
    "A receiver leaves out of a transfer what it finds in its cache, and locks none of it: while"
    " the rest is on its way, or while the request decodes, others get the blocks (sglang #19746"
    " locks them for the request's life).",
    serving=PinsNothing,
)


def _untold(rules: Rules) -> Rules:
    line = Line(State.COMPLETE, Blocks.KEPT)
    return with_lines(rules, Role.RECEIVER, {(State.QUEUED, Event.CACHED): line})


FULL_HIT_SILENT: Final = Policy(
    "A receiver that has all of a prompt's KV has nothing to fetch, and so nothing to say: its"
    " sender keeps the KV until it has waited for too long (vllm #18632).",
    rules=_untold,
)
