"""The tracked blocks of a pool: which blocks hold the KV of which prefix, and how they are leased.

They are kept in *runs*: blocks that follow each other in a prompt and have had the same leases ever
since they were committed. What happens to such blocks happens to the run, in one step: so a long
cached prefix costs a request hardly more than a short one. Where prompts part in the middle of a
run, it is cut in two there.

The hash of a block stands for the whole prefix up to its end, so it always comes after the same
hashes, and a run is found by its first one. A run without a lease is cached. Runs are evicted in
LRU order, the last block of a run first.

A trace may have ids of which this is not true: a hash twice in a prompt, or behind two prefixes.
Where two runs would then have the same first hash, the one that came to it later is *hidden*: no
prompt finds it, its leases keep it, and it is evicted in its turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import IntEnum
from itertools import takewhile
from typing import Final

__all__ = ["Part", "PrefixRuns", "Run", "Use"]


class Use(IntEnum):
    """What a lease's blocks are used for. Of a shared block the largest value counts. Everybody has
    them as plain numbers: Python takes five times as long to index a list by a member."""

    ACTIVE = 0
    IN_TRANSFER = 1
    QUARANTINED = 2


_ACTIVE: Final = int(Use.ACTIVE)

# The number of leases on a run, per use, packed into one integer: finding its use is a comparison,
# and a change of use is one addition.
_UNIT = (1, 1 << 20, 1 << 40)


def _use_of(holders: int) -> int:
    return 2 if holders >= _UNIT[2] else 1 if holders >= _UNIT[1] else 0


class Run:
    """Blocks that follow each other in a prompt, with the hashes of the prefixes that they end.

    There may be more hashes than blocks: those of blocks that were evicted from its end.
    """

    __slots__ = ("blocks", "hashes", "holders", "rest")

    def __init__(self, hashes: tuple[int, ...], blocks: list[int], holders: int) -> None:
        self.hashes = hashes
        self.blocks = blocks
        self.holders = holders
        self.rest: Run | None = None
        """What was cut off its end while leases had it. They have that too."""

    def alike(self, hashes: tuple[int, ...], place: int) -> int:
        """How many of its first blocks a prompt has whose hashes from `place` on are these."""
        theirs = hashes[place : place + len(self.blocks)]
        mine = self.hashes[: len(theirs)]
        if theirs == mine:
            return len(theirs)
        pairs = enumerate(zip(theirs, mine, strict=True))
        return next(at for at, (one, other) in pairs if one != other)


Part = tuple[Run, int]
"""What one lease has of a prompt: a run, and how many blocks it had then. Those that have been cut
off since are its `rest`."""


class PrefixRuns:
    """All runs of one pool. A call costs O(runs), and O(hashes) if it is given hashes; a cut costs
    O(blocks of the run), and an eviction O(what is evicted), on average."""

    def __init__(self) -> None:
        self._first: dict[int, Run] = {}
        """Each run by its first hash, but for the hidden ones."""
        # The cached runs, in LRU order. An OrderedDict finds its first entry in O(1) after many
        # removals; a dict does not.
        self._idle: OrderedDict[Run, None] = OrderedDict()
        self.cached = 0
        """Blocks of runs without a lease."""
        self.used = [0, 0, 0]
        """Blocks of the others, by their use."""

    def knows(self, first: int) -> bool:
        """Whether any prefix that begins with this hash is here."""
        return first in self._first

    def find(self, hashes: Sequence[int]) -> dict[Run, int]:
        """The runs that hold the longest known prefix of `hashes`, in order, each with how many of
        its blocks belong to it."""
        found: dict[Run, int] = {}
        wanted, place = tuple(hashes), 0
        while place < len(wanted):
            run = self._first.get(wanted[place])
            if run is None or run in found:  # a prefix that comes again is none
                break
            found[run] = count = run.alike(wanted, place)
            place += count
        return found

    def hold(self, found: Mapping[Run, int], into: list[int]) -> list[Part]:
        """Another lease, for now an active one, gets these runs, whose blocks are appended to
        `into`. A run is cut if it has more blocks than it is to give."""
        held = []
        for run, count in found.items():
            part = run
            if count < len(run.blocks):
                part = self._cut(run, count)
            elif not run.holders:
                del self._idle[run]
            if not part.holders:
                self.cached -= count
                self.used[_ACTIVE] += count
            part.holders += _UNIT[_ACTIVE]
            into += part.blocks
            held.append((part, count))
        return held

    def _cut(self, run: Run, count: int) -> Run:
        """Cut a run in two, and return the first part, which has `count` blocks.

        Of a leased run that is the same object: leases have it. Of a cached one the second part is,
        which keeps its place in LRU order.
        """
        hashes, blocks = run.hashes, run.blocks
        head, tail = (hashes[:count], blocks[:count]), (hashes[count:], blocks[count:])
        if run.holders:
            first, second = run, Run(*tail, run.holders)
            second.rest, run.rest = run.rest, second
            run.hashes, run.blocks = head
        else:
            first, second = Run(*head, 0), run
            run.hashes, run.blocks = tail
        self._first[first.hashes[0]] = first
        self._first.setdefault(second.hashes[0], second)  # or it is hidden
        return first

    def add(self, hashes: Sequence[int], blocks: list[int], use: int) -> Part | None:
        """These blocks, which one lease has, hold the KV of these hashes. They become a run, but
        for those from the first hash on that is in another one; None if there are no others."""
        known = self._first
        new = tuple(hashes)
        if not known.keys().isdisjoint(new):
            new = tuple(takewhile(lambda one: one not in known, new))
        if not new:
            return None
        run = Run(new, blocks[: len(new)], _UNIT[use])
        known[new[0]] = run
        self.used[use] += len(new)
        return run, len(new)

    def turn(self, parts: Sequence[Part], old: int, new: int) -> None:
        """A lease that has these parts is used otherwise."""
        used, change = self.used, _UNIT[new] - _UNIT[old]
        for run in _runs(parts):
            count, before = len(run.blocks), _use_of(run.holders)
            run.holders += change
            after = _use_of(run.holders)
            if after != before:
                used[before] -= count
                used[after] += count

    def drop(self, parts: Sequence[Part], use: int) -> int:
        """A lease that has these parts ends. What no other lease has is cached: returns how many
        blocks that are."""
        used, cached = self.used, self.cached
        # Backwards, so that the tail of a prefix is evicted before its head.
        for run in reversed(_runs(parts)):
            count, before = len(run.blocks), _use_of(run.holders)
            run.holders -= _UNIT[use]
            after = _use_of(run.holders)
            if not run.holders:
                run.rest = None
                self._idle[run] = None
                self.cached += count
                used[before] -= count
            elif after != before:
                used[before] -= count
                used[after] += count
        return self.cached - cached

    def evict(self, need: int, into: list[int]) -> None:
        """Take away `need` cached blocks, the least recently used first, and append them to
        `into`. There must be as many."""
        self.cached -= need
        while need:
            run = next(iter(self._idle))
            blocks = run.blocks
            left = len(blocks) - need
            if left < 0:
                left = 0
            into += blocks[left:][::-1]
            need -= len(blocks) - left
            if left:
                del blocks[left:]
                if len(run.hashes) > 2 * left:  # each time would cost the length of the run
                    run.hashes = run.hashes[:left]
            else:
                del self._idle[run]
                if self._first.get(run.hashes[0]) is run:
                    del self._first[run.hashes[0]]

    def in_order(self) -> list[int]:
        """The cached blocks in the order in which they would be evicted."""
        return [block for run in self._idle for block in reversed(run.blocks)]

    def leased(self) -> list[int]:
        """The tracked blocks that have a lease."""
        return [block for run in self._leased() for block in run.blocks]

    def _leased(self) -> list[Run]:
        """The runs that have a lease. Of a hidden one the lease also has what it was cut off."""
        found: dict[Run, None] = {}
        for run in self._first.values():
            one: Run | None = run if run.holders else None
            while one is not None:
                found[one] = None
                one = one.rest
        return [run for run in found if run.holders]

    def check_integrity(self) -> None:
        """Raise AssertionError unless all indexes agree. For tests."""
        by_use, leased = [0, 0, 0], self._leased()
        for run in leased:
            by_use[_use_of(run.holders)] += len(run.blocks)
        for run in (*leased, *self._idle):
            assert 0 < len(run.blocks) <= len(run.hashes), "hashes and blocks"
            assert (run in self._idle) != (run.holders > 0), "a run is cached with a lease"
        for value, run in self._first.items():
            assert run.hashes[0] == value, "a run has another first hash"
            assert run.holders or run in self._idle, "a run is neither cached nor leased"
        assert by_use == self.used, "uses"
        assert self.cached == len(self.in_order()), "how many are cached"


def _runs(parts: Sequence[Part]) -> list[Run]:
    """The runs that these parts have become, in order."""
    found = []
    for run, count in parts:
        found.append(run)
        left = count - len(run.blocks)
        while left:
            assert run.rest is not None, "a part has lost its rest"
            run = run.rest
            found.append(run)
            left -= len(run.blocks)
    return found
