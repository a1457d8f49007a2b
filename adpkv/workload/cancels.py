"""What else a client does: cancel its request, or insist on a rank.

Both are drawn by request number, so they do not depend on the order in which things happen: the
same request is cancelled after the same time in both worlds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adpkv.random_draws import integer, uniform
from adpkv.workload.given import number, whole

__all__ = ["NO_CANCEL_NS", "Clients"]

NO_CANCEL_NS: Final = -1
"""`Arrival.cancel_ns` of a request that its client never cancels."""


@dataclass(frozen=True, slots=True)
class Clients:
    """How the clients of one workload behave.

    `cancel_probability` and `pinned` are the shares of requests that are cancelled and that insist
    on a rank. A client insists on an index below `ranks`, which must exist in every instance,
    because it is not known beforehand which instances will serve the request.
    """

    seed: int
    cancel_probability: float = 0.0
    cancel_after_min_ns: int = 0
    cancel_after_max_ns: int = 0
    pinned: float = 0.0
    ranks: int = 1

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            BadCallError: a plugin's own are none.
        """
        whole("Clients: seed", self.seed, None)
        number("Clients: cancel_probability", self.cancel_probability, 1)
        whole("Clients: cancel_after_min_ns", self.cancel_after_min_ns)
        whole("Clients: cancel_after_max_ns", self.cancel_after_max_ns, self.cancel_after_min_ns)
        number("Clients: pinned", self.pinned, 1)
        whole("Clients: ranks", self.ranks, 1)

    def cancel_ns(self, number: int) -> int:
        """After how many nanoseconds from its arrival request `number` is cancelled; -1: never."""
        probability = self.cancel_probability
        if not probability or uniform(self.seed, "cancel", number) >= probability:
            return NO_CANCEL_NS
        low, high = self.cancel_after_min_ns, self.cancel_after_max_ns
        return integer(low, high, self.seed, "cancel after", number)

    def wanted(self, number: int) -> int | None:
        """The rank index in its instances that request `number` insists on; None for any."""
        if not self.pinned or uniform(self.seed, "pinned", number) >= self.pinned:
            return None
        return integer(0, self.ranks - 1, self.seed, "wanted", number)
