"""Blocks change hands in a list of their owners.

The compiled build has `owners.c` in place of this module, with the same functions: there a block
takes a tenth of the instructions. Owners are known by identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["exchange", "take"]


def exchange(owners: list[Any], blocks: Sequence[int], before: object, after: object) -> int:
    """Give the blocks from `before` to `after`, one after the other, up to the first that `before`
    has not. Returns how many those were."""
    done = 0
    for block in blocks:
        if owners[block] is not before:
            return done
        owners[block] = after
        done += 1
    return done


def take(owners: list[Any], blocks: Sequence[int], after: object) -> list[Any]:
    """Give the blocks to `after`, whoever has them. Returns who had them, in order, each once for
    blocks in a row."""
    found: list[Any] = []
    last: object = found  # nobody's
    for block in blocks:
        before = owners[block]
        owners[block] = after
        if before is not last:
            found.append(before)
            last = before
    return found
