"""Posts the messages of transfers over UCX, several in one call: what surrounds a message took a
third of the time of posting it.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final

from adpkv.transport.posting import NO_LIMIT
from adpkv.transport.ucx_hold_up import HoldUp
from adpkv.transport.ucx_library import Library
from adpkv.transport.ucx_opened import Opened
from adpkv.transport.ucx_peers import Arrays, ExposedBlocks, Peers

__all__ = ["TOGETHER", "Poster"]

TOGETHER: Final = 16
"""How many messages are posted in one call."""


class Poster:
    """Posts sends and receives of one rank.

    Args:
        piece_bytes: how large a piece is at most; so much goes out in one call too.
    """

    def __init__(
        self,
        library: Library,
        peers: Peers,
        memory: ExposedBlocks,
        hold_up: HoldUp,
        piece_bytes: int,
    ) -> None:
        self._library, self._peers, self._hold_up = library, peers, hold_up
        self.error = library.error
        """The base class of what `post` raises."""
        self.arrays = Arrays(library.array, memory)
        self._piece_bytes = piece_bytes

    def post(self, found: Opened) -> int:
        """Post the next pieces of a transfer; returns how many bytes they have, 0 if nothing more
        may be posted now.

        Raises:
            error: UCX refused the first of them. It refuses a later one again in the next call.
        """
        requests, sends, hold_up = found.requests, found.sends, self._hold_up
        left_ns = hold_up.post_ns - hold_up.spent_ns
        began_ns = now_ns = perf_counter_ns()
        left_bytes = hold_up.left_bytes(found.to, now_ns) if sends else NO_LIMIT
        if left_ns <= 0 or left_bytes <= 0:
            return 0
        most, until_ns, posted, first = self._piece_bytes, began_ns + left_ns, 0, len(requests)
        array, new_tag, first_tag = self.arrays.of, self._library.tag, found.first_tag
        try:
            post = self._peers.poster(found.to, sends=sends)
            end = min(first + TOGETHER, found.wanted)
            cut = found.cut.until(end)
            for at in range(first, end):
                source, target, nbytes = cut[at]
                if posted and (
                    posted + nbytes > most or posted >= left_bytes or now_ns >= until_ns
                ):
                    break
                there = array(source if sends else target, nbytes)
                requests.append(post(there, new_tag(first_tag + at)))
                posted += nbytes
                now_ns = perf_counter_ns()
        except self.error:
            if not posted:
                raise
        hold_up.spent_ns += now_ns - began_ns
        if sends and posted:
            hold_up.began(found.to, posted, now_ns)
        return posted
