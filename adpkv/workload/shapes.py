"""Draws a request: the lengths of its prompt and output, and which prompt blocks it shares.

The block hashes of drawn requests are structured numbers, so that people can read them: a block of
a shared prefix has the number of the prefix's group and its place; any other block has the number
of its request and its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from adpkv.random_draws import Draws
from adpkv.workload.cancels import Clients
from adpkv.workload.given import whole
from adpkv.workload.port import Arrival

__all__ = ["Shapes", "shared_hashes"]

PLACE_BITS: Final = 24
"""A prompt has fewer than 2**24 blocks: a hash is (group or request << 24) + place."""

PRIVATE: Final = 1 << 62
"""Set in the hash of a block that no other request shares."""


def shared_hashes(group: int, blocks: int) -> range:
    """The hashes of the first blocks of every prompt of a group."""
    first = group << PLACE_BITS
    return range(first, first + blocks)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Draws requests by number; the same number always gives the same request.

    Each prompt belongs to one of `groups` groups, whose prompts share their first `shared_tokens`
    tokens; with 0 groups nothing is shared. The ranges of lengths include both ends.
    """

    seed: int
    block_tokens: int
    prompt_min_tokens: int
    prompt_max_tokens: int
    output_min_tokens: int
    output_max_tokens: int
    groups: int = 0
    shared_tokens: int = 0
    _prompt: Draws = field(init=False, repr=False, compare=False)
    _output: Draws = field(init=False, repr=False, compare=False)
    _group: Draws = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            BadCallError: a plugin's own are none.
        """
        whole("Shapes: seed", self.seed, None)
        whole("Shapes: block_tokens", self.block_tokens, 1)
        whole("Shapes: prompt_min_tokens", self.prompt_min_tokens, 1)
        whole("Shapes: prompt_max_tokens", self.prompt_max_tokens, self.prompt_min_tokens)
        whole("Shapes: output_min_tokens", self.output_min_tokens)
        whole("Shapes: output_max_tokens", self.output_max_tokens, self.output_min_tokens)
        whole("Shapes: groups", self.groups)
        whole("Shapes: shared_tokens", self.shared_tokens)
        for what in ("prompt", "output", "group"):
            object.__setattr__(self, f"_{what}", Draws(self.seed, what))  # as it is frozen

    def __reduce__(self) -> tuple[type[Shapes], tuple[int, ...]]:
        """Copied and pickled as what it is made of: compiled, a frozen one takes no state."""
        return Shapes, (
            self.seed,
            self.block_tokens,
            self.prompt_min_tokens,
            self.prompt_max_tokens,
            self.output_min_tokens,
            self.output_max_tokens,
            self.groups,
            self.shared_tokens,
        )

    def arrival(self, number: int, at_ns: int, clients: Clients) -> Arrival:
        """Request `number`, arriving at `at_ns`."""
        prompt = self._prompt.integer(self.prompt_min_tokens, self.prompt_max_tokens, number)
        # By place: with a name each, msgspec looks for the place of each of them.
        return Arrival(
            at_ns,
            prompt,
            self._output.integer(self.output_min_tokens, self.output_max_tokens, number),
            self._hashes(number, prompt),
            clients.cancel_ns(number),
            clients.wanted(number),
        )

    def _hashes(self, number: int, prompt_tokens: int) -> tuple[int, ...]:
        blocks = prompt_tokens // self.block_tokens
        # A block that is only partly in the shared prefix is not shared.
        shared = min(self.shared_tokens // self.block_tokens, blocks) if self.groups else 0
        own = PRIVATE + (number << PLACE_BITS)
        if not shared:
            return tuple(range(own, own + blocks))
        group = self._group.integer(0, self.groups - 1, number)
        return (*shared_hashes(group, shared), *range(own + shared, own + blocks))
