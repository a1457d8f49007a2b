"""The keys of an experiment that take a name, and which names are known. Nothing is imported.

A name is one of ours, or that of an entry point, or `MODULE:FACTORY`; in this order. The first two
must be there when the experiment is read, so that a typing error is told with its line.
"""

from __future__ import annotations

import difflib
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple

__all__ = [
    "MEMORY",
    "MODEL",
    "NAME_PATTERN",
    "POLICY",
    "SLOTS",
    "TRANSPORT",
    "WORKLOAD",
    "Slot",
    "check_name",
    "installed",
]

NAME_PATTERN: Final = r"^[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*)?$"
"""What every name looks like; `re.ASCII`, as JSON Schema has it."""

_MODULE_FACTORY: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_MOST_LISTED: Final = 8
_NEAR: Final = 0.75
"""How alike a name must be to be meant: a package that is not installed is no typing error."""


class Slot(NamedTuple):
    """A key that takes a name."""

    port: str
    """The name of the port in `adpkv.ports`, and of the argument of `adpkv.run` in lower case."""
    key: str
    """Its path in the experiment."""
    ours: tuple[str, ...]
    group: str
    """The group of entry points that it looks into."""
    parameters: bool = False
    """Whether the rest of the section is the factory's."""


TRANSPORT: Final = Slot("Transport", "transceiver.transport", ("mpi",), "adpkv.transports")
MEMORY: Final = Slot("Memory", "kv_cache.memory", ("host",), "adpkv.memories")
MODEL: Final = Slot("Model", "model.kind", ("cost",), "adpkv.models", parameters=True)
WORKLOAD: Final = Slot(
    "Workload",
    "workload.kind",
    ("poisson", "closed_loop", "trace", "script"),
    "adpkv.workloads",
    parameters=True,
)
POLICY: Final = Slot("Policy", "router.policy", ("least_tokens",), "adpkv.policies")
SLOTS: Final = (WORKLOAD, MODEL, POLICY, MEMORY, TRANSPORT)


def installed(slot: Slot) -> dict[str, list[EntryPoint]]:
    """The entry points of installed packages by name, in the order of names. Two packages may
    offer the same name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=slot.group), key=lambda one: (one.name, one.value)):
        found.setdefault(entry.name, []).append(entry)
    return found


def check_name(slot: Slot, name: str) -> None:
    """Is it one of ours, `MODULE:FACTORY`, or an entry point that is there?

    Raises:
        ValueError: it is none of them; the message completes the sentence "KEY ...".
    """
    if name in slot.ours or _MODULE_FACTORY.fullmatch(name):
        return
    choices = " or ".join(map(repr, slot.ours))
    if ":" in name:
        raise ValueError("must be MODULE:FACTORY, such as mypackage.module:Factory")
    there = installed(slot)
    if name in there:
        return
    near = difflib.get_close_matches(name, [*slot.ours, *there], n=1, cutoff=_NEAR)
    if near:
        raise ValueError(f"is not known here: did you mean {near[0]}?")
    listed = ", ".join(list(there)[:_MOST_LISTED])
    offered = f"{slot.group} has {listed}" if there else f"no package offers any in {slot.group}"
    raise ValueError(f"must be {choices}, or MODULE:FACTORY, or an entry point: {offered}")
