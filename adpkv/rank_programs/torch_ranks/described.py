"""Tensors and reductions of torch as keys that members must agree on, and as texts for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from adpkv.errors import NotProvidedError
from adpkv.rank_programs.torch_ranks.reductions import REDUCTIONS

__all__ = ["MOST_TEXTS", "listed", "reduction", "shape", "text_of"]

MOST_TEXTS: Final = 10_000

_texts: dict[tuple[Any, Any], str] = {}
"""By shape and dtype: a text takes longer than all else of a small collective."""

_reductions: dict[Any, str] = {}
"""By torch's value: its name."""


def listed(tensors: Any) -> list[Any]:
    """One tensor, or several, as a list."""
    return [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)


def shape(tensor: Any) -> tuple[int, Any]:
    """What must be equal on all members."""
    return tensor.numel(), tensor.dtype


def text_of(tensors: Sequence[Any]) -> str:
    """`[4, 8] float32`, for people."""
    told = []
    for tensor in tensors[:4]:
        known = (tensor.shape, tensor.dtype)
        text = _texts.get(known)
        if text is None:
            text = f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
            if len(_texts) < MOST_TEXTS:
                _texts[known] = text
        told.append(text)
    if len(told) == 1:
        return told[0]
    return ", ".join(told) + (f" and {len(tensors) - 4} more" if len(tensors) > 4 else "")


def reduction(options: Any) -> str:
    """The name of torch's reduction. Raises NotProvidedError for one that is not known."""
    op = getattr(options, "reduceOp", options)
    op = getattr(op, "op", op)
    known = _reductions.get(op)
    if known is not None:
        return known
    name = getattr(op, "name", None) or str(op).rpartition(".")[2]
    if name not in REDUCTIONS:
        raise NotProvidedError(f"adpkv check does not provide torch's reduction {name}")
    _reductions[op] = str(name)
    return str(name)
