"""Two ends of one link, as the bodies that every transport must pass see them.

Where the two ends live in two processes, each runs the whole body, and the calls of the side that
is not `here` do nothing; `meet()` is where both have come to the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from adpkv.transport.port import Transfer, TransportEnd

__all__ = ["BLOCKS", "PATIENCE_STEPS", "Pair", "bodies_of", "ends", "finish", "transfer"]

BLOCKS = 64
"""The blocks of each side's memory."""
PATIENCE_STEPS = 20_000


class Side(Protocol):
    """The calls of one end. A side that lives in another process ignores them."""

    here: bool

    def expect(self, transfer: Transfer) -> bool: ...
    def post(self, transfer: Transfer) -> None: ...
    def withdraw(self, session: tuple[int, int]) -> None: ...
    def peer_ended(self, session: tuple[int, int], pieces: int) -> None: ...
    def poll(self) -> list[TransportEnd]: ...
    def ready(self) -> bool: ...
    def last_moved_ns(self) -> int: ...
    def close(self) -> None: ...
    def fill(self, blocks: Sequence[int], seed: int) -> None: ...
    def holds(self, blocks: Sequence[int], seed: int) -> bool: ...


class Pair(Protocol):
    """Two ends of one link."""

    sender: Side
    receiver: Side
    blocks_per_piece: int

    def step(self) -> None:
        """Let a little time or progress pass, on what is here."""
        ...

    def meet(self) -> None:
        """Wait until both sides have come here; progress goes on meanwhile."""
        ...

    def rest(self) -> None:
        """Wait until both sides have come here, without a call of their transports."""
        ...

    def agree(self, pieces: int) -> int:
        """The sender's number, on both sides (it travels beside the transport)."""
        ...


def transfer(
    number: int,
    source: tuple[int, ...],
    target: tuple[int, ...],
    attempt: int = 0,
    *,
    back: bool = False,
) -> Transfer:
    """A transfer from rank 0 to rank 1, or back; its tag follows from its number."""
    return Transfer(
        request_id=number,
        attempt=attempt,
        sender=int(back),
        receiver=int(not back),
        tag=2 * number + attempt,
        source=source,
        target=target,
        nbytes=0,
    )


def ends(pair: Pair, side: Side, count: int) -> dict[tuple[int, int], TransportEnd]:
    """Poll until `count` transfers of a side have ended; each ends once."""
    found: dict[tuple[int, int], TransportEnd] = {}
    for _ in range(PATIENCE_STEPS):
        for end in side.poll():
            assert end.session not in found, f"{end.session} ended twice"
            found[end.session] = end
        if len(found) == count or not side.here:
            return found
        pair.step()
    raise AssertionError(f"{len(found)} of {count} ends after {PATIENCE_STEPS} steps: {found}")


def finish(pair: Pair, count: int) -> list[dict[tuple[int, int], TransportEnd]]:
    """Both sides' ends, of as many transfers."""
    found = [ends(pair, side, count) for side in (pair.sender, pair.receiver)]
    pair.meet()
    return [
        kinds for kinds, side in zip(found, (pair.sender, pair.receiver), strict=True) if side.here
    ]


def bodies_of(module: Mapping[str, Any]) -> dict[str, Callable[[Any], None]]:
    """The bodies among the names of a module, without the prefix that marks them."""
    return {
        name.removeprefix("check_"): body
        for name, body in sorted(module.items())
        if name.startswith("check_")
    }
