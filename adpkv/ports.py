"""The ports: the interfaces that a caller can implement in place of adpkv's own implementations.

Each is a `Protocol` whose docstrings are its contract. `adpkv.testing` has the conformance suites
that every implementation must pass, adpkv's own included.
"""

from adpkv.core.ids import NEVER
from adpkv.core.router import Load
from adpkv.core.values import RequestSpec
from adpkv.memory.port import Memory, ReuseWatch
from adpkv.model.port import Batch, Model
from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd
from adpkv.workload.port import Arrival, Workload
from adpkv.worlds.custom_ports import (
    MemorySetting,
    Policy,
    RealMemory,
    RealTransportSetting,
    TransportSetting,
    VirtualMemory,
)

__all__ = [
    "NEVER",
    "Arrival",
    "Batch",
    "EndKind",
    "Load",
    "Memory",
    "MemorySetting",
    "Model",
    "Policy",
    "Proof",
    "RealMemory",
    "RealTransportSetting",
    "RequestSpec",
    "ReuseWatch",
    "Transfer",
    "Transport",
    "TransportEnd",
    "TransportSetting",
    "VirtualMemory",
    "Workload",
]
