"""How the living ranks of a job recover when one has failed (Open MPI's ULFM).

Any error of MPI counts as a suspicion: 7 of 182 rank failures were reported as "other" errors. A
rank that gets one revokes every communicator but that of the KV bytes, so that all ranks come here,
whatever they wait in. Together they create a communicator of the living ranks, and all others from
it, exchange their positions, and agree on whether this succeeded on every rank. If not, they try
again: without this loop, a second failure 20 ms later broke 10 of 59 recoveries. Only after the
agreement is any state changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import msgspec
from mpi4py import MPI

from adpkv.errors import AdpkvError
from adpkv.worlds.mpi.communicators import (
    Communicators,
    LivingRanks,
    RankMap,
    raise_if_revoked,
)
from adpkv.worlds.mpi.custom_ports import RankTransport
from adpkv.worlds.mpi.driver import Driver
from adpkv.worlds.mpi.endpoint import Endpoint
from adpkv.worlds.mpi.group import Group
from adpkv.worlds.mpi.recovery.catch_up import CatchUp
from adpkv.worlds.mpi.recovery.positions import Contributions, RankPosition, sources, targets

__all__ = ["Recovery"]

MOST_TRIES: Final = 64
"""Each failed try needs another rank failure in the middle of it."""

MOST_FALSE_ALARMS: Final = 8
"""Errors of MPI without a failed rank, before such an error is raised as what it is."""

HEAD_BYTES: Final = 16
"""The bytes of a length and a checksum."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one try has created; no other state has changed yet."""

    communicators: Communicators
    positions: list[RankPosition]
    groups: dict[int, Group]
    handed: dict[int, Contributions]


