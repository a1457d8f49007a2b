"""Which library of collectives a program uses, and the adapter for it, imported only then."""

from __future__ import annotations

import importlib.util

from adpkv.errors import MissingPieceError, TargetError
from adpkv.rank_programs.adapter import Adapter, NoLibrary
from adpkv.rank_programs.driver import Driver
from adpkv.rank_programs.rank_api import OwnRanks
from adpkv.rank_programs.target import Target

__all__ = ["adapter_for"]


def adapter_for(target: Target, library: str, driver: Driver) -> Adapter:
    """The adapter of the library that is named, or else that the program imports."""
    if target.is_async:
        return OwnRanks(driver)
    if not library and "torch" in target.imports:
        library = "torch"
    if library == "torch":
        return _torch(target, driver)
    return NoLibrary()


def _torch(target: Target, driver: Driver) -> Adapter:
    if importlib.util.find_spec("torch") is None:
        raise MissingPieceError(
            f"{target.text} uses torch, which is not installed: pip install 'adpkv[torch]'"
        )
    import torch.distributed

    if not torch.distributed.is_available():
        raise TargetError(f"torch {torch.__version__} is built without torch.distributed")
    from adpkv.rank_programs.torch_ranks.library import TorchRanks

    return TorchRanks(driver, cuda=target.names_cuda)
