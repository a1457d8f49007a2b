"""What a complete collective writes into its members' tensors.

Each function gets the members' payloads in the order of the group's ranks: (outputs, inputs) lists
of tensors. Results are made whole before any is written: outputs may be parts of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

__all__ = [
    "REDUCTIONS",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]

Payload = tuple[Sequence[Any], Sequence[Any]]

REDUCTIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "SUM": torch.add,
    "AVG": torch.add,
    "PRODUCT": torch.mul,
    "MIN": torch.minimum,
    "MAX": torch.maximum,
    "BAND": torch.bitwise_and,
    "BOR": torch.bitwise_or,
    "BXOR": torch.bitwise_xor,
}
"""By the name of torch's ReduceOp; what is not here fails closed."""


def _reduced(tensors: Sequence[Any], op: str) -> Any:
    combine = REDUCTIONS[op]
    first = tensors[0]
    found = first.clone() if len(tensors) == 1 else first
    for tensor in tensors[1:]:
        found = combine(found, tensor if tensor.shape == found.shape else tensor.view(found.shape))
    if op == "AVG":
        # The result of integers is rounded towards zero, as NCCL does it.
        whole = not (found.is_floating_point() or found.is_complex())
        mode = "trunc" if whole else None
        found = torch.div(found, len(tensors), rounding_mode=mode)
    return found


def _write(into: Any, what: Any) -> None:
    # Without its history: c10d's writes are not part of the autograd graph.
    target = into.detach() if into.requires_grad else into
    target.copy_(what if what.shape == into.shape else what.view(into.shape))


def all_reduce(members: Sequence[Payload], op: str) -> None:
    """Each tensor of each member becomes the reduction of all."""
    for place in range(len(members[0][0])):
        found = _reduced([inputs[place] for _, inputs in members], op)
        for outputs, _ in members:
            _write(outputs[place], found)


def reduce(members: Sequence[Payload], op: str, root: int) -> None:
    """The tensors of one member become the reduction of all."""
    for place in range(len(members[root][0])):
        found = _reduced([inputs[place] for _, inputs in members], op)
        _write(members[root][0][place], found)


def broadcast(members: Sequence[Payload], root: int) -> None:
    """The tensors of all members become those of one."""
    for number, (outputs, _) in enumerate(members):
        if number != root:
            for into, what in zip(outputs, members[root][1], strict=True):
                _write(into, what)


def all_gather(members: Sequence[Payload]) -> None:
    """`outputs` of each member: one tensor for each member."""
    for outputs, _ in members:
        for into, (_, inputs) in zip(outputs, members, strict=True):
            _write(into, inputs[0])


def gather(members: Sequence[Payload], root: int) -> None:
    """The same for one member alone."""
    for into, (_, inputs) in zip(members[root][0], members, strict=True):
        _write(into, inputs[0])


def scatter(members: Sequence[Payload], root: int) -> None:
    """`inputs` of one member: one tensor for each member."""
    for what, (outputs, _) in zip(members[root][1], members, strict=True):
        _write(outputs[0], what)


def reduce_scatter(members: Sequence[Payload], op: str) -> None:
    """`inputs` of each member: one tensor for each member, which gets their reduction."""
    found = [_reduced([inputs[to] for _, inputs in members], op) for to in range(len(members))]
    for (outputs, _), what in zip(members, found, strict=True):
        _write(outputs[0], what)


def all_to_all(members: Sequence[Payload]) -> None:
    """`inputs` of each member: one tensor for each member; `outputs`: one from each member."""
    found = [[inputs[to].clone() for _, inputs in members] for to in range(len(members))]
    for (outputs, _), parts in zip(members, found, strict=True):
        for into, what in zip(outputs, parts, strict=True):
            if into.numel() != what.numel():
                raise ValueError(
                    f"{what.numel()} elements are sent where {into.numel()} are expected"
                )
            _write(into, what)