class Recovery:
    """One rank's part in recoveries. `make_groups(communicators, last)` creates this rank's groups;
    `last` are the numbers of their last collectives."""

    def __init__(
        self,
        rank: int,
        instance: int,
        *,
        living: LivingRanks,
        driver: Driver,
        messages: Endpoint,
        coordinator: Endpoint,
        transport: RankTransport,
        make_groups: Callable[[Communicators, dict[int, int]], dict[int, Group]],
    ) -> None:
        self._rank, self._instance, self._living = rank, instance, living
        self._driver, self._mpi_transport = driver, transport
        self._messages, self._coordinator = messages, coordinator
        self._make_groups = make_groups
        self._false_alarms = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self.behind = 0
        """By how many collectives this rank was behind its group in the last recovery."""

    def all_is_well(self, here: bool) -> bool:
        """Is `here` true on every living rank? Each rank must call it once before it recovers or
        leaves. The answer is the same on all, so no rank waits for one that has left."""
        if not here:
            self._living.revoke()
        return _agreed(self._living.communicators.world, here)

    def run(self, error: MPI.Exception | None, interrupted: Group | None) -> list[int]:
        """Recover after `error`, which may have interrupted a collective of the group
        `interrupted`. Every living rank must call it. Moves all state of this rank to new
        communicators, and returns the ranks that have failed since the last recovery.

        Raises:
            AdpkvError: it did not succeed.
        """
        if interrupted is not None:
            interrupted.undo_last()
        position = RankPosition(
            self._rank,
            {number: group.sequence + 1 for number, group in self._driver.groups.items()},
            self._messages.stop(),
            self._coordinator.stop(),
        )
        for _ in range(MOST_TRIES):
            found = self._try(position)
            if found is not None:
                return self._move(found, error)
        raise AdpkvError(f"no communicator of the living ranks after {MOST_TRIES} tries") from error

    def _try(self, position: RankPosition) -> _Found | None:
        living = MPI.COMM_WORLD.Shrink()
        found = None
        try:
            found = self._make(living, position)
        except MPI.Exception:
            # The others may already wait for this rank there, or may do so later.
            living.Revoke()
        return found if _agreed(living, found is not None) else None

    def _make(self, living: MPI.Comm, position: RankPosition) -> _Found:
        before = self._living.communicators
        living.Set_errhandler(MPI.ERRORS_RETURN)
        ranks = living.Get_group().Translate_ranks(None, MPI.COMM_WORLD.Get_group())
        assert isinstance(living, MPI.Intracomm)
        rank_map = RankMap([int(rank) for rank in ranks])
        communicators = Communicators(
            living, self._instance, rank_map, before.epoch + 1, before.data
        )
        try:
            positions = self._exchange(living, position, RankPosition)
            handed = self._exchange_missed(living, positions)
            last = {number: at - 1 for number, at in targets(positions).items()}
            return _Found(communicators, positions, self._make_groups(communicators, last), handed)
        except MPI.Exception:
            communicators.revoke()
            raise

    def _exchange_missed(
        self, living: MPI.Comm, positions: Sequence[RankPosition]
    ) -> dict[int, Contributions]:
        """By group of this rank: the content of the collective that a member missed, from a rank
        that has it."""
        wanted = sources(positions)
        if not wanted:
            return {}  # the same on every rank
        groups, gift = self._driver.groups, {}
        for number, (source, operation) in wanted.items():
            contributions = (
                groups[number].contributions_to(operation) if source == self._rank else None
            )
            if contributions is not None:
                gift[number] = contributions
        gifts = self._exchange(living, gift, dict[int, Contributions])
        return {number: contributions for gift in gifts for number, contributions in gift.items()}

    def _exchange(self, living: MPI.Comm, said: Any, kind: Any) -> list[Any]:
        """What every living rank contributes, in order."""
        message = self._encode(said)
        own = array("Q", [len(message), crc32(message)])
        heads = array("Q", bytes(HEAD_BYTES * living.size))
        living.Allgather([own, HEAD_BYTES, MPI.BYTE], [heads, HEAD_BYTES, MPI.BYTE])
        raise_if_revoked(living)
        lengths = list(heads[::2])
        landed = bytearray(sum(lengths))
        living.Allgatherv([message, len(message), MPI.BYTE], [landed, lengths, MPI.BYTE])
        found, at = [], 0
        for length, digest in zip(lengths, heads[1::2], strict=True):
            heard = landed[at : at + length]
            if crc32(heard) != digest:
                raise MPI.Exception(MPI.ERR_OTHER)  # `raise_if_revoked` says why
            found.append(msgspec.msgpack.decode(heard, type=kind))
            at += length
        return found

    def _move(self, found: _Found, error: MPI.Exception | None) -> list[int]:
        """All ranks have agreed: move this rank's state to the new epoch."""
        communicators, positions = found.communicators, found.positions
        rank_map = communicators.rank_map
        lost = self._living.note_lost(rank_map)
        self._false_alarms += not lost
        if self._false_alarms > MOST_FALSE_ALARMS:
            raise AdpkvError(f"MPI reports errors, but every rank is alive: {error}") from error
        taken = {s.rank: s.messages.get(self._rank, 0) for s in positions}
        self._messages.move(communicators.messages, rank_map, communicators.revoke, taken)
        taken = {s.rank: s.coordinator.get(self._rank, 0) for s in positions}
        self._coordinator.move(communicators.coordinator, rank_map, communicators.revoke, taken)
        self._mpi_transport.handle_peer_failure(lost)
        self._move_groups(found, lost)
        self._living.move_to(communicators)
        return lost

    def _move_groups(self, found: _Found, lost: Sequence[int]) -> None:
        target, groups = targets(found.positions), self._driver.groups
        self.behind = target[self._instance] - groups[self._instance].sequence - 1
        for number, old in groups.items():
            members = [rank for rank in lost if number == self._instance and rank in old.ranks]
            catch_up = CatchUp(
                self._rank,
                old,
                found.groups[number],
                target[number],
                found.handed.get(number),
                members,
                self._driver.stats,
            )
            self._driver.replace(number, catch_up)


def _agreed(communicator: MPI.Comm, here: bool) -> bool:
    """Is it true on every living rank? MPI_Comm_agree is the one operation that a revoke does not
    interrupt."""
    try:
        return bool(communicator.Agree(int(here)))
    except MPI.Exception:
        return False
