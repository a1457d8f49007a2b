"""What a client does beside asking: lose patience, or insist on a rank.

Both are drawn by request number, so that they belong to the request and not to the order of the
run: the same request is cancelled after the same time in both worlds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adpkv.random_draws import integer, uniform

__all__ = ["NO_CANCEL_NS", "Clients"]

NO_CANCEL_NS: Final = -1


@dataclass(frozen=True, slots=True)
class Clients:
    """How the clients of one workload behave.

    `ranks` is how many ranks a client may insist on: those that every instance has, because it is
    not known beforehand which instances will serve it.
    """

    seed: int
    cancel_probability: float = 0.0
    cancel_after_min_ns: int = 0
    cancel_after_max_ns: int = 0
    pinned: float = 0.0
    ranks: int = 1

    def cancel_ns(self, number: int) -> int:
        """How long after its arrival request `number` is cancelled; -1: never."""
        probability = self.cancel_probability
        if not probability or uniform(self.seed, "cancel", number) >= probability:
            return NO_CANCEL_NS
        low, high = self.cancel_after_min_ns, self.cancel_after_max_ns
        return integer(low, high, self.seed, "cancel after", number)

    def wanted(self, number: int) -> int | None:
        """The rank inside its instances that request `number` insists on, if it does."""
        if not self.pinned or uniform(self.seed, "pinned", number) >= self.pinned:
            return None
        return integer(0, self.ranks - 1, self.seed, "wanted", number)
