"""Opens a group's exchange: over shared memory where all members can have it, else over MPI.

The first member of each host creates the segment, the others of the host open it, and then all
members of the group agree on whether everybody has it. So no two members ever use different
exchanges. All that they tell each other goes over the group's own communicator: a rank failure
while this happens is an error of MPI, and whoever gets it can interrupt the others (`recovery`). On
a communicator that only some have got yet, nobody could.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from mpi4py import MPI

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import slot_path, slot_paths
from adpkv.flight_recorder.slot_layout import TOKEN_BYTES, Layout
from adpkv.worlds.mpi.agreement import AgreedError, first_problem
from adpkv.worlds.mpi.exchange.host_links import HostLinks
from adpkv.worlds.mpi.exchange.over_mpi import MpiExchange
from adpkv.worlds.mpi.exchange.port import Exchange
from adpkv.worlds.mpi.exchange.segment import Segment, obstacle
from adpkv.worlds.mpi.exchange.shared import SharedExchange
from adpkv.worlds.mpi.mpi_yields import MpiYields

__all__ = ["ExchangeMaker"]

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
DIGEST_BYTES: Final = 32

MOST_HOSTS: Final = 32
"""Of a group over shared memory: the first member of each host sends a message to each other one in
each collective."""


@dataclass(frozen=True, slots=True)
class ExchangeMaker:
    """Opens the exchanges of this rank's groups.

    `collectives` is the experiment's setting, `folder` the job's directory on this host, `crowded`
    whether ranks share cores here, `mpi_yields` whether MPI gives the core away in a poll.
    """

    collectives: Literal["auto", "shared_memory", "mpi"]
    folder: Path
    crowded: bool
    mpi_yields: MpiYields = field(default_factory=MpiYields)

    def open(
        self, communicator: MPI.Comm, group: int, epoch: int, ranks: Sequence[int] | None = None
    ) -> Exchange:
        """This member's end of the exchange of a group. Every member must call it. `ranks` are the
        world ranks of the members; their numbers in the communicator if None.

        Raises:
            AgreedError: the experiment insists on shared memory, and a member cannot have it. Not
                in later epochs: who has begun goes on over MPI.
            MPI.Exception: a rank failure interrupted it.
        """
        if self.collectives == "mpi":
            return MpiExchange(communicator)
        members = tuple(range(communicator.size) if ranks is None else ranks)
        opening = _Opening(self.folder, communicator, group, epoch, members)
        problem = opening.problem_of_all()
        if not problem:
            return opening.exchange(self.crowded, self.mpi_yields)
        if self.collectives == "shared_memory" and epoch == 0:
            raise AgreedError(f"topology.collectives: shared_memory: {problem}")
        return MpiExchange(communicator)


class _Opening:
    """A member's part in the opening of a group's segments. Every member must call the methods in
    their order."""

    def __init__(
        self, folder: Path, members: MPI.Comm, group: int, epoch: int, ranks: tuple[int, ...]
    ) -> None:
        self._folder, self._members, self._ranks = folder, members, ranks
        self._group, self._epoch = group, epoch
        self._segment: Segment | None = None
        self._hosts: list[list[int]] = []
        self._here: list[int] = []

    def problem_of_all(self) -> str:
        """Create or open the segment; the problem of the first member that has one, on every
        member; empty if none has."""
        token = self._find_hosts()
        if len(self._hosts) > MOST_HOSTS:
            return f"a group on {len(self._hosts)} hosts, at most {MOST_HOSTS} can be"
        path = slot_path(self._folder, self._group, self._epoch, token)
        layout = Layout(self._group, self._epoch, self._ranks, tuple(self._here))
        creates = self._here[0] == self._members.rank
        agreed = False
        try:
            problem = obstacle(self._folder)
            if creates and not problem:
                problem = self._have(lambda: Segment.create(path, layout, token))
            self._members.Barrier()
            if not (creates or problem):
                problem = self._have(lambda: Segment.open(path, layout, token))
            problem = first_problem(self._members, problem)
            agreed = not problem
            return problem
        finally:
            if creates and self._segment is not None:
                old = self._of_past_epochs() if agreed else [path]
                for one in old:
                    with suppress(OSError):
                        one.unlink()

    def _of_past_epochs(self) -> list[Path]:
        """What this group has used until now."""
        return [
            path
            for epoch in range(self._epoch)
            for path in slot_paths(self._folder, self._group, epoch)
        ]

    def _have(self, make: Callable[[], Segment]) -> str:
        try:
            self._segment = make()
        except UsageError as error:
            return str(error)
        except OSError as error:
            return f"{self._folder}: no shared memory: {error.strerror or error}"
        return ""

    def _find_hosts(self) -> bytes:
        """Find the members of each host, in the order of their first members; returns the token of
        this host's first one. Whoever sees the same directory is on the same host."""
        said = _directory(self._folder) + secrets.token_bytes(TOKEN_BYTES)
        heard, size = bytearray(len(said) * self._members.size), len(said)
        self._members.Allgather([said, size, MPI.BYTE], [heard, size, MPI.BYTE])
        hosts: dict[bytes, list[int]] = {}
        for member in range(self._members.size):
            directory = bytes(heard[member * size : (member + 1) * size - TOKEN_BYTES])
            hosts.setdefault(directory, []).append(member)
        self._hosts, self._here = list(hosts.values()), hosts[said[:-TOKEN_BYTES]]
        end = (self._here[0] + 1) * size
        return bytes(heard[end - TOKEN_BYTES : end])

    def exchange(self, crowded: bool, mpi_yields: MpiYields) -> SharedExchange:
        """This member's end, if no member has a problem."""
        assert self._segment is not None
        links, rank = None, self._members.rank
        if len(self._hosts) > 1:
            leads = rank == self._here[0]
            leaders = self._members.Split(0 if leads else MPI.UNDEFINED, rank)
            if leads:
                links = HostLinks(
                    leaders, self._hosts, self._segment, crowded=crowded, mpi_yields=mpi_yields
                )
        return SharedExchange(
            self._segment,
            rank,
            self._here.index(rank),
            watch=self._members.Dup(),
            links=links,
            hosts=len(self._hosts),
            crowded=crowded,
        )


def _directory(folder: Path) -> bytes:
    """What only those have in common who see this directory: the running kernel, and the
    directory's number on its file system. Nobody shares one that is not there."""
    try:
        found, boot = folder.stat(), BOOT.read_bytes()
    except OSError:
        return secrets.token_bytes(DIGEST_BYTES)
    return sha256(b"%d %d " % (found.st_dev, found.st_ino) + boot).digest()
