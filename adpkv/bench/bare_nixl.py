"""NIXL by itself: one WRITE of all ranges, one notification."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mpi4py import MPI

from adpkv.bench.bare import BareMemory, ranges
from adpkv.memory.port import HOST

__all__ = ["BareNixl"]

MODULES = ("nixl_cu13", "nixl_cu12")


class BareNixl:
    """`bare.Bare` over an agent without a progress thread."""

    def __init__(self, communicator: MPI.Intracomm, memory: BareMemory) -> None:
        api: Any = import_module(f"{next(filter(find_spec, MODULES))}._api")
        self._comm, self._size = communicator, memory.block_bytes
        region = memory.region()
        self._kind = "DRAM" if region.device == HOST else "VRAM"
        self._device = max(region.device, 0)
        settings = api.nixl_agent_config(enable_prog_thread=False)
        self._agent = api.nixl_agent(f"bare {communicator.rank}", settings)
        whole = [(region.address, region.nbytes, self._device, "")]
        self._registered = self._agent.register_memory(whole, self._kind)
        mine = self._agent.get_agent_metadata(), region.address, self._device
        theirs, self._their_address, self._their_device = communicator.allgather(mine)[
            1 - communicator.rank
        ]
        self._address = region.address
        named = self._agent.add_remote_agent(theirs)
        self._peer = named.decode() if isinstance(named, bytes) else named
        # Not with the first transfer: a thousand descriptors would wait for the connection then.
        self._agent.make_connection(self._peer)
        self._handle: Any = None

    def expect(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """Nothing: a WRITE needs no receive."""

    def send(self, number: int, source: Sequence[int], target: Sequence[int]) -> None:
        """One WRITE; a descriptor for each range."""
        size, cut = self._size, ranges(source, target)
        out = [(self._address + a * size, n * size, self._device) for a, _, n in cut]
        into = [(self._their_address + b * size, n * size, self._their_device) for _, b, n in cut]
        agent = self._agent
        self._handle = agent.initialize_xfer(
            "WRITE",
            agent.get_xfer_descs(out, self._kind),
            agent.get_xfer_descs(into, self._kind),
            self._peer,
            str(number).encode(),
        )
        agent.transfer(self._handle)

    def is_done(self) -> bool:
        """Sender: the handle's state is DONE. Receiver: the notification came."""
        if self._handle is None:
            return bool(self._agent.get_new_notifs())
        state = self._agent.check_xfer_state(self._handle)
        if state == "ERR":
            raise RuntimeError("the bare WRITE failed")
        if state != "DONE":
            return False
        self._agent.release_xfer_handle(self._handle)
        self._handle = None
        return True

    def close(self) -> None:
        """Give the agent's registration back."""
        self._agent.remove_remote_agent(self._peer)
        self._agent.deregister_memory(self._registered)
