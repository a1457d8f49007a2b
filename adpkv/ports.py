"""The ports: what touches the outside of adpkv, and what a caller can bring in place of ours.

Each is a `Protocol` whose docstrings are its contract. `adpkv.testing` has the suites that every
implementation must pass, ours too.
"""

from adpkv.core.ids import NEVER
from adpkv.core.router import Load
from adpkv.core.values import RequestSpec
from adpkv.memory.port import Memory
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
    "Transfer",
    "Transport",
    "TransportEnd",
    "TransportSetting",
    "VirtualMemory",
    "Workload",
]
