"""What `adpkv doctor` says of the real world's transports and memories: which can be used here, and
which are used unless an experiment names others.

Each library is imported in a process of its own: a broken one may end the process that imports it,
and ucxx must come before MPI.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from adpkv.cli.probing import Finding, Need, asked

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["lacking", "port_findings"]


class Optional(NamedTuple):
    """A transport or memory that needs a library of its own.

    Args:
        name: what it is and its name in an experiment.
        key: the experiment's key for it.
        says: a program that prints what was found, or raises a UsageError.
        get: how to get it.
    """

    name: str
    key: str
    says: str
    get: str


OPTIONAL: Final = (
    Optional(
        "transport nixl",
        "transceiver.transport",
        "from adpkv.transport.nixl_agent import library\n"
        "module, version = library()\n"
        "print(f'{module.__name__} {version}')",
        "pip install --no-deps nixl-cu13, or nixl-cu12",
    ),
    Optional(
        "transport ucx",
        "transceiver.transport",
        "from adpkv.transport.ucx_library import library\n"
        "found = library()\n"
        "print(f'UCXX {found.ucxx_version} over UCX {found.ucx_version}')",
        "pip install 'adpkv[ucx]', or 'adpkv[ucx-cuda12]'",
    ),
    Optional(
        "memory cuda",
        "kv_cache.memory",
        "from adpkv.gpu.device import device_count, load_cupy\n"
        "print(f'CuPy {load_cupy().__version__}, {device_count()} GPUs')",
        "pip install 'adpkv[gpu-cuda13]', or 'adpkv[gpu-cuda12]'; a GPU and its driver",
    ),
)

GUARDED: Final = """
import sys
from adpkv.errors import AdpkvError
try:
    exec(sys.argv[1])
except AdpkvError as error:
    sys.exit(str(error))
"""


WITHOUT: Final = "adpkv simulate runs the same without"


def lacking(experiment: Experiment, of: Collection[str] = ()) -> list[str]:
    """What this experiment's ranks need and could not have on this host, each with its key and how
    to get it. `of`: only look at these, by their names in `OPTIONAL`."""
    keys = {
        f"transport {experiment.transceiver.transport}": "transceiver.transport: "
        + experiment.transceiver.transport,
        "memory cuda": experiment.device_key if experiment.needs_device else "",
    }
    wanted = [one for one in OPTIONAL if keys.get(one.name) and (not of or one.name in of)]
    errors = [(keys[one.name], asked([sys.executable, "-c", GUARDED, one.says])[1], one.get)
              for one in wanted]  # fmt: skip
    return [
        f"{key}: {_problem(key, error)}: {get}; {WITHOUT}" for key, error, get in errors if error
    ]


def _problem(key: str, error: str) -> str:
    """What is wrong, without its key in front, and without how to get it behind."""
    return error.removeprefix(f"{key}: ").partition(": pip install")[0]


def port_findings() -> list[Finding]:
    """One finding each, and what is used unless an experiment names others."""
    found = [_optional(one) for one in OPTIONAL]
    return [*found, _used(found)]


def _optional(one: Optional) -> Finding:
    said, error = asked([sys.executable, "-c", GUARDED, one.says])
    if error:
        problem = _problem(f"{one.key}: {one.name.split()[1]}", error)
        return Finding(one.name, False, problem, Need.NOTHING, one.get)
    return Finding(one.name, True, f"{said}: can be named in {one.key}", Need.NOTHING)


def _used(found: list[Finding]) -> Finding:
    """The defaults, and why: they work everywhere, and nothing replaces them unasked."""
    from adpkv.config.serving import KvCacheConfig
    from adpkv.config.transceiver import TransceiverConfig

    transport, memory = (
        TransceiverConfig.model_fields["transport"].default,
        KvCacheConfig.model_fields["memory"].default,
    )
    here = [finding.name for finding in found if finding.fine]
    others = f"; here also: {', '.join(here)}" if here else ""
    return Finding(
        "used unless named",
        True,
        f"transport {transport} and memory {memory}, which work wherever MPI does{others}",
        Need.NOTHING,
    )
