"""Conformance suites: what an implementation of a port must do, run with plain assertions.

adpkv's own transports, memories, models and workloads pass the same. In a test of yours::

    from adpkv.testing import check_workload

    class Rig:
        block_tokens = 16

        def made(self):
            return MyWorkload(seed=1)

    def test_my_workload():
        check_workload(Rig)

A suite is a set of bodies, functions that each check one property. Each gets an object that the
maker made for it alone. `TRANSPORT`, `TRANSPORT_KILLED`, `MEMORY`, `MODEL` and `WORKLOAD` are
the bodies by their names, for a test of its own for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adpkv.testing.memory import BODIES as MEMORY
from adpkv.testing.memory import Rig as MemoryRig
from adpkv.testing.model import BODIES as MODEL
from adpkv.testing.model import Rig as ModelRig
from adpkv.testing.transport import BODIES as TRANSPORT
from adpkv.testing.transport import Pair
from adpkv.testing.transport_killed import BODIES as TRANSPORT_KILLED
from adpkv.testing.transport_killed import Mortal
from adpkv.testing.workload import BODIES as WORKLOAD
from adpkv.testing.workload import Rig as WorkloadRig

__all__ = [
    "MEMORY",
    "MODEL",
    "TRANSPORT",
    "TRANSPORT_KILLED",
    "WORKLOAD",
    "MemoryRig",
    "ModelRig",
    "Mortal",
    "Pair",
    "WorkloadRig",
    "check_memory",
    "check_model",
    "check_transport",
    "check_transport_killed",
    "check_workload",
]


def check_transport(make: Callable[[], Pair]) -> None:
    """Put two ends of a link through every body (`adpkv.testing.transport`).

    Raises:
        AssertionError: one fails; its name, and what it asks for.
    """
    _check("transport", TRANSPORT, make)


def check_transport_killed(make: Callable[[], Mortal]) -> None:
    """Put a link through the bodies in which its other end dies (`adpkv.testing.transport_killed`).

    Raises:
        AssertionError: one fails; its name, and what it asks for.
    """
    _check("transport", TRANSPORT_KILLED, make)


def check_memory(make: Callable[[], MemoryRig]) -> None:
    """Put a memory through every body (`adpkv.testing.memory`).

    Raises:
        AssertionError: one fails; its name, and what it asks for.
    """
    _check("memory", MEMORY, make)


def check_model(make: Callable[[], ModelRig]) -> None:
    """Put a model through every body (`adpkv.testing.model`).

    Raises:
        AssertionError: one fails; its name, and what it asks for.
    """
    _check("model", MODEL, make)


def check_workload(make: Callable[[], WorkloadRig]) -> None:
    """Put a workload through every body (`adpkv.testing.workload`).

    Raises:
        AssertionError: one fails; its name, and what it asks for.
    """
    _check("workload", WORKLOAD, make)


def _check(port: str, bodies: Mapping[str, Callable[[Any], None]], make: Callable[[], Any]) -> None:
    for name, body in bodies.items():
        try:
            body(make())
        except AssertionError as error:
            asked = (body.__doc__ or "").strip().partition("\n")[0]
            said = f": {error}" if str(error) else ""
            raise AssertionError(f"the {port} breaks {name!r}: {asked}{said}") from error
