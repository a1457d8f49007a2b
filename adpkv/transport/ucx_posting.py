"""Posts the messages of transfers over UCX, several in one call: what surrounds a message took a
third of the time of posting it.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final

from adpkv.transport.ucx_hold_up import HoldUp
from adpkv.transport.ucx_library import Library
from adpkv.transport.ucx_opened import Opened
from adpkv.transport.ucx_peers import BlockArrays, ExposedBlocks, Peers

__all__ = ["TOGETHER", "Poster"]

TOGETHER: Final = 16
"""How many messages are posted in one call."""


class Poster:
    """Posts sends and receives of one rank.

    Args:
        most_blocks: how many blocks a piece has at most; so many go out in one call too.
    """

    def __init__(
        self,
        library: Library,
        peers: Peers,
        memory: ExposedBlocks,
        hold_up: HoldUp,
        most_blocks: int,
    ) -> None:
        self._library, self._peers, self._hold_up = library, peers, hold_up
        self.error = library.error
        """The base class of what `post` raises."""
        self.blocks = BlockArrays(library.array, memory)
        self._most_blocks, self._block_bytes = most_blocks, memory.block_bytes

    def post(self, found: Opened) -> int:
        """Post the next pieces of a transfer; returns how many blocks they have, 0 if nothing more
        may be posted now.

        Raises:
            error: UCX refused the first of them. It refuses a later one again in the next
                call.
        """
        requests, sends, hold_up = found.requests, found.sends, self._hold_up
        if hold_up.is_reached(sends=sends):
            return 0
        began_ns, began, blocks = perf_counter_ns(), len(requests), 0
        array, new_tag, first_tag = self.blocks.of, self._library.tag, found.tag(0)
        try:
            post = self._peers.poster(found.peer(), sends=sends)
            for at in range(began, min(began + TOGETHER, found.wanted)):
                source, target, count = found.cut[at]
                if blocks and (
                    blocks + count > self._most_blocks or hold_up.is_reached(sends=sends)
                ):
                    break
                there = array(source if sends else target, count)
                requests.append(post(there, new_tag(first_tag + at)))
                blocks += count
                now_ns = perf_counter_ns()
                hold_up.posted(count * self._block_bytes if sends else 0, now_ns - began_ns)
                began_ns = now_ns
        except self.error:
            if not blocks:
                raise
        return blocks
