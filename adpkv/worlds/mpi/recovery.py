"""What the living ranks of a job do together when one has died (Open MPI's ULFM).

Any error of MPI is a suspicion: a death was also reported as "other" (7 of 182). Who has one
revokes every communicator but that of the KV bytes, so that all ranks get here, whatever they wait
in. Together they make a communicator of the living, all others from it, tell each other where they
stand, and agree that this went well on every rank; else once more: without this loop, a second
death 20 ms later broke 10 of 59 recoveries. Only then anything is changed.
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
from adpkv.worlds.mpi.bridge import Bridge
from adpkv.worlds.mpi.brought import Wire
from adpkv.worlds.mpi.driver import Driver
from adpkv.worlds.mpi.group import Group
from adpkv.worlds.mpi.letters import Endpoint
from adpkv.worlds.mpi.standing import Brought, Standing, givers, targets
from adpkv.worlds.mpi.wires import Seats, Wires, must_be_whole

__all__ = ["Recovery"]

MOST_TRIES: Final = 64
"""Each try that fails needs another death in the middle of it."""

MOST_FALSE_ALARMS: Final = 8
"""Errors of MPI with nobody dead, before one is taken for what it is: something else."""

HEAD_BYTES: Final = 16
"""A length and a checksum."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one try has made; nothing else has changed yet."""

    wires: Wires
    standings: list[Standing]
    groups: dict[int, Group]
    handed: dict[int, Brought]


class Recovery:
    """One rank's part. `make_groups(wires, last)` makes this rank's groups; `last` are the numbers
    of their last meetings."""

    def __init__(
        self,
        rank: int,
        instance: int,
        *,
        driver: Driver,
        mail: Endpoint,
        desk: Endpoint,
        wire: Wire,
        make_groups: Callable[[Wires, dict[int, int]], dict[int, Group]],
    ) -> None:
        self._rank, self._instance = rank, instance
        self._driver, self._mail, self._desk, self._wire = driver, mail, desk, wire
        self._make_groups = make_groups
        self._false_alarms = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self.lost: list[int] = []
        """The ranks that have died so far."""
        self.behind = 0
        """How many meetings this rank was behind its group, the last time."""

    def all_is_well(self, wires: Wires, here: bool) -> bool:
        """Is it so on every living rank? Each must ask, once, before it recovers or is done with
        the others: the answer is the same everywhere, so that nobody waits for one that has gone.
        """
        if not here:
            wires.revoke()
        return _agreed(wires.world, here)

    def run(self, wires: Wires, error: MPI.Exception | None, interrupted: Group | None) -> Wires:
        """Not all is well, maybe in a meeting of a group: every living rank comes, each with its
        `wires`. Returns those to go on with, everything of this rank being moved to them.

        Raises:
            AdpkvError: it does not come to an end.
        """
        if interrupted is not None:
            interrupted.step_back()
        standing = Standing(
            self._rank,
            {number: group.sequence + 1 for number, group in self._driver.groups.items()},
            self._mail.halt(),
            self._desk.halt(),
        )
        for _ in range(MOST_TRIES):
            found = self._try(standing, wires)
            if found is not None:
                self._move(wires.seats, found, error)
                return found.wires
        raise AdpkvError(f"no communicator of the living after {MOST_TRIES} tries") from error

    def _try(self, standing: Standing, before: Wires) -> _Found | None:
        living = MPI.COMM_WORLD.Shrink()
        found = None
        try:
            found = self._make(living, standing, before)
        except MPI.Exception:
            # The others may wait for this rank there, or come to.
            living.Revoke()
        return found if _agreed(living, found is not None) else None

    def _make(self, living: MPI.Comm, standing: Standing, before: Wires) -> _Found:
        living.Set_errhandler(MPI.ERRORS_RETURN)
        ranks = living.Get_group().Translate_ranks(None, MPI.COMM_WORLD.Get_group())
        assert isinstance(living, MPI.Intracomm)
        seats = Seats([int(rank) for rank in ranks])
        wires = Wires(living, self._instance, seats, before.epoch + 1, before.data)
        try:
            standings = self._told(living, standing, Standing)
            handed = self._handed(living, standings)
            last = {number: at - 1 for number, at in targets(standings).items()}
            return _Found(wires, standings, self._make_groups(wires, last), handed)
        except MPI.Exception:
            wires.revoke()
            raise

    def _handed(self, living: MPI.Comm, standings: Sequence[Standing]) -> dict[int, Brought]:
        """By group of this rank: the meeting that a member missed, from one who has it."""
        wanted = givers(standings)
        if not wanted:
            return {}  # the same on every rank
        groups, gift = self._driver.groups, {}
        for number, (giver, meeting) in wanted.items():
            brought = groups[number].remembered(meeting) if giver == self._rank else None
            if brought is not None:
                gift[number] = brought
        gifts = self._told(living, gift, dict[int, Brought])
        return {number: brought for gift in gifts for number, brought in gift.items()}

    def _told(self, living: MPI.Comm, said: Any, kind: Any) -> list[Any]:
        """What every living rank says."""
        letter = self._encode(said)
        own = array("Q", [len(letter), crc32(letter)])
        heads = array("Q", bytes(HEAD_BYTES * living.size))
        living.Allgather([own, HEAD_BYTES, MPI.BYTE], [heads, HEAD_BYTES, MPI.BYTE])
        must_be_whole(living)
        lengths = list(heads[::2])
        landed = bytearray(sum(lengths))
        living.Allgatherv([letter, len(letter), MPI.BYTE], [landed, lengths, MPI.BYTE])
        found, at = [], 0
        for length, digest in zip(lengths, heads[1::2], strict=True):
            heard = landed[at : at + length]
            if crc32(heard) != digest:
                raise MPI.Exception(MPI.ERR_OTHER)  # `must_be_whole` says why
            found.append(msgspec.msgpack.decode(heard, type=kind))
            at += length
        return found

    def _move(self, before: Seats, found: _Found, error: MPI.Exception | None) -> None:
        """All have agreed: from here on this rank is in the new epoch."""
        wires, seats, standings = found.wires, found.wires.seats, found.standings
        lost = [rank for rank in before.ranks if seats.place(rank) is None]
        self.lost += lost
        self._false_alarms += not lost
        if self._false_alarms > MOST_FALSE_ALARMS:
            raise AdpkvError(f"MPI reports errors, but every rank is alive: {error}") from error
        told = {s.rank: s.mail.get(self._rank, 0) for s in standings}
        self._mail.move(wires.mail, seats, wires.revoke, told)
        told = {s.rank: s.desk.get(self._rank, 0) for s in standings}
        self._desk.move(wires.desk, seats, wires.revoke, told)
        self._wire.bury(lost)
        self._cross(found, lost)

    def _cross(self, found: _Found, lost: Sequence[int]) -> None:
        target, groups = targets(found.standings), self._driver.groups
        self.behind = target[self._instance] - groups[self._instance].sequence - 1
        for number, old in groups.items():
            members = [rank for rank in lost if number == self._instance and rank in old.ranks]
            bridge = Bridge(
                self._rank,
                old,
                found.groups[number],
                target[number],
                found.handed.get(number),
                members,
                self._driver.stats,
            )
            self._driver.replace(number, bridge)


def _agreed(communicator: MPI.Comm, here: bool) -> bool:
    """Does every living rank say so? An agreement is the one thing that a revoke does not break."""
    try:
        return bool(communicator.Agree(int(here)))
    except MPI.Exception:
        return False
