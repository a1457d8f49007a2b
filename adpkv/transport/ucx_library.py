"""Imports UCXX, only when a rank needs it, and before MPI.

Two copies of UCX may come into one process: that of UCXX, and one that Open MPI's wheel brings
along. If mpi4py's MPI is imported first, the import of ucxx fails with an undefined symbol, because
the loader has bound the names of the other copy by then. In the other order both work. So a rank
whose experiment names ucx imports it first (`import_before_mpi`), and its transport takes it from
here later.

UCXX sets some UCX_ variables in the environment of its process. Values that the user has set stay.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from adpkv.errors import UsageError

__all__ = ["Library", "import_before_mpi", "library"]

GET_IT: Final = "pip install 'adpkv[ucx]' (CUDA 13), or 'adpkv[ucx-cuda12]'"

ENVIRONMENT: Final = {"UCX_WARN_UNUSED_ENV_VARS": "n", "UCX_LOG_LEVEL": "fatal"}
"""What UCX reads as it is loaded, unless the user has set it. Without these every rank prints a
warning about a variable that UCXX itself has set, and errors about each rank that fails. The run
reports those in its own words."""


@dataclass(frozen=True, slots=True)
class Library:
    """What is used of UCXX: its non-blocking layer, without asyncio. `error` is the base class of
    what it raises."""

    context: Any
    worker: Any
    address: Any
    array: Any
    tag: Any
    tag_mask: Any
    tag_feature: Any
    error: type[Exception]
    ucxx_version: str
    ucx_version: str


def import_before_mpi() -> None:
    """Import UCXX if it is there. If it is not, `library` says so later, when all ranks can agree
    on that."""
    with suppress(UsageError):
        library()


def library() -> Library:
    """UCXX, imported.

    Raises:
        UsageError: it is missing, or cannot be imported.
    """
    mpi_came_first = "mpi4py.MPI" in sys.modules and "ucxx" not in sys.modules
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        ucxx = importlib.import_module("ucxx")
        layer = importlib.import_module("ucxx._lib.libucxx")
        array = importlib.import_module("ucxx._lib.arr").Array
        types = importlib.import_module("ucxx.types")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"transceiver.transport: ucx: there is no module {error.name}: {GET_IT}"
        ) from None
    except Exception as error:  # whatever its initialization raises, the user can change it
        said = " ".join(str(error).split())
        if mpi_came_first:
            raise UsageError(
                "transceiver.transport: ucx: something has imported mpi4py.MPI before ucxx, which"
                f" cannot be imported after it: import ucxx first ({said})"
            ) from None
        raise UsageError(
            f"transceiver.transport: ucx: ucxx cannot be imported: {type(error).__name__}: {said}:"
            f" {GET_IT}"
        ) from None
    return Library(
        layer.UCXContext,
        layer.UCXWorker,
        layer.UCXAddress,
        array,
        types.Tag,
        types.TagMask,
        layer.Feature.TAG,
        layer.UCXError,
        str(ucxx.__version__),
        ".".join(map(str, layer.get_ucx_version())),
    )
