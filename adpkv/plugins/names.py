"""The keys of an experiment that take a name, and which names are valid. Nothing is imported here.

A name is one of adpkv's own, the name of an entry point, or `MODULE:FACTORY`, tried in this order.
The first two must exist when the experiment is read, so that a typing error is reported with its
line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
    "near_name",
]

NAME_PATTERN: Final = r"^[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*)?$"
"""The pattern of every name, for JSON Schema; ASCII only."""

_MODULE_FACTORY: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_MOST_LISTED: Final = 8
_NEAR: Final = 0.75
"""How similar two names must be for a "did you mean". It is high, because an unknown name is often
right and only its package is not installed."""


class Slot(NamedTuple):
    """A key of the experiment that takes a name."""

    port: str
    """The name of the port in `adpkv.ports`; in lower case, the argument of `adpkv.run`."""
    key: str
    """The key's path in the experiment."""
    ours: tuple[str, ...]
    """The names of adpkv's own implementations."""
    group: str
    """The group of entry points for it."""
    parameters: bool = False
    """Whether the other keys of the section are parameters of the factory."""


TRANSPORT: Final = Slot(
    "Transport", "transceiver.transport", ("mpi", "nixl", "ucx"), "adpkv.transports"
)
MEMORY: Final = Slot("Memory", "kv_cache.memory", ("host", "cuda"), "adpkv.memories")
MODEL: Final = Slot("Model", "model.kind", ("cost", "gemm"), "adpkv.models", parameters=True)
WORKLOAD: Final = Slot(
    "Workload",
    "workload.kind",
    ("poisson", "closed_loop", "trace", "script"),
    "adpkv.workloads",
    parameters=True,
)
POLICY: Final = Slot(
    "Policy",
    "router.policy",
    ("load", "prefix", "round_robin", "power_of_two"),
    "adpkv.policies",
)
SLOTS: Final = (WORKLOAD, MODEL, POLICY, MEMORY, TRANSPORT)


def installed(slot: Slot) -> dict[str, list[EntryPoint]]:
    """The entry points of installed packages for this key, by name, sorted. Several packages may
    have the same name."""
    from importlib.metadata import entry_points  # most experiments name only what is adpkv's own

    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=slot.group), key=lambda one: (one.name, one.value)):
        found.setdefault(entry.name, []).append(entry)
    return found


def near_name(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known name that is most similar to this one, whatever its case; empty if none is."""
    here = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), here, n=1, cutoff=cutoff)
    return here[near[0]] if near else ""


def check_name(slot: Slot, name: str) -> None:
    """Check that a name is one of adpkv's own, `MODULE:FACTORY`, or an installed entry point.

    Raises:
        ValueError: it is none of them. The message continues the sentence "KEY ...".
    """
    if name in slot.ours or _MODULE_FACTORY.fullmatch(name):
        return
    choices = " or ".join(map(repr, slot.ours))
    if ":" in name:
        raise ValueError("must be MODULE:FACTORY, such as mypackage.module:Factory")
    there = installed(slot)
    if name in there:
        return
    near = near_name(name, [*slot.ours, *there], _NEAR)
    if near:
        raise ValueError(f"is not known here: did you mean {near}?")
    listed = ", ".join(list(there)[:_MOST_LISTED])
    offered = f"{slot.group} has {listed}" if there else f"no package offers any in {slot.group}"
    raise ValueError(f"must be {choices}, or MODULE:FACTORY, or an entry point: {offered}")
