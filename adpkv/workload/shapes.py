"""How long a drawn request's prompt and answer are, and which blocks of its prompt are shared.

Block hashes of drawn requests are plain numbers, so that equal ones can be recognised by eye: a
group's prefix has its group and place in it, the rest of a prompt its request and place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adpkv.random_draws import integer
from adpkv.workload.cancels import Clients
from adpkv.workload.port import Arrival

__all__ = ["Shapes"]

PLACE_BITS: Final = 24
"""A prompt has fewer than 2**24 blocks: a hash is (whose << 24) + place."""

PRIVATE: Final = 1 << 62
"""Set in the hash of a block that no other request shares."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Draws request number n whole; the same n is always the same request.

    The first `shared_tokens` tokens of a prompt are its group's, for `groups` groups; 0 groups
    share nothing. Lengths include both ends.
    """

    seed: int
    block_tokens: int
    prompt_min_tokens: int
    prompt_max_tokens: int
    output_min_tokens: int
    output_max_tokens: int
    groups: int = 0
    shared_tokens: int = 0

    def arrival(self, number: int, at_ns: int, clients: Clients) -> Arrival:
        """Request `number`, arriving at `at_ns`."""
        prompt = integer(
            self.prompt_min_tokens, self.prompt_max_tokens, self.seed, "prompt", number
        )
        return Arrival(
            at_ns=at_ns,
            prompt_tokens=prompt,
            output_tokens=integer(
                self.output_min_tokens, self.output_max_tokens, self.seed, "output", number
            ),
            block_hashes=self._hashes(number, prompt),
            cancel_ns=clients.cancel_ns(number),
            wanted=clients.wanted(number),
        )

    def _hashes(self, number: int, prompt_tokens: int) -> tuple[int, ...]:
        blocks = prompt_tokens // self.block_tokens
        # A block that is only partly of the shared prefix is the request's own.
        shared = min(self.shared_tokens // self.block_tokens, blocks) if self.groups else 0
        own = PRIVATE + (number << PLACE_BITS)
        if not shared:
            return tuple(range(own, own + blocks))
        first = integer(0, self.groups - 1, self.seed, "group", number) << PLACE_BITS
        return (*range(first, first + shared), *range(own + shared, own + blocks))
