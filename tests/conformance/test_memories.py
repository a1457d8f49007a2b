"""Memory host and the virtual ledger, by the bodies that every memory must pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adpkv.memory.host import HostMemory
from adpkv.memory.virtual import LedgerMemory
from adpkv.testing.memory import BLOCKS, BODIES, TOKENS, Rig


class Heard:
    """What a memory reports."""

    def __init__(self) -> None:
        self._kinds: list[str] = []
        self.leases: tuple[int, ...] = ()
        """Whom the last report concerns."""

    def report(self, kind: str, detail: str, leases: tuple[int, ...]) -> None:
        assert detail, "a violation says what it is about"
        self._kinds.append(kind)
        self.leases = leases

    def told(self) -> list[str]:
        return list(dict.fromkeys(self._kinds))


class Ledger(Heard):
    """The link of the virtual world tells the ledger what it wrote, and for whom."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = LedgerMemory(BLOCKS, TOKENS, 1 << 16, self.report)

    def arrive(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        self.memory.land(owner, blocks, whole=True)

    def arrive_partly(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        self.memory.land(owner, blocks[:-1], whole=False)

    def stray(self, owner: int, blocks: Sequence[int]) -> None:
        self.memory.land(owner, blocks, whole=True)


class Host(Heard):
    """Bytes come from a peer's memory, as a real link would bring them."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self._peer = self._made(), self._made()

    def _made(self) -> HostMemory:
        return HostMemory(BLOCKS, TOKENS, 2, 2, 8, 2, self.report)

    def arrive(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        for block, key in zip(blocks, keys, strict=True):
            self._peer.compute([0], [key], 0, TOKENS)
            self.memory.view(block, 1)[:] = self._peer.view(0, 1)

    def arrive_partly(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        self.arrive(owner, blocks[:-1], keys[:-1])

    def stray(self, owner: int, blocks: Sequence[int]) -> None:
        self.arrive(owner, blocks, [77] * len(blocks))


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("rig", [Host, Ledger], ids=["host", "ledger"])
def test_a_memory_conforms(rig: type[Rig], body: str) -> None:
    BODIES[body](rig())


@pytest.mark.parametrize("kind", [Host, Ledger], ids=["host", "ledger"])
def test_a_report_says_whose_leases_it_is_about(kind: type[Host] | type[Ledger]) -> None:
    rig = kind()
    memory = rig.memory
    memory.hand_out(5, [0, 1], [])
    memory.hand_out(6, [1], [])
    assert rig.leases == (5, 6), "two owners"
    memory.expect_write(6, [1])
    memory.expect_write(7, [1])
    assert rig.leases == (6, 7), "two writers"
    memory.release([1])
    assert rig.leases[-1] in (6, 7), "freed in doubt"
    memory.hand_out(8, [2], [])
    assert not memory.verify(3, [2], [9], TOKENS)
    assert rig.leases == (8,), "wrong KV"


def test_host_names_who_had_a_spoilt_block_last() -> None:
    rig = Host()
    rig.memory.hand_out(4, [3], [])
    rig.memory.release([3])
    rig.memory.view(3, 1)[0] = 1
    rig.memory.hand_out(9, [3], [])
    assert rig.leases == (4,)
