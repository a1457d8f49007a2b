"""One rank's agent of NIXL: the library, the registered memory, and the peers.

The library is imported when the first agent is created. It needs no torch, although its package
asks for it. Its progress thread is off: it takes a core for each rank, so the library makes
progress only when this rank polls.

An agent registers the whole memory once, and describes its blocks to the library once for itself
and once for each peer. A transfer then only names block numbers, and the library merges adjacent
ones into one descriptor.
"""

from __future__ import annotations

import os
import socket
from importlib import import_module, metadata
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from adpkv.errors import UsageError
from adpkv.memory.port import HOST, Region
from adpkv.transport.cards import Card

__all__ = ["MODULES", "Agent", "Blocks", "Exposed", "Handle", "library"]

MODULES: Final = ("nixl_cu13", "nixl_cu12")
"""The names that the library's module has in its two packages."""

LEAST: Final = (1, 5)
"""The oldest version that describes the blocks of a memory by their stride."""

GET: Final = "pip install --no-deps nixl-cu13 (or nixl-cu12)"

MOST_RUNS: Final = 256
"""How many handles are kept to be used again."""

Array = np.ndarray[Any, np.dtype[np.int32]]

Blocks = Array | list[int]
"""Block numbers, as the library takes them."""

Handle = int
"""A posted or prepared transfer of the library, as its bindings know it: the object around it took
longer to make than the transfer. Nothing gives it back but `finish` and `release`."""

QUIET: Final = {"NIXL_LOG_LEVEL": "FATAL", "UCX_LOG_LEVEL": "fatal"}
"""Without these the library writes to stdout when it begins, and to stderr when a peer fails, which
is reported by other means. What the user has set is kept."""


class Exposed(Protocol):
    """The memory that peers write into: a pool of blocks, or a staging area."""

    block_bytes: int

    def region(self) -> Region:
        """All blocks together, block after block."""
        ...


class _Address(msgspec.Struct, frozen=True, gc=False):
    """What a peer needs: the agent's own description of itself, and where the blocks are."""

    agent: bytes
    region: Region


class _Run(NamedTuple):
    """A write of adjacent blocks: to which rank, from and to which block, and how many."""

    to: int
    source: int
    target: int
    blocks: int


class _Described(NamedTuple):
    """The blocks of a memory, described to the library: its object, which has the blocks for as
    long as it lives, and its handle, by which the bindings know them."""

    kept: Any
    handle: int


class _Peer(NamedTuple):
    name: str | bytes
    blocks: _Described


def library() -> tuple[Any, str]:
    """The library's module, imported, and its version.

    Raises:
        UsageError: it is not installed, cannot be imported, or is too old.
    """
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    for module in MODULES:
        try:
            found = import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise UsageError(_said(f"{module} cannot be imported: {error}: {GET}")) from error
            continue
        except ImportError as error:
            raise UsageError(_said(f"{module} cannot be imported: {error}: {GET}")) from error
        version = metadata.version(module.replace("_", "-"))
        if tuple(int(part) for part in version.split(".")[:2]) < LEAST:
            wanted = ".".join(map(str, LEAST))
            raise UsageError(_said(f"{module} is {version}, and {wanted} or newer is needed"))
        return found, version
    raise UsageError(_said(f"the library is not installed: {GET}"))


def _said(problem: str) -> str:
    return f"transceiver.transport: nixl: {problem}"


