"""Custom transports, memories, models, workloads and policies that an experiment gives by name.

A name is `mypackage.module:Factory`, or an entry point of an installed package. Names are checked
when an experiment is read, which imports nothing. Factories are imported and called when the
experiment is built, by both worlds.
"""

from adpkv.plugins.factories import Factory, called, factory, fits, made
from adpkv.plugins.foreign import as_index, is_ours, raised
from adpkv.plugins.names import (
    MEMORY,
    MODEL,
    NAME_PATTERN,
    POLICY,
    SLOTS,
    TRANSPORT,
    WORKLOAD,
    Slot,
    check_name,
    installed,
    near_name,
)
from adpkv.plugins.own_port import OwnPort, bare
from adpkv.plugins.port_check import check_port, missing_names

__all__ = [
    "MEMORY",
    "MODEL",
    "NAME_PATTERN",
    "POLICY",
    "SLOTS",
    "TRANSPORT",
    "WORKLOAD",
    "Factory",
    "OwnPort",
    "Slot",
    "as_index",
    "bare",
    "called",
    "check_name",
    "check_port",
    "factory",
    "fits",
    "installed",
    "is_ours",
    "made",
    "missing_names",
    "near_name",
    "raised",
]
