"""KV blocks of one rank in a GPU's memory, with checks of their bytes by kernels.

Layout, canary and pattern are those of `memory.host`, bit for bit, so ranks with either can serve
each other. All blocks are one `cudaMalloc`, not a part of CuPy's pool: an IPC handle is for a whole
allocation, and a network library registers it once.

Nothing here waits for the device. Each call puts kernels on the rank's stream, in order: what
`release` fills is filled before a later `hand_out` checks it. A check's result is known later: then
`poll` reports it as a violation. So `verify` answers True at once, and a request with wrong KV goes
on; the run does not hide it, as a violation decides its exit code. `look_at_free`, at the end of a
run, waits for all results, within a bound.

The order of this rank's own work says nothing about its peers': before a peer may read or write
blocks, `written` must have passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import numpy as np

from adpkv.core.content import blocks_for
from adpkv.errors import AdpkvError
from adpkv.gpu.device import Device
from adpkv.gpu.work import Work, jobs_of
from adpkv.memory.book import BlockBook, Untouched
from adpkv.memory.cuda_staging import CudaStaging
from adpkv.memory.pattern import CANARY, mixed_all, word_bytes
from adpkv.memory.port import PASSED, Fence, Region, Report

__all__ = ["CudaMemory"]

END_BOUND_S: Final = 60.0
"""How long the end of a run waits for the device: a pool is checked in milliseconds."""

MOST_WORDS: Final = 1 << 31
"""The kernels count the words of a block in 32 bits."""


class CudaMemory:
    """`memory.port.Memory` on a device. Reports what `HostMemory` does.

    Raises:
        UsageError: the device has not enough memory.
    """

    def __init__(
        self,
        device: Device,
        blocks: int,
        block_tokens: int,
        layers: int,
        kv_heads: int,
        head_dim: int,
        dtype_bytes: int,
        report: Report,
    ) -> None:
        self.blocks, self.block_tokens = blocks, block_tokens
        token_bytes = kv_heads * head_dim * dtype_bytes
        self.block_bytes = layers * 2 * block_tokens * token_bytes
        self._word = word_bytes(token_bytes)
        self._rows, self._token_words = layers * 2, token_bytes // self._word
        self._row_words = block_tokens * self._token_words
        if self._rows * self._row_words >= MOST_WORDS:
            raise AdpkvError(f"a block of {self.block_bytes:,} bytes is too large for the kernels")
        self.device = device
        self._book, self._report = BlockBook(blocks, report), report
        kept = self._book.kept
        self.keep, self.pin, self.unpin = kept.keep, kept.pin, kept.unpin
        self._work = Work(device)
        self._slab = device.allocate(blocks * self.block_bytes)
        self._areas: list[CudaStaging] = []

    # -- where it is, and when it is written ------------------------------------------------------

    def region(self) -> Region:
        """All blocks together."""
        return Region(self._slab, self.blocks * self.block_bytes, self.device.number)

    def view(self, first: int, count: int) -> NoReturn:
        """A device's bytes cannot be viewed by the host's processor.

        Raises:
            AdpkvError: always.
        """
        raise AdpkvError("memory of a GPU has no view: this transport needs transceiver.staging")

    def written(self) -> Fence:
        """All work on these blocks so far."""
        return PASSED if self._work.idle else self._work.point()

    def staging(self, slots: int, slot_blocks: int, host: bool = False) -> CudaStaging:
        """A staging area of its own, on the device, or in pinned memory of the host: for transports
        that cannot move a device's memory.

        Raises:
            UsageError: there is not enough memory.
        """
        area = CudaStaging(
            self._work,
            self.device,
            self._slab,
            slots,
            slot_blocks,
            self.block_bytes,
            self._report,
            host=host,
        )
        self._areas.append(area)
        return area

    def poll(self) -> None:
        """Report what the device has found since the last call. Never waits."""
        for area in self._areas:
            area.mark()
        self._work.poll()

    def finish(self, bound_s: float = END_BOUND_S) -> None:
        """Wait until all work is done and its findings are reported.

        Raises:
            AdpkvError: it is not, within the bound.
        """
        if not self._work.drain(bound_s):
            left = self._work.submitted - self._work.done
            raise AdpkvError(
                f"GPU {self.device.number} did not finish {left} operations within {bound_s:g} s"
            )

    # -- the memory port --------------------------------------------------------------------------

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. Lets the device check that fresh ones are as `release` left
        them, and kept ones as they came."""
        self._compare_kept(*self._book.kept.of(evicted))
        self._check_untouched(
            self._book.hand_out(owner, fresh, evicted), f"found when given to lease {owner}"
        )

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list: fill them with the canary, to find later writes."""
        self._book.release(blocks)
        if blocks:
            jobs = jobs_of(len(blocks), self._addresses(blocks), CANARY, self.block_bytes)
            self._work.submit("adpkv_fill", jobs, self.block_bytes)

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """A peer may write into `blocks` of `owner` from now on."""
        self._book.expect_write(owner, blocks)

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        self._book.end_write(owner, blocks)

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Write the pattern of the prompt tokens [first_token, end_token)."""
        touched, jobs = self._pattern_jobs(blocks, keys, first_token, end_token)
        if touched:
            self._work.submit("adpkv_pattern", jobs, self.block_bytes, self._word)

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Let the device check the first `tokens` tokens; True at once. What is wrong is reported
        when it is known."""
        self._compare(f"request {request_id}, {tokens} prompt tokens", blocks, keys, tokens)
        return True

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """As `verify`, later: a difference was written after the arrival."""
        self._compare(f"request {request_id}: overwritten after arrival", blocks, keys, tokens)
        return True

    def look_at_free(self) -> None:
        """Check all free blocks that were ever used, all that are kept, and the staging slots, and
        wait for all results, these and earlier ones."""
        self._compare_kept(*self._book.kept.every())
        self._check_untouched(self._book.free_and_used(), "found at the end")
        for area in self._areas:
            area.look_at_free()
        self.finish()

    def close(self) -> None:
        """Wait for all results, then give the device's memory back."""
        if not self._slab:
            return
        self.finish()
        for area in self._areas:
            area.close()
        self._work.close()
        self.device.free(self._slab)
        self._slab = 0

    # -- jobs -------------------------------------------------------------------------------------

    def _addresses(self, blocks: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
        numbers = np.asarray(blocks, np.uint64)
        return self._slab + numbers * np.uint64(self.block_bytes)

    def _check_untouched(self, free: Untouched, when: str) -> None:
        count = len(free.blocks)
        if not count:
            return

        def found(bad: list[int]) -> None:
            self._book.tell_spoilt(free, bad, when)

        jobs = jobs_of(count, self._addresses(free.blocks), free.left, self.block_bytes)
        self._work.submit("adpkv_untouched", jobs, self.block_bytes, checks=True, found=found)

    def _compare_kept(self, blocks: Sequence[int], keys: Sequence[int]) -> None:
        if blocks:
            tokens = len(blocks) * self.block_tokens
            self._compare("overwritten while kept for reuse", blocks, keys, tokens)

    def _compare(self, what: str, blocks: Sequence[int], keys: Sequence[int], tokens: int) -> None:
        touched, jobs = self._pattern_jobs(blocks, keys, 0, tokens)
        if not touched:
            return
        # As of now: when the result is known, the blocks may be another lease's.
        owners = self._book.owners(touched)

        def found(bad: list[int]) -> None:
            leases = tuple(dict.fromkeys(owners[job] for job in bad))
            self._book.tell("wrong_kv", [touched[job] for job in bad], what, leases)

        size, word = self.block_bytes, self._word
        self._work.submit("adpkv_compare", jobs, size, word, checks=True, found=found)

    def _pattern_jobs(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> tuple[Sequence[int], np.ndarray[Any, np.dtype[Any]]]:
        """The blocks that hold these prompt tokens, and a job of the pattern's kernels for each."""
        size, words = self.block_tokens, self._token_words
        index, end = first_token // size, blocks_for(end_token, size)
        touched = blocks[index:end]
        first = np.zeros(len(touched), np.uint64)
        count = np.full(len(touched), self._row_words, np.uint64)
        if len(touched):
            # All blocks are whole but the first, which may begin later, and the last.
            first[0] = (first_token - index * size) * words
            count[-1] = (end_token - (end - 1) * size) * words
            count[0] -= first[0]
        jobs = jobs_of(
            len(touched),
            self._addresses(touched),
            mixed_all(keys[index:end]),
            first | count << np.uint64(32),
            np.uint64(self._rows | self._row_words << 32),
        )
        return touched, jobs