class Agent:
    """This rank's agent, with its memory registered.

    Args:
        rank: the world rank.
        memory: what peers write into.
        backend: the back end of the library.

    Raises:
        UsageError: the library or its back end is not there, its version does not fit, or it cannot
            register this memory.
    """

    def __init__(self, rank: int, memory: Exposed, backend: str) -> None:
        module, self._version = library()
        bindings = import_module(f"{module.__name__}._bindings")
        self.errors: tuple[type[Exception], ...] = tuple(
            found
            for name, found in vars(bindings).items()
            if name.startswith("nixl") and name.endswith("Error")
        )
        """Every error that the library raises."""
        self._backend, self._rank, self._memory = backend, rank, memory
        self._region = memory.region()
        settings = module.nixl_agent_config(enable_prog_thread=False, backends=[])
        self._agent = module.nixl_agent(f"rank {rank}", settings)
        self._create_backend()
        self._done, self._in_progress = bindings.NIXL_SUCCESS, bindings.NIXL_IN_PROG
        self._write = bindings.NIXL_WRITE
        self._through = [self._agent.backends[backend]]
        # What is called for each transfer, without the library's own layer of Python.
        bound = self._agent.agent
        self._make, self._post, self._state = (
            bound.makeXferReq,
            bound.postXferReq,
            bound.getXferStatus,
        )
        self._release, self._notices = bound.releaseXferReq, bound.getNotifs
        self._notify = bound.genNotif
        self._kind = "DRAM" if self._region.device == HOST else "VRAM"
        self._registered = self._register()
        self._own = self._describe("NIXL_INIT_AGENT", self._region)
        self._description = self._described()
        self._addresses: list[_Address] = []
        self._peers: dict[int, _Peer] = {}
        self._runs: dict[_Run, Handle] = {}
        """Handles that have ended and may be posted again, the oldest first."""
        self._run_of: dict[int, _Run] = {}
        """By a handle that is in use: what it writes, if it may be kept."""

    def _create_backend(self) -> None:
        try:
            self._agent.create_backend(self._backend, {})
        except self.errors as error:
            there = ", ".join(self._agent.get_plugin_list())
            raise UsageError(
                f"transceiver.nixl_backend: NIXL {self._version} cannot create {self._backend}"
                f" here ({error}); its plugins are {there}"
            ) from error

    def _register(self) -> Any:
        region = self._region
        try:
            return self._agent.register_memory(
                [(region.address, region.nbytes, max(region.device, 0), "")],
                self._kind,
                [self._backend],
            )
        except self.errors as error:
            what = "host memory" if region.device == HOST else f"memory of device {region.device}"
            raise UsageError(
                _said(f"{self._backend} cannot register {region.nbytes} bytes of {what}: {error}")
            ) from error

    def _described(self) -> bytes:
        """The agent's own description of itself, for its peers."""
        try:
            found: bytes = self._agent.get_agent_metadata()
        except self.errors as error:
            raise UsageError(
                f"transceiver.nixl_backend: {self._backend} does not write into other ranks' memory"
            ) from error
        return found

    def _describe(self, name: str | bytes, region: Region) -> _Described:
        """All blocks of a region, for the library.

        Raises:
            UsageError: this version keeps the handle elsewhere. The agent's own blocks show it, as
                it is created.
        """
        size = self._memory.block_bytes
        count = region.nbytes // size
        every = np.array([[region.address, size, max(region.device, 0), size, count]], np.uint64)
        kind = "DRAM" if region.device == HOST else "VRAM"
        described = self._agent.prep_xfer_dlist(name, every, kind, [self._backend])
        try:
            return _Described(described, described._handle)  # the library gives it by no other name
        except AttributeError as error:
            raise UsageError(
                _said(f"version {self._version} does not fit: {error}; 1.5.1 does: {GET}")
            ) from error

    def card(self) -> Card:
        """What the other ranks need to know of this one."""
        address = _Address(self._description, self._region)
        alike = (
            ("NIXL", self._version),
            ("back end", self._backend),
            ("blocks of bytes", str(self._memory.block_bytes)),
        )
        return Card("nixl", alike, socket.gethostname(), msgspec.msgpack.encode(address))

    def take_cards(self, cards: list[Card]) -> None:
        """The cards of all ranks, by rank. Connects one peer: the first takes 10 ms, each further
        one 0.5 ms when it is first used.

        Raises:
            UsageError: the back end cannot write into another agent's memory.
        """
        self._addresses = [msgspec.msgpack.decode(card.address, type=_Address) for card in cards]
        other = (self._rank + 1) % len(cards)
        if other == self._rank:
            return
        try:
            self._peer(other)
        except self.errors as error:
            raise UsageError(
                f"transceiver.nixl_backend: {self._backend} cannot write into the memory of rank"
                f" {other}: {error}"
            ) from error

    def _peer(self, rank: int) -> _Peer:
        """A peer, connected. The connection is made when it is first written to."""
        found = self._peers.get(rank)
        if found is None:
            address = self._addresses[rank]
            name = self._agent.add_remote_agent(address.agent)
            found = self._peers[rank] = _Peer(name, self._describe(name, address.region))
        return found

    def prepare(self, to: int, source: Blocks, target: Blocks, notice: bytes) -> Handle:
        """Prepare to write blocks of this rank into blocks of a peer.

        Args:
            notice: what the peer is notified of when all of it has landed; empty for nothing.

        Raises:
            one of `errors`: the peer cannot be reached.
        """
        into = (self._peers.get(to) or self._peer(to)).blocks.handle
        made: Handle = self._make(
            self._write, self._own.handle, source, into, target, notice, self._through, False
        )
        return made

    def prepare_run(self, to: int, source: int, target: int, count: int) -> Handle:
        """The same for `count` adjacent blocks from `source` to `target`, as from slot to slot,
        where the same write comes again and again: its handle is used again.

        Raises:
            one of `errors`: the peer cannot be reached.
        """
        run = _Run(to, source, target, count)
        handle = self._runs.pop(run, None)
        if handle is None:
            out, into = (np.arange(one, one + count, dtype=np.int32) for one in (source, target))
            handle = self.prepare(to, out, into, b"")
        self._run_of[handle] = run
        return handle

    def post(self, handle: Handle, notice: bytes = b"") -> bool:
        """Begin to write; returns whether it has ended already. Costs some microseconds for each
        descriptor, and within a host the time of the copy. With a notice, it is that of this time.

        Raises:
            one of `errors`, or ConnectionError: some of it may be on its way.
        """
        status = self._post(handle, notice)
        return False if status == self._in_progress else self._has_ended(status)

    def notify(self, to: int, notice: bytes) -> None:
        """Notify a peer of what has landed already.

        Raises:
            one of `errors`: the peer cannot be reached.
        """
        self._notify(self._peers[to].name, notice, self._through)

    def is_done(self, handle: Handle) -> bool:
        """Whether a write has ended: its bytes are where they belong. Never waits.

        Raises:
            one of `errors`, or ConnectionError: it has ended, and bytes may be missing.
        """
        status = self._state(handle)
        return False if status == self._in_progress else self._has_ended(status)

    def _has_ended(self, status: Any) -> bool:
        """True, unless it is an error."""
        if status != self._done:
            raise ConnectionError("NIXL reports ERR")
        return True

    def finish(self, handle: Handle) -> None:
        """A handle has ended well: keep it for the same write again, or release it."""
        run = self._run_of.pop(handle, None) if self._run_of else None
        if run is None or run in self._runs:
            self._release(handle)
            return
        self._runs[run] = handle
        if len(self._runs) > MOST_RUNS:
            self._release(self._runs.pop(next(iter(self._runs))))

    def release(self, handle: Handle) -> None:
        """Give back a handle that has ended. Of one that has not, this would prove nothing: the
        library stops nothing."""
        self._run_of.pop(handle, None)
        self._release(handle)

    def forget(self, rank: int) -> None:
        """A peer has failed: keep no handle for it."""
        for run in [run for run in self._runs if run.to == rank]:
            self._release(self._runs.pop(run))

    def notices(self) -> list[bytes]:
        """Make progress; what peers have notified this rank of since the last call."""
        found = self._notices({}, [])
        return [notice for notices in found.values() for notice in notices] if found else []

    def close(self) -> None:
        """Deregister the memory and forget all peers. No transfer is in flight."""
        for handle in self._runs.values():
            self._release(handle)
        self._runs.clear()
        for peer in self._peers.values():
            self._agent.release_dlist_handle(peer.blocks.kept)
        self._agent.release_dlist_handle(self._own.kept)
        for peer in self._peers.values():
            self._agent.remove_remote_agent(peer.name)
        self._peers.clear()
        self._agent.deregister_memory(self._registered, [self._backend])
