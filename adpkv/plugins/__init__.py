"""What is brought by name: `mypackage.module:Factory`, or the entry point of an installed package.

Names are checked where an experiment is read, which imports nothing; what they stand for is
imported and called where the experiment is built. Both worlds come here for it.
"""

from adpkv.plugins.factories import Factory, called, factory, fits, made, raised
from adpkv.plugins.kept import kept, lacks
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
)
from adpkv.plugins.naming import named

__all__ = [
    "MEMORY",
    "MODEL",
    "NAME_PATTERN",
    "POLICY",
    "SLOTS",
    "TRANSPORT",
    "WORKLOAD",
    "Factory",
    "Slot",
    "called",
    "check_name",
    "factory",
    "fits",
    "installed",
    "kept",
    "lacks",
    "made",
    "named",
    "raised",
]
