"""Which library of collectives a program uses, and the adapter for it, imported only then."""

from __future__ import annotations

import importlib.util

from adpkv.errors import MissingPieceError, TargetError
from adpkv.rank_programs.adapter import Adapter, NoLibrary, Together
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.mpi_ranks.library import MpiRanks
from adpkv.rank_programs.rank_api import OwnRanks
from adpkv.rank_programs.target import Target

__all__ = ["adapter_for"]


def adapter_for(target: Target, library: str, driver: Driver, ranks: int) -> Adapter:
    """The adapter of the library that is named, or else that the program imports."""
    if target.is_async:
        return OwnRanks(driver)
    if not library and "torch" in target.imports:
        library = "torch"
    if not library and "mpi4py" in target.imports:
        library = "mpi"
    if library == "torch":
        torch = _torch(target, driver, ranks)
        both = target.takes_object or "mpi4py" in target.imports
        return Together([MpiRanks(driver), torch]) if both else torch
    if library == "mpi" or target.takes_object:
        return MpiRanks(driver)
    return NoLibrary()


def _torch(target: Target, driver: Driver, ranks: int) -> Adapter:
    if importlib.util.find_spec("torch") is None:
        raise MissingPieceError(
            f"{target.text} uses torch, which is not installed: pip install 'adpkv[torch]'"
        )
    import torch.distributed

    if not torch.distributed.is_available():
        raise TargetError(f"torch {torch.__version__} is built without torch.distributed")
    from adpkv.rank_programs.torch_ranks.library import TorchRanks

    return TorchRanks(driver, ranks, cuda=target.names_cuda)
