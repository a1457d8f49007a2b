"""Ranks are killed one after the other in the middle of transfers among all; what moves between two
others must arrive whole, and what was open with the failed ranks must end.

python -m tests.real_ranks.programs.fence BLOCK_TOKENS POLLS VICTIM...
"""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
from mpi4py import MPI

from adpkv.memory.host import HostMemory
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import EndKind, Transfer
from adpkv.worlds.mpi.ending import end_job, leave_now

EACH, BLOCKS = 3, 4
"""Transfers from each rank to each other, and the blocks of one."""
LANDED, LOST = [EndKind.DONE], [EndKind.LOST, EndKind.FAILED]
PATIENCE_S = 30


def content(transfer: Transfer, index: int, size: int) -> bytes:
    seed = [transfer.request_id, transfer.attempt, transfer.sender, transfer.receiver, index]
    return np.random.default_rng(seed).bytes(size)


class Survivor:
    """One rank. `round` it, with a victim each time."""

    def __init__(self, world: MPI.Intracomm, block_tokens: int, polls: int) -> None:
        self.rank, self.living, self.world = world.rank, list(range(world.size)), world
        blocks = 2 * world.size * EACH * BLOCKS
        self.memory = HostMemory(blocks, block_tokens, 2, 2, 64, 2, lambda *_: None)
        size = self.memory.block_bytes
        self.suspicions = 0
        self.link = MpiTransport(
            world.Dup(),
            self.memory,
            piece_bytes=2 * size,
            budget_bytes=4 * size,
            clock=time.perf_counter_ns,
            broke=self.suspect,
        )
        self._polls = polls

    def suspect(self) -> None:
        self.suspicions += 1

    def transfers(self, attempt: int) -> list[Transfer]:
        """All that concern this rank."""
        found, next_block = [], 0
        for sender in self.living:
            for receiver in self.living:
                if sender == receiver or self.rank not in (sender, receiver):
                    continue
                for number in range(EACH):
                    blocks = tuple(range(next_block, next_block + BLOCKS))
                    next_block += BLOCKS
                    name = (sender * 64 + receiver) * EACH + number
                    tag = attempt * 4096 + name
                    found.append(Transfer(name, attempt, sender, receiver, tag, blocks, blocks, 0))
        return found

    def round(self, attempt: int, victim: int) -> None:
        mine, size = self.transfers(attempt), self.memory.block_bytes
        for transfer in mine:
            if transfer.sender == self.rank:
                for index, block in enumerate(transfer.source):
                    self.memory.view(block, 1)[:] = content(transfer, index, size)
            else:
                assert self.link.expect(transfer)
        self.world.Barrier()
        for transfer in mine:
            if transfer.sender == self.rank:
                self.link.post(transfer)
        ended: dict[tuple[int, int], list[EndKind]] = {t.session: [] for t in mine}
        over, fenced_off, polls = 0, False, 0
        until_s, before = time.monotonic() + PATIENCE_S, self.suspicions
        while over < len(mine) or not fenced_off:
            assert time.monotonic() < until_s, f"rank {self.rank}: {over} of {len(mine)} have ended"
            polls += 1
            if self.rank == victim and polls > self._polls:
                os.kill(os.getpid(), signal.SIGKILL)
            for end in self.link.poll():
                ended[end.session].append(end.kind)
                over += end.kind is not EndKind.LOST
            # As a job that looks at its messages: MPI hears of nothing while nobody calls it, and
            # whose transfers have all ended, those with the victim too, calls it no more for their
            # sake.
            MPI.COMM_SELF.Iprobe()
            if self.suspicions > before and not fenced_off:
                self.recover(victim)
                fenced_off = True
            time.sleep(0)
        assert self.suspicions == before + 1, "one failure is one suspicion"
        for transfer in mine:
            kinds = ended[transfer.session]
            living = victim not in (transfer.sender, transfer.receiver)
            assert kinds == LANDED or (kinds == LOST and not living), (self.rank, transfer, kinds)
            if transfer.receiver == self.rank and kinds == LANDED:
                for index, block in enumerate(transfer.target):
                    found = bytes(self.memory.view(block, 1))
                    assert found == content(transfer, index, size), (self.rank, transfer)
        assert self.world.allreduce(sum(kinds == LOST for kinds in ended.values())) > 0
        self.afterwards(attempt, victim)

    def recover(self, victim: int) -> None:
        """What `worlds.mpi.recovery.protocol` does of this."""
        agreed = False
        while not agreed:
            self.world = MPI.COMM_WORLD.Shrink()
            agreed = bool(self.world.Agree(1))
        self.living.remove(victim)
        self.link.handle_peer_failure([victim])

    def afterwards(self, attempt: int, victim: int) -> None:
        """Nothing begins with a failed rank any more."""
        number = 4000 + attempt
        from_it = Transfer(number, attempt, victim, self.rank, 0, (0,), (0,), 0)
        assert not self.link.expect(from_it)
        self.link.post(Transfer(number, attempt, self.rank, victim, 0, (0, 1), (0, 1), 0))
        [end] = self.link.poll()
        assert (end.kind, end.pieces) == (EndKind.FAILED, 0)

    def close(self) -> None:
        """As at the end of a job."""
        self.link.close()
        until_s = time.monotonic() + PATIENCE_S
        request = self.world.Ibarrier()
        while not request.Test() or not self.link.is_drained():
            assert time.monotonic() < until_s, f"rank {self.rank} does not come to rest"
            self.link.discard()


def main() -> int:
    block_tokens, polls, *victims = map(int, sys.argv[1:])
    survivor = Survivor(MPI.COMM_WORLD, block_tokens, polls)
    try:
        for attempt, victim in enumerate(victims):
            survivor.round(attempt, victim)
        survivor.close()
        if survivor.world.rank == 0:
            print("fine", flush=True)
    except AssertionError as error:
        print(f"rank {survivor.rank}: {error}", file=sys.stderr, flush=True)
        end_job(1)  # the others wait for this rank
    leave_now(0, survivor.world.rank)


if __name__ == "__main__":
    sys.exit(main())
