"""Which blocks of a receiving rank's pool are kept for reuse, what is in them, and who reads them.

A kept block holds KV that has arrived and was checked. From then on nobody writes into it, whoever
has it: a peer that is told its address, or an owner that gets it while a request reads it, would
change KV that others read (contract 3.8). This does not ask the pool: it is told what happens, and
so sees where the pool, or a rule that uses it, is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.memory.port import Report

__all__ = ["KeptBlocks"]


class KeptBlocks:
    """`memory.port.ReuseWatch` of one rank. It reports `shared_block` and `wrong_kv`."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._keys: dict[int, int] = {}
        """Kept block -> content key of the KV in it."""
        self._readers: dict[int, list[int]] = {}
        """Pinned block -> the leases that read it."""

    def __contains__(self, block: int) -> bool:
        return block in self._keys

    def of(self, blocks: Sequence[int]) -> tuple[list[int], list[int]]:
        """(those of the blocks that are kept, the content keys of what must be in them). A memory
        with bytes compares these before the blocks get another owner: KV that nobody reads must not
        be overwritten either, and has no canary."""
        if not self._keys:
            return [], []
        found = [block for block in blocks if block in self._keys]
        return found, [self._keys[block] for block in found]

    def every(self) -> tuple[list[int], list[int]]:
        """The same of all kept blocks."""
        return list(self._keys), list(self._keys.values())

    def keep(self, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """These blocks hold this KV, and are kept."""
        self._keys.update(zip(blocks, keys, strict=False))

    def pin(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """Lease `owner` reads these blocks. They must be kept, and hold what it wants."""
        for block, key in zip(blocks, keys, strict=False):
            if self._keys.get(block) != key:
                detail = f"block {block}: reused by lease {owner}, but it holds something else"
                self._report("wrong_kv", detail, (owner,))
            self._readers.setdefault(block, []).append(owner)

    def unpin(self, owner: int, blocks: Sequence[int]) -> None:
        """Lease `owner` reads them no more."""
        for block in blocks:
            readers = self._readers.get(block, [])
            if owner in readers:
                readers.remove(owner)
            if not readers:
                self._readers.pop(block, None)

    def exposed(self, owner: int, blocks: Sequence[int]) -> None:
        """A peer may write into these blocks of lease `owner` from now on."""
        for block in blocks if self._keys else ():
            if block in self._keys:
                self._tell(block, f"advertised by lease {owner}", owner)

    def gone(self, blocks: Sequence[int], how: str) -> None:
        """The blocks were freed or evicted: they hold nothing to be reused any more."""
        for block in blocks if self._keys else ():
            if self._keys.pop(block, None) is not None and block in self._readers:
                self._tell(block, how)

    def _tell(self, block: int, how: str, *owners: int) -> None:
        readers = self._readers.get(block, [])
        told = f"while leases {', '.join(map(str, readers))} read it" if readers else "while kept"
        self._report("shared_block", f"block {block} {how} {told}", (*owners, *readers))
