"""Opens a group's exchange: over shared memory where all members can have it, else over MPI.

The first member of each host creates the segment, the others of the host open it, and then all
members of the group agree on whether everybody has it. So no two members ever use different
exchanges. A rank failure while this happens is an error of MPI, as everywhere in `recovery`.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mpi4py import MPI

from adpkv.errors import UsageError
from adpkv.worlds.mpi.agreement import AgreedError, first_problem
from adpkv.worlds.mpi.exchange.host_links import HostLinks
from adpkv.worlds.mpi.exchange.over_mpi import MpiExchange
from adpkv.worlds.mpi.exchange.port import Exchange
from adpkv.worlds.mpi.exchange.segment import (
    TOKEN_BYTES,
    Layout,
    Segment,
    obstacle,
    segment_path,
)
from adpkv.worlds.mpi.exchange.shared import SharedExchange

__all__ = ["ExchangeMaker"]

MOST_HOSTS: Final = 32
"""Of a group over shared memory: the first member of each host sends a message to each other one in
each collective."""


@dataclass(frozen=True, slots=True)
class ExchangeMaker:
    """Opens the exchanges of this rank's groups.

    `collectives` is the experiment's setting, `folder` the job's directory on this host, `crowded`
    whether ranks share cores here.
    """

    collectives: Literal["auto", "shared_memory", "mpi"]
    folder: Path
    crowded: bool

    def open(self, communicator: MPI.Comm, group: int, epoch: int) -> Exchange:
        """This member's end of the exchange of a group. Every member must call it.

        Raises:
            AgreedError: the experiment insists on shared memory, and a member cannot have it. Not
                in later epochs: who has begun goes on over MPI.
            MPI.Exception: a rank failure interrupted it.
        """
        if self.collectives == "mpi":
            return MpiExchange(communicator)
        host = communicator.Split_type(MPI.COMM_TYPE_SHARED)
        opening = _Opening(self.folder, communicator, host, group, epoch)
        problem = opening.problem_of_all()
        if not problem:
            exchange = opening.exchange(crowded=self.crowded)
            host.Free()
            return exchange
        host.Free()
        if self.collectives == "shared_memory" and epoch == 0:
            raise AgreedError(f"topology.collectives: shared_memory: {problem}")
        return MpiExchange(communicator)


class _Opening:
    """A member's part in the opening of a group's segments. `host` is the communicator of those
    members that are on this host. Every member must call the methods in their order."""

    def __init__(
        self, folder: Path, members: MPI.Comm, host: MPI.Comm, group: int, epoch: int
    ) -> None:
        self._folder, self._members, self._host = folder, members, host
        self._layout = Layout(group, epoch, members.size, host.size)
        self._segment: Segment | None = None
        self._hosts: list[list[int]] = []

    def problem_of_all(self) -> str:
        """Create or open the segment; the problem of the first member that has one, on every
        member; empty if none has."""
        token = bytearray(secrets.token_bytes(TOKEN_BYTES))
        self._host.Bcast([token, TOKEN_BYTES, MPI.BYTE])
        path = segment_path(self._folder, bytes(token))
        creates = self._host.rank == 0
        try:
            problem = obstacle(self._folder)
            if creates and not problem:
                problem = self._have(lambda: Segment.create(path, self._layout, bytes(token)))
            self._host.Barrier()
            if not (creates or problem):
                problem = self._have(lambda: Segment.open(path, self._layout, bytes(token)))
            self._hosts = self._find_hosts()
            if len(self._hosts) > MOST_HOSTS:
                return f"a group on {len(self._hosts)} hosts, at most {MOST_HOSTS} can be"
            return first_problem(self._members, problem)
        finally:
            # All have opened the file, or nobody will.
            if creates and self._segment is not None:
                path.unlink(missing_ok=True)

    def _have(self, make: Callable[[], Segment]) -> str:
        try:
            self._segment = make()
        except UsageError as error:
            return str(error)
        except OSError as error:
            return f"{self._folder}: no shared memory: {error.strerror or error}"
        return ""

    def _find_hosts(self) -> list[list[int]]:
        """The members of each host, in the order of their first members."""
        first = array("i", [self._members.rank])
        self._host.Bcast([first, MPI.INT])
        firsts = array("i", bytes(first.itemsize * self._members.size))
        self._members.Allgather([first, MPI.INT], [firsts, 1, MPI.INT])
        hosts: dict[int, list[int]] = {}
        for member, host in enumerate(firsts):
            hosts.setdefault(host, []).append(member)
        return list(hosts.values())

    def exchange(self, *, crowded: bool) -> SharedExchange:
        """This member's end, if no member has a problem."""
        assert self._segment is not None
        links = None
        if len(self._hosts) > 1:
            leads = self._host.rank == 0
            leaders = self._members.Split(0 if leads else MPI.UNDEFINED, self._members.rank)
            if leads:
                links = HostLinks(leaders, self._hosts, self._segment, crowded=crowded)
        return SharedExchange(
            self._segment,
            self._members.rank,
            self._host.rank,
            watch=self._members.Dup(),
            links=links,
            hosts=len(self._hosts),
            crowded=crowded,
        )
